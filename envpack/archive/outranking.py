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
    NONE = "none: no package comes from elsewhere"
    """It changes how a Python runs, also the node's own; a job may want that."""


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
        PYTHONHOME="its standard library is looked for elsewhere: it ends with `No module named 'encodings'`",
        PYTHONPLATLIBDIR="the same, since 3.9",
        PYTHONEXECUTABLE="since 3.11 its prefix is another Python's",
        __PYVENV_LAUNCHER__="since 3.11 its prefix is another Python's",
        PYTHON_GIL="`0` ends a Python 3.13 or newer that has the lock",
        PYTHONPYCACHEPREFIX="the archive's bytecode is not used, and stale bytecode may be",
        _PYTHON_SYSCONFIGDATA_NAME="`sysconfig` reads another Python's configuration",
        _PYTHON_SYSCONFIGDATA_PATH="the same, since 3.14",
        _PYTHON_HOST_PLATFORM="`sysconfig` takes itself for another platform's",
        _PYTHON_PROJECT_BASE="`sysconfig` looks for another Python's directories",
    ),
    *_rows(
        Remedy.START,
        PYTHONPATH="packages are imported from there, before the archive's",
        PYTHONTZPATH="`zoneinfo` reads time zones from there, before the archive's",
    ),
    *_rows(
        Remedy.PYVENV,
        PYTHONUSERBASE="packages, `.pth` files and `usercustomize` come from there, before the archive's",
        PYTHONNOUSERSITE="it switches off what the archive switches off too",
    ),
    *_rows(Remedy.SPARK, PYTHONHASHSEED="strings get other hashes", PYTHONUNBUFFERED="output is not buffered"),
    *_rows(
        Remedy.NONE,
        PYTHONASYNCIODEBUG="asyncio checks more",
        PYTHONBREAKPOINT="`breakpoint()` calls something else",
        PYTHONCASEOK="nothing on Linux",
        PYTHONCOERCECLOCALE="the C locale is taken as it is",
        PYTHONDEBUG="the parser is debugged",
        PYTHONDEVMODE="more checks and warnings",
        PYTHONDOCS="`pydoc` names another address",
        PYTHONDONTWRITEBYTECODE="no bytecode is written: the archive has it already",
        PYTHONDUMPREFS="nothing, except in debug builds",
        PYTHONDUMPREFSFILE="nothing, except in debug builds",
        PYTHONFAULTHANDLER="crashes are reported",
        PYTHONINSPECT="a driver waits at its end for commands from its standard input",
        PYTHONINTMAXSTRDIGITS="longer or shorter integers can be read",
        PYTHONIOENCODING="another encoding of the standard streams",
        PYTHONLEGACYWINDOWSFSENCODING="nothing on Linux",
        PYTHONLEGACYWINDOWSSTDIO="nothing on Linux",
        PYTHONMALLOC="another allocator; `mimalloc` ends a Python before 3.13",
        PYTHONMALLOCSTATS="statistics of the allocator",
        PYTHONNODEBUGRANGES="tracebacks have no marks",
        PYTHONOLDPARSER="the old parser, in 3.9 only",
        PYTHONOPTIMIZE="`assert` is left out, and the archive's bytecode is not used: slower imports",
        PYTHONPERFSUPPORT="support of perf",
        PYTHONPROFILEIMPORTTIME="the time of each import is printed",
        PYTHONSAFEPATH="a driver does not find modules beside its own file",
        PYTHONSTARTUP="nothing, except in an interactive Python",
        PYTHONTHREADDEBUG="nothing, except in debug builds",
        PYTHONTRACEMALLOC="allocations are traced",
        PYTHONUTF8="UTF-8 in place of the locale's encoding, or not",
        PYTHONVERBOSE="each import is printed",
        PYTHONWARNDEFAULTENCODING="a warning where no encoding is named",
        PYTHONWARNINGS="more or fewer warnings; `error` makes exceptions of them",
        PYTHON_BASIC_REPL="nothing, except in an interactive Python",
        PYTHON_COLORS="colours or none",
        PYTHON_CONTEXT_AWARE_WARNINGS="filters of warnings hold for a context",
        PYTHON_CPU_COUNT="`os.cpu_count()` says another number",
        PYTHON_DISABLE_REMOTE_DEBUG="no debugger can be attached",
        PYTHON_FROZEN_MODULES="modules are read from files; the archive's own are the first",
        PYTHON_HISTORY="nothing, except in an interactive Python",
        PYTHON_JIT="the just-in-time compiler",
        PYTHON_LAZY_IMPORTS="modules are imported later",
        PYTHON_PERF_JIT_SUPPORT="support of perf",
        PYTHON_PRESITE="nothing, except in debug builds",
        PYTHON_THREAD_INHERIT_CONTEXT="threads begin with a copy of the context",
        PYTHON_TLBC="bytecode of threads, in free-threaded builds",
        PYTHON_UOPS_OPTIMIZE="the just-in-time compiler optimises less",
        _PYTHON_SUBPROCESS_USE_POSIX_SPAWN="`subprocess` starts processes by another function",
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
        source="run: rasterio 1.4, fiona 1.10; pyproj and pyogrio take their own first",
    ),
    PackageVariable(
        name="PROJ_LIB",
        packages=("fiona", "rasterio"),
        effect="the same; the name before PROJ 9.1",
        source="run: rasterio 1.4, fiona 1.10; pyproj and pyogrio take their own first",
    ),
    PackageVariable(
        name="GDAL_DATA",
        packages=("fiona", "rasterio"),
        effect="GDAL reads tables of another version",
        source="rasterio/env.py and fiona/env.py: their own only if it is not set",
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
        effect="time zones come from there, or are unknown",
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
    Variable(name="PROJ_NETWORK", effect="PROJ fetches grids, or does not", remedy=Remedy.NONE),
    Variable(
        name="PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION",
        effect="`cpp` makes `import google.protobuf` fail since protobuf 4",
        remedy=Remedy.NONE,
    ),
    Variable(name="MPLBACKEND", effect="matplotlib draws to something else", remedy=Remedy.NONE),
    Variable(name="MPLCONFIGDIR", effect="matplotlib reads its configuration there", remedy=Remedy.NONE),
    Variable(name="MATPLOTLIBRC", effect="matplotlib reads its configuration there", remedy=Remedy.NONE),
    Variable(name="OPENSSL_CONF", effect="`ssl` follows the node's configuration", remedy=Remedy.NONE),
    Variable(name="SSL_CERT_FILE", effect="TLS trusts the node's authorities", remedy=Remedy.NONE),
    Variable(name="JAVA_HOME", effect="the node's Java runs Spark, as it should", remedy=Remedy.NONE),
    Variable(name="LD_PRELOAD", effect="a library comes before all others", remedy=Remedy.NONE),
    Variable(
        name="LD_LIBRARY_PATH",
        effect="wheels take `libstdc++` and the like from there",
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
