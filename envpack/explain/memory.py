"""Findings about memory: executors that were killed, Python's share, spills, garbage collection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack.explain.findings import Unevaluated, found
from envpack.explain.run import EventPlace
from envpack.units import count, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.explain.findings import Case, Found
    from envpack.explain.run import Executor, Run, Stage

_OVERHEAD, _PYSPARK, _HEAP = (
    "spark.executor.memoryOverhead",
    "spark.executor.pyspark.memory",
    "spark.executor.memory",
)
_FACTOR = "spark.executor.memoryOverheadFactor"
_MEASURE = "spark.executor.processTreeMetrics.enabled"
_KILLED = re.compile(
    r"(?i)exceeding (?:physical|virtual) memory|(?:exit(?:ed)?(?: with)?(?: code| status)?:? ?|code )137\b"
    r"|OOMKilled|SIGKILL|possible container OOM"
)
_SAYS_MEMORY = re.compile(r"(?i)exceeding (?:physical|virtual) memory|OOMKilled")
_SIZE = re.compile(r"\s*(?P<number>[0-9]{1,15})\s*(?P<unit>[kmgtp]?)i?b?\s*")
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_USUAL_PARTITIONS = 200
_LEAST_OVERHEAD = 384 << 20
_LEAST_ASIDE = 1 << 20
"""For a share of it, where an application sets nothing aside."""
_USUAL_FACTOR, _KUBERNETES_FACTOR = 0.1, 0.4
"""Of the heap; on Kubernetes for applications that are not the JVM's own. Source: Spark's configuration page."""

_LARGEST_FACTOR = 100


def size_of(text: str) -> int | None:
    """Return the bytes of a size as Spark writes it; a bare number is MiB. None for an invalid one."""
    match = _SIZE.fullmatch(text.lower())
    return int(match["number"]) * _UNITS[match["unit"] or "m"] if match else None


def container_killed(case: Case) -> Iterator[Found]:
    """Yield executors that the node or the cluster killed before the application ended."""
    killed = [each for each in case.run.executors.values() if _was_killed(each, case.run)]
    if not killed:
        return
    python = case.run.uses_python
    said = any(_SAYS_MEMORY.search(each.reason) for each in killed)
    why = "for their memory" if said else "with SIGKILL, as by an out-of-memory killer"
    outside = "Python's memory is outside of the JVM's heap: " if python else ""
    yield from found(
        "container-killed",
        f"{len(killed)} of {count(len(case.run.executors), 'executor')} killed {why}",
        len(killed),
        severity="critical" if python else "high",
        places=[EventPlace(executor=each.id) for each in killed],
        quote=killed[0].reason,
        advice=f"{outside}give the executor more overhead, or fewer cores",
        settings={_OVERHEAD: mebibytes(2 * overhead(case.run))},
    )


def python_memory_tight(case: Case) -> Iterator[Found]:
    """Yield that Python's processes came near their memory overhead."""
    run = case.run
    peaks = [each for each in run.executors.values() if each.python_resident]
    if not peaks:
        if run.uses_python:
            reason = f"the memory of processes was not logged: {_MEASURE}=true logs it"
            yield Unevaluated(name="python-memory-tight", reason=reason)
        return
    largest = max(peaks, key=lambda each: each.python_resident)
    pyspark = size_of(run.properties.get(_PYSPARK, "")) or 0
    aside = max(overhead(run) + pyspark, _LEAST_ASIDE)
    yield from found(
        "python-memory-tight",
        f"the Python workers of an executor had {human_size(largest.python_resident)} in memory, and "
        f"{human_size(aside)} are set aside for all that is not the JVM's heap",
        largest.python_resident / aside,
        places=[EventPlace(executor=largest.id)],
        quote=f"ProcessTreePythonRSSMemory {largest.python_resident}",
        advice="raise the overhead, or run fewer tasks at once in an executor",
        settings={_OVERHEAD: mebibytes(largest.python_resident * 5 // 4)},
    )


def spill(case: Case) -> Iterator[Found]:
    """Yield the stage that spilled most to disk."""
    worst = max(case.run.stages.values(), key=lambda stage: stage.spilled_disk, default=None)
    if worst is None:
        return
    spilled = [stage for stage in case.run.stages.values() if stage.spilled_disk]
    yield from found(
        "spill",
        f"{len(spilled)} {'stage' if len(spilled) == 1 else 'stages'} did not have the memory to sort or join, and "
        "wrote to disk instead",
        sum(stage.spilled_disk for stage in spilled),
        places=[stage.place for stage in sorted(spilled, key=lambda s: -s.spilled_disk)],
        quote=f"Disk Bytes Spilled {worst.spilled_disk} of {worst.name}",
        advice="more and smaller partitions, or more memory for each core",
        settings={"spark.sql.shuffle.partitions": str(_more_partitions(case.run, worst))},
    )


def garbage_collection(case: Case) -> Iterator[Found]:
    """Yield that the JVM spent its time collecting garbage."""
    run = case.run
    garbage = sum(stage.garbage for stage in run.stages.values())
    worst = sorted(run.stages.values(), key=lambda stage: -stage.garbage)
    heap = size_of(run.properties.get(_HEAP, "1g")) or 1 << 30
    yield from found(
        "garbage-collection",
        "executors spent their time collecting garbage",
        garbage / run.task_time if run.task_time else 0,
        cost=garbage / 1000,
        places=[stage.place for stage in worst if stage.garbage],
        quote=f"JVM GC Time {garbage} ms of {run.task_time} ms of run time",
        advice="more heap or fewer cores for each executor; cache less",
        settings={_HEAP: mebibytes(heap * 3 // 2)},
    )


def overhead(run: Run) -> int:
    """Return the bytes of an executor besides its heap, from Spark's configuration."""
    if (asked := size_of(run.properties.get(_OVERHEAD, ""))) is not None:
        return asked
    heap = size_of(run.properties.get(_HEAP, "1g")) or 1 << 30
    kubernetes = run.properties.get("spark.master", "").startswith("k8s")
    usual = _KUBERNETES_FACTOR if kubernetes else _USUAL_FACTOR
    try:
        factor = float(run.properties.get(_FACTOR, usual))
    except ValueError:
        factor = usual
    return max(int(heap * (factor if 0 <= factor <= _LARGEST_FACTOR else usual)), _LEAST_OVERHEAD)


def _was_killed(executor: Executor, run: Run) -> bool:
    """Return whether an executor was killed for its memory; removals after the application's end do not count."""
    if executor.removed is None or (run.ended is not None and executor.removed >= run.ended):
        return False
    return bool(_KILLED.search(executor.reason))


def _more_partitions(run: Run, stage: Stage) -> int:
    now = run.number("spark.sql.shuffle.partitions")
    return 2 * max(_USUAL_PARTITIONS if now is None else now, stage.tasks)


def mebibytes(size: int) -> str:
    """Return a size as Spark reads it."""
    return f"{max(size >> 20, 1)}m"
