"""Findings about tasks that failed because of their Python: missing or wrong interpreter, missing modules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack.archive.formats import ALIAS
from envpack.explain import imports
from envpack.explain.findings import found
from envpack.explain.memory import mebibytes, size_of
from envpack.explain.selection import python_of
from envpack.packages import module_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from envpack.explain.findings import Case, Found
    from envpack.explain.run import TaskFailure

_NO_PROGRAM = re.compile(r'Cannot run program "(?P<python>[^"]{1,300})".{0,300}?error=(?P<number>\d+)[^\n]{0,100}')
_DIFFERS = re.compile(
    r"Python in worker has different version[^\n]{0,300}"
    r"|Python versions in worker[^\n]{0,300}"
)
_VERSION = re.compile(r"\(?(?P<major>\d)(?:\.|, )(?P<minor>\d{1,2})\)?")
_NO_MODULE = re.compile(r"No module named ['\"]?(?P<module>[\w.]{1,200})['\"]?")
_MISFIT = re.compile(
    r"[^\n]*(?:GLIBC(?:XX)?_[\d.]+' not found|undefined symbol|cannot open shared object|requires NumPy"
    r"|compiled using NumPy 1|numpy\.core\.multiarray failed to import|wrong ELF class|invalid ELF header"
    r"|numpy\.dtype size changed)[^\n]*"
)
_CRASHED = re.compile(r"Python worker exited unexpectedly[^\n]*")
_NO_MEMORY = re.compile(r"(?:^|\n)(?:[\w.]*ArrayMemoryError|MemoryError)[^\n]*")

_LIMIT = "spark.executor.pyspark.memory"

_OF_SPARK = frozenset({"pyspark", "py4j"})
"""Modules that no requirement brings to the workers."""


def no_interpreter(case: Case) -> Iterator[Found]:
    """Yield that no Python is where workers look for it."""
    failures = _of(case, _NO_PROGRAM)
    if not failures:
        return
    match = failures[0][1]
    python, permission = match["python"], match["number"] == "13"
    archives = python_of(case.run).archives
    if permission:
        advice = "the archive lost its permissions when it was unpacked: a zip does off YARN before Spark 4"
    elif not archives:
        advice = "no archive was sent with the application: submit with the release's settings"
    elif ALIAS not in archives.values() and python.startswith(f"./{ALIAS}/"):
        advice = f"the archive is unpacked to {', '.join(archives.values())}, and Python is looked for in ./{ALIAS}"
    else:
        advice = "the archive has no Python at that path, or was not unpacked in the worker's directory"
    yield from _failed(
        "no-interpreter",
        f"the Python workers could not be started: there is no {python} that can be run",
        failures,
        advice=advice,
        settings=["spark-submit $(envpack settings REF --output oneline) app.py"],
    )


def python_differs(case: Case) -> Iterator[Found]:
    """Yield that driver and workers run two Pythons."""
    failures = _of(case, _DIFFERS)
    if not failures:
        return
    failure, match = failures[0]
    after = failure.text[match.start() : match.start() + 600]
    versions = list(dict.fromkeys(f"{each['major']}.{each['minor']}" for each in _VERSION.finditer(after)))[:2]
    which = f": {versions[0]} in the workers, {versions[1]} in the driver" if len(versions) == 2 else ""
    yield from _failed(
        "python-differs",
        f"driver and workers run two Pythons{which}",
        failures,
        quote=" ".join(after.split())[:200],
        advice="start the driver with the release's Python version, or build the release for the driver's",
        settings=["envpack settings REF --launcher LAUNCHER --driver-python auto"],
    )


def module_missing(case: Case) -> Iterator[Found]:
    """Yield modules that workers could not import."""
    by_module: dict[str, list[tuple[TaskFailure, re.Match[str]]]] = {}
    for failure, match in _of(case, _NO_MODULE):
        by_module.setdefault(match["module"].partition(".")[0], []).append((failure, match))
    for module, failures in by_module.items():
        yield from _failed(
            "module-missing",
            f"the workers have no module {module}",
            failures,
            advice=_where_from(case, module),
        )


def binary_misfit(case: Case) -> Iterator[Found]:
    """Yield compiled code that does not fit the node or other packages."""
    failures = _of(case, _MISFIT)
    if failures:
        yield from _failed(
            "binary-misfit",
            "compiled code in the environment cannot be loaded",
            failures,
            advice="build for the nodes: --glibc with the oldest among them, --spark with the cluster's version; a "
            "library that the environment lacks is a line of the requirements",
            settings=["envpack build FILE --glibc VERSION --spark VERSION"],
        )


def python_limit(case: Case) -> Iterator[Found]:
    """Yield tasks that were refused memory by the limit of the application."""
    limit = case.run.properties.get(_LIMIT, "")
    size = size_of(limit)
    failures = _of(case, _NO_MEMORY) if limit else []
    if failures:
        yield from _failed(
            "python-limit",
            f"Python workers asked for more than {_LIMIT}={limit} gives them",
            failures,
            advice="the limit bounds address space, not memory in use, and an executor's tasks share it: raise it "
            "by half, or run fewer tasks at once in an executor",
            settings={_LIMIT: mebibytes(size * 3 // 2)} if size else (),
        )


def worker_crashed(case: Case) -> Iterator[Found]:
    """Yield workers that ended without a message."""
    failures = _of(case, _CRASHED)
    if not failures:
        return
    version = case.run.version
    settings = {"spark.python.worker.faulthandler.enabled": "true"} if version and version >= (3, 2) else {}
    yield from _failed(
        "worker-crashed",
        "Python workers ended without an exception",
        failures,
        advice="compiled code crashed, or the node's out-of-memory killer came: with the fault handler the "
        "executor's stderr shows where it was",
        settings=settings,
    )


def _of(case: Case, pattern: re.Pattern[str]) -> list[tuple[TaskFailure, re.Match[str]]]:
    """Return the failures whose text matches a pattern."""
    return [(failure, match) for failure in case.run.failures if (match := pattern.search(failure.text))]


def _failed(
    name: str,
    text: str,
    failures: Sequence[tuple[TaskFailure, re.Match[str]]],
    *,
    quote: str = "",
    advice: str,
    settings: Mapping[str, str] | Sequence[str] = (),
) -> Iterator[Found]:
    """Yield the finding of tasks that failed; it quotes the first match, if nothing else."""
    return found(
        name,
        text,
        sum(failure.count for failure, _ in failures),
        places=[place for failure, _ in failures for place in failure.places],
        quote=quote or failures[0][1][0],
        advice=advice,
        settings=settings,
    )


def _where_from(case: Case, module: str) -> str:
    """Return what to do for a module: which package of the release has it, else which project brings it."""
    if case.release:
        reference = case.release.manifest.reference
        owner = (imports.owners_in_release(case) or {}).get(module)
        named = (p.name for p in case.release.manifest.packages if module_names.may_bring(p.name, module))
        if package := owner or next(named, None):
            return f"{reference} has {package}, which brings it: the workers do not run in that release"
    if project := module_names.project_of(module):
        return f"{project} brings the module {module}: add the line {project} to the requirements, and build again"
    if module in _OF_SPARK:
        return f"Spark itself sends {module} to its workers: PYTHONPATH of the nodes or the job hides it"
    return f"if {module} is a package, add it to the requirements; if it is your own code, send it: --py-files"
