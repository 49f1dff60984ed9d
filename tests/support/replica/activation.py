"""Activation scripts that do what conda-forge's do: variables and conditions are those of the feedstocks."""

from __future__ import annotations

_GDAL = """\
#!/bin/bash
# what was set before comes back when the environment is left
if [[ -n "$GDAL_DATA" ]]; then
    export _CONDA_SET_GDAL_DATA=$GDAL_DATA
fi
if [ -d $CONDA_PREFIX/share/gdal ]; then
    export GDAL_DATA=$CONDA_PREFIX/share/gdal
    export GDAL_DRIVER_PATH=$CONDA_PREFIX/lib/gdalplugins
fi
if [[ ! -d "$GDAL_DRIVER_PATH" ]]; then
    unset GDAL_DRIVER_PATH
fi
export CPL_ZIP_ENCODING=UTF-8
"""

_PROJ = """\
#!/bin/bash
if [ -n "${PROJ_DATA:-}" ]; then
    export _CONDA_SET_PROJ_DATA=$PROJ_DATA
fi
export PROJ_DATA=$CONDA_PREFIX/share/proj
if [ -f $CONDA_PREFIX/share/proj/copyright_and_licenses.csv ]; then
    export PROJ_NETWORK=OFF
else
    export PROJ_NETWORK=ON
fi
"""

_LIBXML2 = """\
#!/bin/bash
if test -n "${XML_CATALOG_FILES:-}"; then
    export xml_catalog_files_libxml2="${XML_CATALOG_FILES}"
    XML_CATALOG_FILES+=" "
else
    export xml_catalog_files_libxml2=""
    XML_CATALOG_FILES=""
fi
conda_catalog_files="file://${CONDA_PREFIX// /%20}/etc/xml/catalog file:///etc/xml/catalog"
export XML_CATALOG_FILES+="${conda_catalog_files}"
"""

_GLIB = """\
export GSETTINGS_SCHEMA_DIR_CONDA_BACKUP="${GSETTINGS_SCHEMA_DIR:-}"
export GSETTINGS_SCHEMA_DIR="$CONDA_PREFIX/share/glib-2.0/schemas"
"""

_OPENSSL = """\
# only Windows has system libraries of this name
if [ -f /c/Windows/System32/libssl-1_1-x64.dll ]; then
    echo "the system's OpenSSL is linked before this one"
fi
"""

_RUST = """\
export CARGO_HOME=${CARGO_HOME:-$CONDA_PREFIX/.cargo}
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-conda-linux-gnu-cc
export PATH=$CARGO_HOME/bin:$PATH
"""

_UDUNITS = "export UDUNITS2_XML_PATH=$CONDA_PREFIX/share/udunits/udunits2.xml\n"

_ESMF = "export ESMFMKFILE=$CONDA_PREFIX/lib/esmf.mk\n"

_OPENJDK = """\
export JAVA_HOME_CONDA_BACKUP=${JAVA_HOME:-}
export JAVA_HOME=$CONDA_PREFIX/lib/jvm
"""


def _pair(stem: str, text: str, leave: str) -> dict[str, str]:
    return {f"activate.d/{stem}": text, f"deactivate.d/{stem.replace('activate', 'deactivate')}": leave}


ACTIVATION: dict[str, dict[str, str]] = {
    "esmf": _pair("esmf.sh", _ESMF, "unset ESMFMKFILE\n"),
    "libgdal": _pair("gdal-activate.sh", _GDAL, "unset GDAL_DATA GDAL_DRIVER_PATH CPL_ZIP_ENCODING\n"),
    "libgdal-core": _pair("gdal-activate.sh", _GDAL, "unset GDAL_DATA GDAL_DRIVER_PATH CPL_ZIP_ENCODING\n"),
    "libglib": _pair(
        "libglib_activate.sh", _GLIB, "unset GSETTINGS_SCHEMA_DIR GSETTINGS_SCHEMA_DIR_CONDA_BACKUP\n"
    ),
    "libxml2": _pair("libxml2_activate.sh", _LIBXML2, "unset XML_CATALOG_FILES\n"),
    "openjdk": _pair("openjdk_activate.sh", _OPENJDK, "export JAVA_HOME=${JAVA_HOME_CONDA_BACKUP}\n"),
    "openssl": _pair("openssl_activate.sh", _OPENSSL, ":\n"),
    "proj": _pair("proj4-activate.sh", _PROJ, "unset PROJ_DATA PROJ_NETWORK\n"),
    "rust": _pair("activate_rust.sh", _RUST, "unset CARGO_HOME\n"),
    "udunits2": _pair("udunits2-activate.sh", _UDUNITS, "unset UDUNITS2_XML_PATH\n"),
}
"""Files below `etc/conda` by package."""
