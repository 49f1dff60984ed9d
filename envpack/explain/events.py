"""The events of a log that matter here, as Spark's JsonProtocol.scala writes them; every field may be missing."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

Number = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
"""A number of Spark's, which is a Java `long`: sums of them are numbers that can be divided and written."""

_CAPITALS = {"id": "ID", "jvm": "JVM", "gc": "GC", "rdd": "RDD"}


def _spaced(name: str) -> str:
    return " ".join(_CAPITALS.get(word, word.capitalize()) for word in name.split("_"))


class _Spaced(Struct, rename=_spaced, omit_defaults=True):
    """Fields are called `Stage ID`, `Task Info`."""


class _Camel(Struct, rename="camel", omit_defaults=True):
    """Fields are called `executionId`."""


class Head(Struct, rename={"event": "Event"}):
    """The fields of every event."""

    event: str = ""


class LogStart(_Spaced):
    spark_version: str = ""


class EnvironmentUpdate(_Spaced):
    spark_properties: dict[str, str] = {}


class ApplicationStart(_Spaced):
    app_name: str = ""
    app_id: str | None = None
    app_attempt_id: str | None = None
    timestamp: Number = 0


class ApplicationEnd(_Spaced):
    timestamp: Number = 0


class ExecutorInfo(_Spaced):
    host: str = ""
    total_cores: Number = 1
    request_time: Number | None = None


class ExecutorAdded(_Spaced):
    timestamp: Number = 0
    executor_id: str = ""
    executor_info: ExecutorInfo = msgspec.field(default_factory=ExecutorInfo)


class ExecutorRemoved(_Spaced):
    timestamp: Number = 0
    executor_id: str = ""
    removed_reason: str = ""


class RddInfo(_Spaced):
    name: str = ""
    scope: str | None = None


class StageInfo(_Spaced):
    stage_id: Number = 0
    stage_attempt_id: Number = 0
    stage_name: str = ""
    number_of_tasks: Number = 0
    submission_time: Number | None = None
    completion_time: Number | None = None
    failure_reason: str | None = None
    rdd_info: list[RddInfo] = []


class StageEvent(_Spaced):
    stage_info: StageInfo = msgspec.field(default_factory=StageInfo)


class JobStart(_Spaced):
    job_id: Number = 0
    submission_time: Number = 0


class JobEnd(_Spaced):
    job_id: Number = 0
    completion_time: Number = 0


class Accumulable(_Spaced):
    id: Number = -1
    name: str | None = None
    update: Any = None


class TaskInfo(_Spaced):
    task_id: Number = -1
    index: Number = -1
    attempt: Number = 0
    launch_time: Number = 0
    finish_time: Number = 0
    executor_id: str = ""
    failed: bool = False
    killed: bool = False
    accumulables: list[Accumulable] = []


class TaskEndReason(_Spaced):
    reason: str = "Success"
    class_name: str = ""
    description: str = ""
    loss_reason: str | None = None


class ShuffleRead(_Spaced):
    remote_bytes_read: Number = 0
    local_bytes_read: Number = 0


class TaskMetrics(_Spaced):
    executor_run_time: Number = 0
    jvm_gc_time: Number = 0
    memory_bytes_spilled: Number = 0
    disk_bytes_spilled: Number = 0
    shuffle_read_metrics: ShuffleRead = msgspec.field(default_factory=ShuffleRead)


class Peaks(
    Struct, rename={"python_resident": "ProcessTreePythonRSSMemory", "python_virtual": "ProcessTreePythonVMemory"}
):
    """Bytes of all Python processes of an executor; 0 where they are not measured."""

    python_resident: Number = 0
    python_virtual: Number = 0


class TaskStart(_Spaced):
    stage_id: Number = 0
    stage_attempt_id: Number = 0
    task_info: TaskInfo = msgspec.field(default_factory=TaskInfo)


class TaskEnd(_Spaced):
    stage_id: Number = 0
    stage_attempt_id: Number = 0
    task_end_reason: TaskEndReason = msgspec.field(default_factory=TaskEndReason)
    task_info: TaskInfo = msgspec.field(default_factory=TaskInfo)
    task_metrics: TaskMetrics | None = None
    task_executor_metrics: Peaks | None = None


class StageExecutorMetrics(_Spaced):
    executor_id: str = ""
    executor_metrics: Peaks | None = None


class PlanMetric(_Camel):
    name: str = ""
    accumulator_id: Number = -1


class PlanNode(_Camel):
    node_name: str = ""
    simple_string: str = ""
    children: list[PlanNode] = []
    metrics: list[PlanMetric] = []


class SqlPlan(_Camel):
    execution_id: Number = 0
    spark_plan_info: PlanNode = msgspec.field(default_factory=PlanNode)


Event = (
    LogStart
    | EnvironmentUpdate
    | ApplicationStart
    | ApplicationEnd
    | ExecutorAdded
    | ExecutorRemoved
    | StageEvent
    | JobStart
    | JobEnd
    | TaskStart
    | TaskEnd
    | StageExecutorMetrics
    | SqlPlan
)

_SQL = "org.apache.spark.sql.execution.ui.SparkListenerSQL"

_KINDS: dict[str, type[Any]] = {
    "SparkListenerLogStart": LogStart,
    "SparkListenerEnvironmentUpdate": EnvironmentUpdate,
    "SparkListenerApplicationStart": ApplicationStart,
    "SparkListenerApplicationEnd": ApplicationEnd,
    "SparkListenerExecutorAdded": ExecutorAdded,
    "SparkListenerExecutorRemoved": ExecutorRemoved,
    "SparkListenerStageSubmitted": StageEvent,
    "SparkListenerStageCompleted": StageEvent,
    "SparkListenerJobStart": JobStart,
    "SparkListenerJobEnd": JobEnd,
    "SparkListenerTaskStart": TaskStart,
    "SparkListenerTaskEnd": TaskEnd,
    "SparkListenerStageExecutorMetrics": StageExecutorMetrics,
    f"{_SQL}ExecutionStart": SqlPlan,
    f"{_SQL}AdaptiveExecutionUpdate": SqlPlan,
}

_head: msgspec.json.Decoder[Head] = msgspec.json.Decoder(Head)
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in _KINDS.items()}


def event(line: bytes) -> Event | None:
    """Return the event of a line, or None for one that does not matter here. Bytes that are not UTF-8 are replaced.

    Raises ValueError or RecursionError for an invalid event.
    """
    try:
        return _event(line)
    except UnicodeDecodeError:
        return _event(line.decode("utf-8", "replace").encode())


def _event(line: bytes) -> Event | None:
    decoder = _decoders.get(_head.decode(line).event)
    found: Event | None = decoder.decode(line) if decoder else None
    return found
