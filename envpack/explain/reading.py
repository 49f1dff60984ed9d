"""Aggregate the events of a log to a `Run`."""

from __future__ import annotations

from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any

from envpack.explain import events
from envpack.explain.run import EventPlace, Executor, PythonNode, Run, Stage, TaskFailure
from envpack.explain.secrets import without_secrets
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envpack.explain.run import Milliseconds

MOST = 50_000
"""Stages, executors, plan nodes and metrics that are kept; more are ignored."""

_MOST_FAILURES = 200
_MOST_PLACES = 5
_LONGEST_TEXT = 8_000
_LATEST = 1 << 53

PYTHON_NODES = (
    "ArrowEvalPython",
    "BatchEvalPython",
    "MapInPandas",
    "MapInArrow",
    "PythonMapInArrow",
    "FlatMapGroupsInPandas",
    "FlatMapGroupsInArrow",
    "FlatMapCoGroupsInPandas",
    "FlatMapCoGroupsInArrow",
    "AggregateInPandas",
    "WindowInPandas",
    "ArrowAggregatePython",
    "ArrowWindowPython",
    "ArrowEvalPythonUDTF",
    "BatchEvalPythonUDTF",
    "FlatMapGroupsInPandasWithState",
    "TransformWithStateInPandas",
    "TransformWithStateInPySpark",
)
"""Steps of a plan that run Python workers. Source: Spark's sql/core, execution/python, 3.1 to 4.1."""

_START, _INITIALIZE = "time to start Python workers", "time to initialize Python workers"
_NODE_METRICS = {
    "number of output rows": "rows",
    "data sent to Python workers": "sent",
    "data returned from Python workers": "returned",
    "time to run Python workers": "run",
}
_PYTHON_METRICS = frozenset({_START, _INITIALIZE, *_NODE_METRICS} - {"number of output rows"})
_KILLED_ON_PURPOSE = frozenset({"TaskKilled", "Resubmitted", "TaskCommitDenied", "Killed"})


def read(lines: Iterable[bytes], passed_over: list[str]) -> Run:
    """Return the run of a log's lines; `passed_over` gets lines that are no events, and excess ones."""
    reading = _Reading(passed_over)
    unread = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            event = events.event(line)
        except (ValueError, RecursionError):
            unread += 1
            continue
        if event is not None:
            reading.add(event)
    if unread:
        passed_over.append(f"{count(unread, 'line')} that could not be read")
    if reading.dropped:
        passed_over.append(f"{count(reading.dropped, 'event')} beyond what is kept")
    return reading.run


class _Reading:
    def __init__(self, passed_over: list[str]) -> None:
        self.run = Run(passed_over=passed_over)
        self.dropped = 0
        self._metrics: dict[int, tuple[PythonNode, str]] = {}
        self._failures: dict[tuple[str, str], TaskFailure] = {}

    @singledispatchmethod
    def add(self, event: Any) -> None:  # noqa: ANN401 - jobs and whatever else has no part in the sums
        """Add one event."""

    @add.register
    def _(self, event: events.LogStart) -> None:
        self.run.spark = event.spark_version[:100]

    @add.register
    def _(self, event: events.EnvironmentUpdate) -> None:
        self.run.properties = without_secrets({**self.run.properties, **event.spark_properties})

    @add.register
    def _(self, event: events.ApplicationStart) -> None:
        self.run.id, self.run.name = (event.app_id or "")[:300], event.app_name[:300]
        self.run.attempt = (event.app_attempt_id or "")[:20]
        self.run.started = self._seen(event.timestamp) or None

    @add.register
    def _(self, event: events.ApplicationEnd) -> None:
        self.run.ended = self._seen(event.timestamp) or None

    @add.register
    def _(self, event: events.ExecutorAdded) -> None:
        if executor := self._executor(event.executor_id):
            executor.added = self._seen(event.timestamp) or None
            executor.host = event.executor_info.host[:300]
            executor.cores = min(max(event.executor_info.total_cores, 1), 1 << 16)

    @add.register
    def _(self, event: events.ExecutorRemoved) -> None:
        executor = self.run.executors.get(event.executor_id)  # one that never came is removed as well
        if executor:
            executor.removed = self._seen(event.timestamp) or None
            executor.reason = event.removed_reason[:_LONGEST_TEXT]

    @add.register
    def _(self, event: events.StageEvent) -> None:
        info = event.stage_info
        if stage := self._stage(info.stage_id, info.stage_attempt_id):
            stage.name = info.stage_name[:300]
            stage.tasks = info.number_of_tasks
            stage.submitted = self._seen(info.submission_time) if info.submission_time else stage.submitted
            stage.completed = self._seen(info.completion_time) if info.completion_time else stage.completed
            stage.python |= any(rdd.name == "PythonRDD" for rdd in info.rdd_info)

    @add.register
    def _(self, event: events.TaskStart) -> None:
        self._started(event.stage_id, event.stage_attempt_id, event.task_info)

    @add.register
    def _(self, event: events.TaskEnd) -> None:
        info = event.task_info
        self._started(event.stage_id, event.stage_attempt_id, info)
        self._seen(info.finish_time)
        stage, executor = self._stage(event.stage_id, event.stage_attempt_id), self._executor(info.executor_id)
        if stage is None or executor is None:
            return
        duration = min(max(info.finish_time - info.launch_time, 0), _LATEST)
        executor.busy += duration
        self._peaks(executor, event.task_executor_metrics)
        place = EventPlace(
            stage=stage.id, attempt=stage.attempt, task=info.task_id, executor=info.executor_id[:100]
        )
        if event.task_end_reason.reason != "Success":
            self._failed(stage, event.task_end_reason, place)
            return
        stage.ended += 1
        if duration > stage.durations.largest or not stage.durations.count:
            stage.longest = place
        stage.durations.add(duration)
        if executor.ended < executor.cores:
            stage.warming.add(duration)
        executor.ended += 1
        if event.task_metrics:
            self._measured(stage, event.task_metrics)
        self._python(stage, executor, info.accumulables, event.task_metrics)

    @add.register
    def _(self, event: events.StageExecutorMetrics) -> None:
        if executor := self.run.executors.get(event.executor_id):  # the driver has metrics as well
            self._peaks(executor, event.executor_metrics)

    @add.register
    def _(self, event: events.SqlPlan) -> None:
        for found in _walk(event.spark_plan_info):
            if found.node_name not in PYTHON_NODES or any(m.accumulator_id in self._metrics for m in found.metrics):
                continue
            if len(self._metrics) + len(self.run.nodes) >= MOST:
                self.dropped += 1
                return
            node = PythonNode(name=found.node_name, text=found.simple_string[:500], query=event.execution_id)
            self.run.nodes.append(node)
            for metric in found.metrics:
                self._metrics[metric.accumulator_id] = (node, metric.name)

    def _seen(self, time: Milliseconds) -> Milliseconds:
        time = min(max(time, 0), _LATEST)
        self.run.last = max(self.run.last, time)
        return time

    def _executor(self, name: str) -> Executor | None:
        found = self.run.executors.get(name)
        if found is None and len(self.run.executors) < MOST and len(name) <= 100:
            found = self.run.executors[name] = Executor(id=name)
        self.dropped += found is None
        return found

    def _stage(self, number: int, attempt: int) -> Stage | None:
        found = self.run.stages.get((number, attempt))
        if found is None and len(self.run.stages) < MOST:
            found = self.run.stages[number, attempt] = Stage(id=number, attempt=attempt)
        self.dropped += found is None
        return found

    def _started(self, stage: int, attempt: int, info: events.TaskInfo) -> None:
        executor = self._executor(info.executor_id)
        launch = self._seen(info.launch_time)
        if executor and (executor.first_task is None or launch < executor.first_task):
            executor.first_task, executor.first_stage = launch, (stage, attempt)

    def _measured(self, stage: Stage, metrics: events.TaskMetrics) -> None:
        stage.run += min(max(metrics.executor_run_time, 0), _LATEST)
        stage.garbage += min(max(metrics.jvm_gc_time, 0), _LATEST)
        stage.spilled_memory += max(metrics.memory_bytes_spilled, 0)
        stage.spilled_disk += max(metrics.disk_bytes_spilled, 0)
        read = metrics.shuffle_read_metrics
        stage.shuffle_read += max(read.remote_bytes_read, 0) + max(read.local_bytes_read, 0)

    def _peaks(self, executor: Executor, peaks: events.Peaks | None) -> None:
        if peaks:
            executor.python_resident = max(executor.python_resident, peaks.python_resident)
            executor.python_virtual = max(executor.python_virtual, peaks.python_virtual)

    def _python(
        self,
        stage: Stage,
        executor: Executor,
        accumulables: list[events.Accumulable],
        metrics: events.TaskMetrics | None,
    ) -> None:
        """Add a task's data on its Python workers.

        A worker that is used again reports no start, and its time to initialize holds the time for which it waited
        for a task: so initializing counts only in tasks that started a worker. Source: Spark's worker.py.
        """
        named: dict[str, int] = {}
        nodes: dict[int, PythonNode] = {}
        for each in accumulables:
            if each.name not in _PYTHON_METRICS and each.id not in self._metrics:
                continue
            value = _whole(each.update)
            named[each.name or ""] = named.get(each.name or "", 0) + value
            if known := self._metrics.get(each.id):
                node, metric = known
                nodes[id(node)] = node
                if field := _NODE_METRICS.get(metric):
                    setattr(node, field, getattr(node, field) + value)
        for node in nodes.values():
            node.tasks += 1
            node.stage = stage.place
        if not nodes and not named and not stage.python:
            return
        stage.python = executor.ran_python = True
        stage.python_tasks += 1
        if _INITIALIZE in named or _START in named:
            self.run.python_measured = True
        if named.get(_START, 0) > 0:
            stage.python_starts += 1
            stage.starting += named[_START] + named.get(_INITIALIZE, 0)
            stage.starting_run += metrics.executor_run_time if metrics else 0

    def _failed(self, stage: Stage, reason: events.TaskEndReason, place: EventPlace) -> None:
        if reason.reason in _KILLED_ON_PURPOSE:
            return
        stage.failed += 1
        text = _shortened(reason.description or reason.loss_reason or "")
        kind = (reason.class_name or reason.reason)[:300]
        key = kind, "".join("0" if letter.isdigit() else letter for letter in text[-300:])
        found = self._failures.get(key)
        if found is None:
            if len(self._failures) >= _MOST_FAILURES:
                self.dropped += 1
                return
            found = self._failures[key] = TaskFailure(kind=kind, text=text)
            self.run.failures.append(found)
        found.count += 1
        if len(found.places) < _MOST_PLACES:
            found.places.append(place)


def _walk(node: events.PlanNode) -> Iterator[events.PlanNode]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children


def _whole(value: object) -> int:
    """Return the update of a metric, which Spark writes as a number or as its text."""
    try:
        return min(max(int(value), 0), _LATEST) if isinstance(value, (int, float, str)) else 0
    except (ValueError, OverflowError):
        return 0


def _shortened(text: str) -> str:
    half = _LONGEST_TEXT // 2
    return text if len(text) <= _LONGEST_TEXT else f"{text[:half]}\n...\n{text[-half:]}"
