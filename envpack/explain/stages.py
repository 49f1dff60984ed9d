"""Findings about how work is divided into tasks and executors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.explain.findings import found
from envpack.explain.limits import SMALL_TASK
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.explain.findings import Case, Found
    from envpack.explain.run import EventPlace, Run, Stage

_FEWEST = 8
"""The least number of tasks for a meaningful median."""

_DYNAMIC = "spark.dynamicAllocation.enabled"


def small_tasks(case: Case) -> Iterator[Found]:
    """Yield stages of very many very short tasks."""
    small = [stage for stage in case.run.stages.values() if stage.ended and stage.durations.median < SMALL_TASK]
    worst = max(small, key=lambda stage: stage.ended, default=None)
    if worst is None:
        return
    yield from found(
        "small-tasks",
        f"a stage has {worst.ended:,} tasks of {worst.durations.median:,.0f} ms: scheduling is most of the work",
        worst.ended,
        places=[worst.place],
        quote=worst.name,
        advice="fewer partitions before the function: coalesce, or a smaller spark.sql.shuffle.partitions",
        settings=[f".coalesce({max(int(worst.ended * worst.durations.median / 5000), 1)})"],
    )


def skewed_tasks(case: Case) -> Iterator[Found]:
    """Yield the stage whose longest task takes many times as long as its median task."""
    stages = [stage for stage in case.run.stages.values() if stage.ended >= _FEWEST]
    worst = max(stages, key=_ratio, default=None)
    if worst is None:
        return
    longest, median = worst.durations.largest / 1000, worst.durations.median / 1000
    advice = "split the large keys, or let adaptive execution split skewed joins"
    if worst.python:
        advice = "split the large groups: a Python worker holds each of them whole"
    yield from found(
        "skewed-tasks",
        f"one task took {longest:,.0f} s, half of the stage's tasks less than {median:,.1f} s",
        _ratio(worst),
        cost=longest,
        places=[worst.longest],
        quote=worst.name,
        advice=advice,
        settings={"spark.sql.adaptive.skewJoin.enabled": "true"} if not worst.python else [],
    )


def failed_tasks(case: Case) -> Iterator[Found]:
    """Yield the stage with the largest share of failed tasks."""
    stages = [stage for stage in case.run.stages.values() if stage.failed]
    worst = max(stages, key=lambda stage: (stage.failed / (stage.failed + stage.ended), stage.failed), default=None)
    if worst is None:
        return
    failure = next((f for f in case.run.failures if any(p.stage == worst.id for p in f.places)), None)
    lines = failure.text.strip().splitlines() if failure else []
    yield from found(
        "failed-tasks",
        f"{worst.failed} of {worst.failed + worst.ended} tasks of a stage failed",
        worst.failed / (worst.failed + worst.ended),
        cost=worst.failed,
        places=[p for p in failure.places if p.stage == worst.id] if failure else [worst.place],
        quote=_telling(lines) if failure else worst.name,
        advice="read the error: each failed task was done again, and four failures of one end the application",
    )


def idle_executors(case: Case) -> Iterator[Found]:
    """Yield that cores had nothing to do while stages ran."""
    run = case.run
    offered = sum(_offered(run, begin, end) for begin, end in _active(run))
    busy = sum(each.busy for each in run.executors.values())
    idle = max(offered - busy, 0)
    dynamic = run.properties.get(_DYNAMIC, "false").lower() == "true"
    used = max(1, round(len(run.executors) * (1 - idle / offered))) if offered else 1
    cores = sum(each.cores for each in run.executors.values())
    settings = {"spark.dynamicAllocation.maxExecutors": str(used)} if dynamic else {_DYNAMIC: "true"}
    yield from found(
        "idle-executors",
        f"cores had no task for {idle / 1000:,.0f} s together while stages ran",
        idle / offered if offered else 0,
        cost=idle / 1000,
        places=_narrow(run),
        quote=f"{count(len(run.executors), 'executor')}, {count(cores, 'core')}",
        advice="ask for fewer executors, or cut the work into more tasks than there are cores",
        settings=settings,
    )


def _narrow(run: Run) -> list[EventPlace]:
    """Return the stages with fewer tasks than there are cores, the longest first."""
    cores = sum(each.cores for each in run.executors.values())
    found = [stage for stage in run.stages.values() if stage.tasks < cores and stage.submitted is not None]
    found.sort(key=lambda stage: (stage.completed or run.end) - (stage.submitted or 0), reverse=True)
    return [stage.place for stage in found]


def _ratio(stage: Stage) -> float:
    """Return the longest task's time as a multiple of the usual one; an executor's first tasks may be longer."""
    return stage.durations.largest / max(stage.durations.median, stage.warming.median, 1.0)


def _active(run: Run) -> list[tuple[int, int]]:
    """Return the spans in which a stage ran, none of them touching another."""
    spans = sorted((s.submitted, s.completed or run.end) for s in run.stages.values() if s.submitted is not None)
    joined: list[tuple[int, int]] = []
    for begin, end in spans:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def _offered(run: Run, begin: int, end: int) -> int:
    """Return the core time, ms, that executors offered in a span.

    An executor with tasks offers its cores from the first task on: before, it fetches the application's files.
    """
    total = 0
    for each in run.executors.values():
        there = each.added if each.first_task is None else each.first_task
        if there is not None:
            total += each.cores * max(min(end, each.removed or end) - max(begin, there), 0)
    return total


def _telling(lines: list[str]) -> str:
    """Return the line of a traceback with the error: the last that is no frame."""
    return next((line for line in reversed(lines) if line.strip() and not line.startswith((" ", "\t"))), "")
