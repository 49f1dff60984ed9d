"""The files of packages without Python: libraries, programs, data and activation scripts such as conda-forge's."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import certifi

from tests.support.replica import elf_file
from tests.support.replica.activation import ACTIVATION
from tests.support.replica.package_file import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.replica.interpreter import Python
    from tests.support.replica.records import Record

LIBRARIES = {
    "c-ares": ("libcares.so.2",),
    "eccodes": ("libeccodes.so",),
    "esmf": ("libesmf.so",),
    "fontconfig": ("libfontconfig.so.1",),
    "freetype": (),
    "geos": ("libgeos_c.so.1", "libgeos.so.3"),
    "glib": (),
    "hdf4": ("libdf.so.0", "libmfhdf.so.0"),
    "hdf5": ("libhdf5.so.310", "libhdf5_hl.so.310", "libhdf5_cpp.so.310"),
    "icu": ("libicudata.so.78", "libicui18n.so.78", "libicuuc.so.78"),
    "krb5": ("libkrb5.so.3", "libgssapi_krb5.so.2", "libk5crypto.so.3"),
    "libarrow": ("libarrow.so.2500",),
    "libcurl": ("libcurl.so.4",),
    "libfreetype6": ("libfreetype.so.6",),
    "libgdal-core": ("libgdal.so.38",),
    "libgfortran5": ("libgfortran.so.5",),
    "libglib": ("libglib-2.0.so.0", "libgobject-2.0.so.0", "libgio-2.0.so.0"),
    "libjpeg-turbo": ("libjpeg.so.8", "libturbojpeg.so.0"),
    "libkml": ("libkmlbase.so.1", "libkmldom.so.1", "libkmlengine.so.1"),
    "libnetcdf": ("libnetcdf.so.22",),
    "libopenblas": ("libopenblas.so.0",),
    "libpng": ("libpng16.so.16",),
    "libsodium": ("libsodium.so.26",),
    "libspatialite": ("libspatialite.so.8",),
    "libtiff": ("libtiff.so.6",),
    "libwebp-base": ("libwebp.so.7", "libsharpyuv.so.0"),
    "libxcb": ("libxcb.so.1", "libxcb-render.so.0", "libxcb-shm.so.0"),
    "libxml2": ("libxml2.so.2",),
    "libxml2-16": ("libxml2.so.16",),
    "lz4-c": ("liblz4.so.1",),
    "openjpeg": ("libopenjp2.so.7",),
    "pcre2": ("libpcre2-8.so.0", "libpcre2-16.so.0", "libpcre2-32.so.0"),
    "pixman": ("libpixman-1.so.0",),
    "proj": ("libproj.so.25",),
    "snappy": ("libsnappy.so.1",),
    "tk": ("libtk8.6.so", "libtcl8.6.so"),
    "xerces-c": ("libxerces-c-3.3.so",),
    "zeromq": ("libzmq.so.5",),
}
"""The SONAMEs of a package's libraries, where they do not follow from its name and version."""

_OF_THIS_MACHINE = {
    "expat": ("libexpat.so.1",),
    "libexpat": ("libexpat.so.1",),
    "libgcc": ("libgcc_s.so.1",),
    "libgcc-ng": ("libgcc_s.so.1",),
    "libgomp": ("libgomp.so.1",),
    "libstdcxx": ("libstdc++.so.6",),
    "libstdcxx-ng": ("libstdc++.so.6",),
}
"""Libraries that wheels take from where they run (PEP 600): a library without functions would break them."""

_DIRECTORIES = tuple(map(Path, ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64")))

_PROGRAMS = {
    "bzip2": ("bzip2",),
    "krb5": ("kinit", "klist"),
    "ld_impl_linux-64": ("x86_64-conda-linux-gnu-ld",),
    "libgdal-core": ("gdalinfo", "ogr2ogr"),
    "libxml2": ("xmllint",),
    "nodejs": ("node",),
    "openssl": ("openssl",),
    "proj": ("proj", "cs2cs"),
    "sqlite": ("sqlite3",),
}
"""The programs of packages that hold libraries as well, or are not named like their program."""

_DATA = {
    "ca-certificates": (),
    "eccodes": ("share/eccodes/definitions/boot.def",),
    "krb5": ("share/examples/krb5/krb5.conf",),
    "libgdal-core": ("share/gdal/gdalvrt.xsd", "share/gdal/gcs.csv", "lib/gdalplugins/drivers.ini"),
    "libglib": ("share/glib-2.0/schemas/gschema.dtd", "lib/gio/modules/giomodule.cache"),
    "libxml2": ("etc/xml/catalog",),
    "ncurses": ("share/terminfo/x/xterm", "share/terminfo/l/linux"),
    "openjdk": ("lib/jvm/release",),
    "proj": ("share/proj/proj.db", "share/proj/proj.ini"),
    "tzdata": ("share/zoneinfo/tzdata.zi", "share/zoneinfo/leapseconds"),
    "udunits2": ("share/udunits/udunits2.xml",),
    "xorg-xkeyboard-config": ("share/X11/xkb/rules/base.lst",),
}

_EMPTY = re.compile(r"_.*|python_abi|python-gil|cpython|lib(blas|cblas|lapack|lapacke)|.*-(ecosystem|forge)")
"""Mutexes and packages that only bring others, whatever their size."""

_DATA_ONLY = re.compile(
    r"fonts?-.*|.*-(headers|proto|data)|xorg-.*proto|tzdata|ca-certificates|pthread-stubs|nlohmann_json"
)
"""Packages without programs and libraries."""

_SMALLEST = 12_000
"""Bytes of a package with nothing but metadata: conda-forge's come with licences and a recipe."""

_LARGEST = 3_000_000
"""Bytes of filling at most, so that an environment of hundreds of packages can be built in a test."""


def lay_out(record: Record, root: Path, *, interpreter: Python) -> None:
    """Put into `root` the files that such a package has: none for one that only brings others."""
    if is_empty(record):
        return
    name = record.name
    filling = _filling(interpreter, record)
    real = interpreter.lay_out_libraries(record, root) or _copy_from_this_machine(record, root)
    made = () if real else sonames(record)
    for number, soname in enumerate(made):
        _write_library(record, root, soname, made[:number], filling if number == 0 else b"")
    if real or made:
        _describe_library(record, root)
    programs = _PROGRAMS.get(name, () if real or made or _is_data(record) else (name,))
    for program in programs:
        _write(
            root / "bin" / program,
            elf_file.program(data=_prefix(name) + b"\0", filling=filling[:50_000]),
            mode=0o755,
        )
    for path in _DATA.get(name, (f"share/{name}/README",) if _is_data(record) else ()):
        _write(root / path, f"{record.name} {record.version}\n".encode() + filling[:100_000])
    if name == "ca-certificates":
        _write(root / "ssl" / "cacert.pem", Path(certifi.where()).read_bytes())
        (root / "ssl" / "cert.pem").symlink_to("cacert.pem")
    if name.startswith("font-ttf-"):
        _write(root / "fonts" / f"{name.removeprefix('font-ttf-')}.ttf", filling)
    for file, text in ACTIVATION.get(name, {}).items():
        _write(root / "etc" / "conda" / file, text.encode())


def is_empty(record: Record) -> bool:
    """Say whether the package holds nothing but metadata."""
    small = record.size is not None and record.size < _SMALLEST
    real = [name for name in record.depends if not name.startswith("__")]
    for_python = record.is_noarch_python or not {"python", "python_abi"}.isdisjoint(record.depends)
    bundle = record.json.get("noarch") == "generic" and not _DATA_ONLY.fullmatch(record.name) and bool(real)
    return bool(_EMPTY.fullmatch(record.name)) or small or for_python or bundle or _is_split(record)


def _is_split(record: Record) -> bool:
    """Say whether what the package held is in one that it depends on now, such as `libgfortran5`
    for `libgfortran` and `libgcc` for `libgcc-ng`."""
    of_version = re.compile(re.escape(record.name.removesuffix("-ng")) + r"\d*")
    return any(of_version.fullmatch(name) for name in record.depends)


def sonames(record: Record) -> tuple[str, ...]:
    """Return the names under which programs ask for a package's libraries."""
    if record.name in LIBRARIES:
        return () if f"{record.name}-16" in record.depends else LIBRARIES[record.name]
    if record.name in _PROGRAMS or _is_data(record):
        return ()
    stem = record.name.removesuffix("-cpp").removesuffix("-base").removesuffix("-core")
    stem = re.sub(r"^xorg-lib", "libX" if stem[8:9] == "x" else "lib", stem).replace("libXx", "libX")
    stem = stem if stem.startswith("lib") else f"lib{stem}"
    return (f"{stem}.so.{re.split(r'[.]', record.version)[0]}",)


def _is_data(record: Record) -> bool:
    return bool(_DATA_ONLY.fullmatch(record.name)) or record.json.get("noarch") == "generic"


def _write_library(record: Record, root: Path, soname: str, before: Iterable[str], filling: bytes) -> None:
    """Write a library under its full version, with the links that loaders and linkers ask for."""
    symbol = re.sub(r"\W", "_", soname.split(".so", maxsplit=1)[0].removeprefix("lib"))
    data = {
        f"{symbol}_version": record.version.encode() + b"\0",
        f"{symbol}_prefix": _prefix(record.name),
    }
    # libxml2 holds no library where libxml2-16 does
    others = [name for name in record.depends if LIBRARIES.get(name) and f"{name}-16" not in record.depends]
    needed = ["libc.so.6", *before, *(LIBRARIES[name][0] for name in others)]
    stem, _, number = soname.partition(".so")
    real = f"{soname}.{record.version}" if number else soname
    lib = root / "lib"
    _write(lib / real, elf_file.library(soname, needed=needed, data=data, filling=filling), mode=0o755)
    for link in dict.fromkeys((soname, f"{stem}.so")):
        if link != real:
            (lib / link).symlink_to(real)


def _prefix(name: str) -> bytes:
    """Return what a compiler leaves of a path below the prefix: to be replaced by one no longer, and filled up."""
    return f"{PLACEHOLDER}/share/{name.removeprefix('lib').removesuffix('-core')}".encode() + b"\0"


def _describe_library(record: Record, root: Path) -> None:
    """Write what other builds read: headers, pkg-config and CMake files, which name the prefix."""
    name = record.name
    pc = f"prefix={PLACEHOLDER}\nlibdir=${{prefix}}/lib\nincludedir=${{prefix}}/include\n\n"
    pc += f"Name: {name}\nDescription: {name}\nVersion: {record.version}\nLibs: -L${{libdir}} -l{name}\n"
    _write(root / "lib" / "pkgconfig" / f"{name}.pc", pc.encode())
    cmake = f'set({name}_INCLUDE_DIR "{PLACEHOLDER}/include")\nset({name}_VERSION "{record.version}")\n'
    _write(root / "lib" / "cmake" / name / f"{name}-config.cmake", cmake.encode())
    _write(root / "include" / name / f"{name}.h", f'#define VERSION "{record.version}"\n'.encode())
    script = f"#!/bin/sh\nprefix={PLACEHOLDER}\n"
    script += f'case "$1" in --prefix) echo "$prefix" ;; *) echo {record.version} ;; esac\n'
    _write(root / "bin" / f"{name}-config", script.encode(), mode=0o755)


def _copy_from_this_machine(record: Record, root: Path) -> tuple[str, ...]:
    names = _OF_THIS_MACHINE.get(record.name, ())
    for name in names:
        for place in (directory / name for directory in _DIRECTORIES):
            if place.exists():
                _write(root / "lib" / name, place.resolve().read_bytes(), mode=0o755)
                break
    return names


@cache
def _machine_code(lib: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(lib.glob("*.so*")))


def _filling(interpreter: Python, record: Record) -> bytes:
    """Return machine code, which is compressed as such: about as much as the real package has, up to a bound."""
    code = _machine_code(interpreter.home / "lib")
    size = min(2 * (record.size or 50_000), _LARGEST)
    start = int(record.json["md5"][:6], 16) % len(code)
    return (code[start:] + code * (size // len(code) + 1))[:size]


def _write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
