"""One table of the node's configuration that could override an archive, and of what prevents that.

Sources are CPython's documentation and sources (`Doc/using/cmdline.rst`, `Modules/getpath.py`, `Lib/site.py`,
`Python/initconfig.c`, `Python/preconfig.c`) and those of Spark that docs/spark.md names. The remedies in the
archive were tested with CPython 3.8 to 3.14.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

KEEP = "ENVPACK_KEEP"
"""A variable with the names, separated by commas, of the variables that the start-up file leaves unchanged."""


class Remedy(str, Enum):
    """What prevents a variable from overriding the archive."""

    LAUNCHER = "`bin/python` unsets it"
    """`bin/python` is a small script in the archive: these variables act before a Python reads any file."""
    START = "a start-up file of the archive"
    """See `envpack/archive/start.py`."""
    PYVENV = "`pyvenv.cfg` of the archive"
    """It says `include-system-site-packages = false`, which switches the user's packages off (`site.venv`)."""
    SPARK = "Spark sets it"
    """For its Python processes, independent of the node."""
    NONE = "none"
    """It does not lead imports to packages outside the archive, and a job may want it."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable of a node."""

    name: str
    effect: str
    """Its effect on the packed Python."""
    remedy: Remedy


def _rows(remedy: Remedy, **effects: str) -> tuple[Variable, ...]:
    return tuple(Variable(name=name, effect=effect, remedy=remedy) for name, effect in effects.items())


PYTHON = (
    *_rows(
        Remedy.LAUNCHER,
        PYTHONHOME="Python looks for its standard library elsewhere: `No module named 'encodings'`",
        PYTHONPLATLIBDIR="the same, since 3.9",
        PYTHONEXECUTABLE="since 3.11: Python uses the prefix of another Python",
        __PYVENV_LAUNCHER__="since 3.11: Python uses the prefix of another Python",
        PYTHON_GIL="`0` makes a Python with the GIL, 3.13 or newer, fail at startup",
        PYTHONPYCACHEPREFIX="Python does not use the archive's bytecode, and may use outdated bytecode",
        _PYTHON_SYSCONFIGDATA_NAME="`sysconfig` reads the configuration of another Python",
        _PYTHON_SYSCONFIGDATA_PATH="the same, since 3.14",
        _PYTHON_HOST_PLATFORM="`sysconfig` reports another platform",
        _PYTHON_PROJECT_BASE="`sysconfig` reports the directories of another Python",
    ),
    *_rows(
        Remedy.START,
        PYTHONPATH="Python imports packages from there before those of the archive",
        PYTHONTZPATH="`zoneinfo` reads time zones from there before those of the archive",
    ),
    *_rows(
        Remedy.PYVENV,
        PYTHONUSERBASE="packages, `.pth` files and `usercustomize` come from there before those of the archive",
        PYTHONNOUSERSITE="nothing more: the archive disables the user site directory too",
    ),
    *_rows(Remedy.SPARK, PYTHONHASHSEED="strings have other hashes", PYTHONUNBUFFERED="output is not buffered"),
    *_rows(
        Remedy.NONE,
        PYTHONASYNCIODEBUG="asyncio makes more checks",
        PYTHONBREAKPOINT="`breakpoint()` calls something else",
        PYTHONCASEOK="nothing on Linux",
        PYTHONCOERCECLOCALE="`0`: Python does not coerce the C locale to UTF-8",
        PYTHONDEBUG="debug output of the parser",
        PYTHONDEVMODE="more checks and warnings",
        PYTHONDOCS="`pydoc` links to another URL of the documentation",
        PYTHONDONTWRITEBYTECODE="Python writes no bytecode; the archive has it already",
        PYTHONDUMPREFS="nothing, except in debug builds",
        PYTHONDUMPREFSFILE="nothing, except in debug builds",
        PYTHONFAULTHANDLER="a crash prints a traceback",
        PYTHONINSPECT="a driver that has ended waits for commands on standard input",
        PYTHONINTMAXSTRDIGITS="another limit on the digits of an integer that is read from text",
        PYTHONIOENCODING="another encoding of the standard streams",
        PYTHONLEGACYWINDOWSFSENCODING="nothing on Linux",
        PYTHONLEGACYWINDOWSSTDIO="nothing on Linux",
        PYTHONMALLOC="another memory allocator; `mimalloc` makes a Python before 3.13 fail at startup",
        PYTHONMALLOCSTATS="Python prints statistics of the memory allocator",
        PYTHONNODEBUGRANGES="tracebacks have no marks",
        PYTHONOLDPARSER="Python 3.9 uses the old parser",
        PYTHONOPTIMIZE="Python ignores `assert` and does not use the archive's bytecode: slower imports",
        PYTHONPERFSUPPORT="turns support for the perf profiler on or off",
        PYTHONPROFILEIMPORTTIME="Python prints the time of each import",
        PYTHONSAFEPATH="a driver does not find modules beside its own file",
        PYTHONSTARTUP="nothing, except in an interactive Python",
        PYTHONTHREADDEBUG="nothing, except in debug builds",
        PYTHONTRACEMALLOC="Python traces memory allocations",
        PYTHONUTF8="turns the UTF-8 mode on or off",
        PYTHONVERBOSE="Python prints each import",
        PYTHONWARNDEFAULTENCODING="a warning if a program gives no encoding",
        PYTHONWARNINGS="more or fewer warnings; `error` turns them into exceptions",
        PYTHON_BASIC_REPL="nothing, except in an interactive Python",
        PYTHON_COLORS="turns colours on or off",
        PYTHON_CONTEXT_AWARE_WARNINGS="warning filters are local to a context",
        PYTHON_CPU_COUNT="`os.cpu_count()` returns another number",
        PYTHON_DISABLE_REMOTE_DEBUG="no debugger can be attached",
        PYTHON_FROZEN_MODULES="frozen modules are loaded from files, first from those of the archive",
        PYTHON_HISTORY="nothing, except in an interactive Python",
        PYTHON_JIT="turns the just-in-time compiler on or off",
        PYTHON_LAZY_IMPORTS="modules are imported at their first use, or not",
        PYTHON_PERF_JIT_SUPPORT="turns support for the perf profiler on or off",
        PYTHON_PRESITE="nothing, except in debug builds",
        PYTHON_THREAD_INHERIT_CONTEXT="a thread starts with a copy of the context of its creator",
        PYTHON_TLBC="turns thread-local bytecode on or off, in free-threaded builds",
        PYTHON_UOPS_OPTIMIZE="the just-in-time compiler optimises less",
        _PYTHON_SUBPROCESS_USE_POSIX_SPAWN="`subprocess` starts processes with another system function",
    ),
)
"""Every variable that CPython 3.8 to 3.15 or its standard library reads."""

UNSET = tuple(variable.name for variable in PYTHON if variable.remedy is Remedy.LAUNCHER)
"""The variables that `bin/python` and `envpack run` unset."""


@dataclass(frozen=True, kw_only=True)
class PackageVariable:
    """A variable with which a node directs a wheel's libraries to the node's own files."""

    name: str
    packages: tuple[str, ...]
    """Projects whose wheels have such files and read the variable first."""
    effect: str
    source: str
    """The source of this."""


OF_PACKAGES = (
    PackageVariable(
        name="PROJ_DATA",
        packages=("fiona", "rasterio"),
        effect="PROJ opens the node's `proj.db`: `The EPSG code is unknown`",
        source="run: rasterio 1.4, fiona 1.10; pyproj and pyogrio use their own file first",
    ),
    PackageVariable(
        name="PROJ_LIB",
        packages=("fiona", "rasterio"),
        effect="the same; `PROJ_LIB` is the name that PROJ used before 9.1",
        source="run: rasterio 1.4, fiona 1.10; pyproj and pyogrio use their own file first",
    ),
    PackageVariable(
        name="GDAL_DATA",
        packages=("fiona", "rasterio"),
        effect="GDAL reads tables of another version",
        source="rasterio/env.py and fiona/env.py: they use their own data only if it is not set",
    ),
    PackageVariable(
        name="GDAL_DRIVER_PATH",
        packages=("fiona", "pyogrio", "rasterio"),
        effect="GDAL loads plug-ins that were made for another version",
        source="GDAL's documentation, configuration options",
    ),
    PackageVariable(
        name="PYTZ_TZDATADIR",
        packages=("pytz",),
        effect="pytz reads time zones from there; those that are missing there are unknown",
        source="run: pytz 2026; pytz/__init__.py, open_resource",
    ),
    PackageVariable(
        name="RDBASE",
        packages=("rdkit",),
        effect="RDKit reads the data of another version",
        source="run: rdkit 2026; rdkit/RDConfig.py",
    ),
)
"""The start-up file unsets them where the archive has such a wheel, unless they name a path inside."""

SAID = (
    Variable(name="PROJ_NETWORK", effect="turns the download of grids by PROJ on or off", remedy=Remedy.NONE),
    Variable(
        name="PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION",
        effect="`cpp` makes `import google.protobuf` fail since protobuf 4",
        remedy=Remedy.NONE,
    ),
    Variable(name="MPLBACKEND", effect="matplotlib uses another backend", remedy=Remedy.NONE),
    Variable(name="MPLCONFIGDIR", effect="matplotlib reads its configuration from there", remedy=Remedy.NONE),
    Variable(name="MATPLOTLIBRC", effect="matplotlib reads its configuration from there", remedy=Remedy.NONE),
    Variable(name="OPENSSL_CONF", effect="`ssl` uses the OpenSSL configuration of the node", remedy=Remedy.NONE),
    Variable(name="SSL_CERT_FILE", effect="TLS trusts the certificate authorities of the node", remedy=Remedy.NONE),
    Variable(name="JAVA_HOME", effect="chooses the Java that runs Spark, as intended", remedy=Remedy.NONE),
    Variable(name="LD_PRELOAD", effect="a library is loaded before all others", remedy=Remedy.NONE),
    Variable(
        name="LD_LIBRARY_PATH",
        effect="wheels load `libstdc++` and similar libraries from there",
        remedy=Remedy.START,
    ),
)
"""Variables of other software than CPython that nodes are known to set."""

LIBRARIES = ("libgcc_s.so.1", "libstdc++.so.6", "libz.so.1", "libexpat.so.1")
"""Libraries that manylinux lets wheels use from the machine; those that others need come first.

The start-up file loads the archive's own where LD_LIBRARY_PATH names others. Sources: PEP 600, auditwheel's policy;
ld.so(8): a library is loaded only once by its name.
"""


def of_wheels(projects: Collection[str]) -> tuple[str, ...]:
    """Return the variables that override files in the wheels of some projects, sorted."""
    return tuple(sorted(row.name for row in OF_PACKAGES if not set(row.packages).isdisjoint(projects)))
