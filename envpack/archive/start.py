"""What an archive's Python runs first, so that the archive comes before what its machine has configured for Python.

envpack writes this file into `site-packages`, with `VARIABLES`, `LIBRARIES` and `ZONES` filled in; two `.pth` files
call `begin` before and `end` after all others. Names in the variable ENVPACK_KEEP, separated by commas, are left as
the machine has them. It needs no more than what Python has loaded anyway, and nothing that Python 3.8 lacks.
"""

from __future__ import annotations

import os
import sys

VARIABLES: tuple[str, ...] = ()
"""What would lead a wheel of this archive to files of the machine."""
LIBRARIES: tuple[str, ...] = ()
"""What wheels take from the machine unless it is loaded already."""
ZONES: str = ""
"""Where this archive has time zones."""

_SPARK = ("pyspark", "py4j-", "spark-core_")
_put_off: list[str] = []


def begin() -> None:
    """Take the machine's own directories out of `sys.path`, and do what else must be done before any import."""
    if "PYTHONPATH" in os.environ and _wins("PYTHONPATH"):
        away = _of_the_machine(os.environ["PYTHONPATH"].split(os.pathsep))
        _put_off[:] = [entry for entry in sys.path if entry in away]
        sys.path[:] = [entry for entry in sys.path if entry not in away]
    if _wins("PYTHONPYCACHEPREFIX"):
        sys.pycache_prefix = None
    folder, name = os.path.split(sys.executable)
    launcher = os.path.join(folder, "python")
    own = os.path.realpath(folder) == os.path.realpath(os.path.join(sys.prefix, "bin"))
    if own and name.startswith("python") and os.path.isfile(launcher):
        sys.executable = launcher  # it has started this program, which is called otherwise
    if ZONES and _wins("PYTHONTZPATH") and os.path.isdir(os.path.join(sys.prefix, ZONES)):
        os.environ["PYTHONTZPATH"] = os.path.join(sys.prefix, ZONES)
    for name in VARIABLES:
        if name in os.environ and _wins(name) and not _inside(os.environ[name].split(os.pathsep)[0]):
            del os.environ[name]
    if os.environ.get("LD_LIBRARY_PATH") and _wins("LD_LIBRARY_PATH"):
        _load(os.environ["LD_LIBRARY_PATH"].split(os.pathsep))


def end() -> None:
    """Put the machine's directories behind all of this archive's."""
    sys.path += _put_off
    del _put_off[:]


def _wins(name: str) -> bool:
    return name not in os.environ.get("ENVPACK_KEEP", "").split(",")


def _of_the_machine(entries: list[str]) -> set[str]:
    """Return the directories of PYTHONPATH that neither Spark nor the job has put there.

    Spark's own are its zips, its home and, on YARN, what is in the container. Elsewhere, what comes before them in
    a driver is the job's `--py-files` (deploy/PythonRunner, api/python/PythonUtils, deploy/yarn/Client). A relative
    one can only be the job's.
    """
    home, container = os.environ.get("SPARK_HOME"), os.environ.get("CONTAINER_ID")
    of_spark = [
        os.path.basename(entry).startswith(_SPARK)
        or bool(home and _below(entry, home))
        or bool(container and container in entry.split("/"))
        for entry in entries
    ]
    first = of_spark.index(True) if True in of_spark and not container else 0
    return {
        os.path.abspath(entry)
        for entry, known in zip(entries[first:], of_spark[first:])
        if not known and os.path.isabs(entry) and not _inside(entry)
    }


def _inside(path: str) -> bool:
    return _below(path, sys.prefix)


def _below(path: str, folder: str) -> bool:
    return (os.path.abspath(path) + "/").startswith(os.path.abspath(folder) + "/")


def _load(folders: list[str]) -> None:
    for name in LIBRARIES:
        places = [os.path.join(sys.prefix, "lib", name), os.path.join(sys.prefix, "lib", "cxx", name)]
        own = next((place for place in places if os.path.isfile(place)), None)
        if own and any(os.path.isfile(os.path.join(folder, name)) for folder in folders):
            try:
                import _ctypes

                _ctypes.dlopen(own, os.RTLD_NOW)
            except (ImportError, OSError):
                pass
