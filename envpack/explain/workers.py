"""Findings about starting: executors, their archive, Python workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.explain.findings import Unevaluated, found
from envpack.explain.limits import LIMITS
from envpack.explain.run import EventPlace
from envpack.explain.selection import python_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.explain.findings import Case, Found
    from envpack.explain.run import Executor, Run

_REUSE = "spark.python.worker.reuse"
_SUBMITTED = "spark.app.submitTime"
_NOT_LOGGED = "Spark {} does not log how long Python workers take to start; 4.0 and newer do"


def slow_worker_start(case: Case) -> Iterator[Found]:
    """Yield that starting Python workers took much of their tasks' time."""
    run = case.run
    if not run.uses_python:
        return
    if not run.python_measured:
        if (run.version or (3, 0)) < (LIMITS["slow-worker-start"].since or (4, 0)):
            yield Unevaluated(name="slow-worker-start", reason=_NOT_LOGGED.format(run.spark or "of this log"))
        return
    starting = sum(stage.starting for stage in run.stages.values())
    whole = sum(stage.starting_run for stage in run.stages.values())
    starts = sum(stage.python_starts for stage in run.stages.values())
    slowest = sorted(run.stages.values(), key=lambda stage: -stage.starting)
    yield from found(
        "slow-worker-start",
        f"{starts} Python workers took {starting / 1000:,.0f} s to start and to import what the functions need",
        starting / whole if whole else 0,
        cost=starting / 1000,
        places=[stage.place for stage in slowest if stage.starting],
        quote=f"time to start and to initialize Python workers {starting} ms of {whole} ms",
        advice="archives of envpack hold compiled bytecode, so what is left are slow imports: import inside of the "
        "functions that need it, send less code with --py-files, and keep workers for more than one task",
        settings={_REUSE: "true"},
    )


def no_worker_reuse(case: Case) -> Iterator[Found]:
    """Yield that every task started its own Python worker."""
    run = case.run
    tasks = sum(stage.python_tasks for stage in run.stages.values())
    starts = sum(stage.python_starts for stage in run.stages.values())
    cores = sum(each.cores for each in run.executors.values() if each.ran_python) or 1
    off = run.properties.get(_REUSE, "true").lower() == "false"
    if not off and not (run.python_measured and tasks and starts / tasks > 0.5):
        if run.uses_python and not run.python_measured and (run.version or (3, 0)) < (4, 0):
            reason = f"{_REUSE} is not off, and {_NOT_LOGGED.format(run.spark or 'of this log')}"
            yield Unevaluated(name="no-worker-reuse", reason=reason)
        return
    started = f"{starts} of {tasks}" if run.python_measured else f"each of {tasks}"
    yield from found(
        "no-worker-reuse",
        f"{started} Python tasks started a worker of their own",
        tasks / cores,
        places=[stage.place for stage in run.stages.values() if stage.python_tasks],
        quote=f"{_REUSE}={run.properties.get(_REUSE, 'true, as by default')}",
        advice="let workers be used again"
        + ("" if off else "; they end when they are idle: spark.python.worker.idleTimeoutSeconds"),
        settings={_REUSE: "true"},
    )


def slow_fetch(case: Case) -> Iterator[Found]:
    """Yield executors that existed long before their first task, while tasks waited for them.

    Off YARN an executor fetches and unpacks archives between the two; on YARN the container does before it starts.
    """
    run, selected = case.run, python_of(case.run)
    if not run.executors or not selected.archives:
        return
    waits = sorted(((_wait(each, run), each) for each in run.executors.values()), key=lambda pair: -pair[0])
    longest, executor = waits[0]
    yield from found(
        "slow-fetch",
        "executors were long in coming to their first task: they fetch and unpack the archive meanwhile",
        longest / 1000,
        places=[EventPlace(executor=each.id) for wait, each in waits if wait >= longest / 2],
        quote=f"executor {executor.id}: added, and its first task {longest / 1000:,.0f} s later",
        advice="a smaller release, a store nearer to the nodes; on YARN a tar, which unpacks four times as fast",
        settings=["envpack build FILE --slim --compression best"],
    )


def slow_submission(case: Case) -> Iterator[Found]:
    """Yield that the application started long after it was submitted, as in a queue or after an upload."""
    run = case.run
    submitted = run.number(_SUBMITTED)
    if run.started is None or submitted is None or not python_of(run).archives:
        return
    wait = (run.started - submitted) / 1000
    yield from found(
        "slow-submission",
        "the application started long after it was submitted: it waited for the cluster, or its archive was sent",
        wait,
        quote=f"{_SUBMITTED}, and the application's start {wait:,.0f} s later",
        advice="see whether the submission says `Uploading resource`: then the archive is staged each time",
        settings=["envpack settings REF --launcher LAUNCHER"],
    )


def _wait(executor: Executor, run: Run) -> int:
    """Return the ms for which an executor had no task though its first stage had been submitted."""
    if executor.added is None or executor.first_task is None or executor.first_stage is None:
        return 0
    stage = run.stages.get(executor.first_stage)
    submitted = stage.submitted if stage and stage.submitted else executor.first_task
    return max(executor.first_task - max(executor.added, submitted), 0)
