"""The aggregated event log of one application: its size does not grow with the number of tasks."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envpack.spark.versions import Minor

Milliseconds = int
"""Since 1970, or a span."""

_VERSION = re.compile(r"(?P<major>[0-9]{1,4})\.(?P<minor>[0-9]{1,4})(?:\..*)?", re.DOTALL)
_WHOLE = re.compile(r"\s*[0-9]{1,15}\s*")


class Spread:
    """The distribution of values, in steps of 5 %: the median of any number of them, in little memory."""

    _STEP = math.log(1.05)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.largest = 0.0

    def add(self, value: float) -> None:
        """Count a value that is 0 or more."""
        step = round(math.log(value) / self._STEP) if value >= 1 else -1
        self._counts[step] = self._counts.get(step, 0) + 1
        self.count += 1
        self.largest = max(self.largest, value)

    @property
    def median(self) -> float:
        """The value in the middle, within 3 %; 0 when there is none."""
        seen = 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen * 2 >= self.count:
                return math.exp(step * self._STEP) if step >= 0 else 0.0
        return 0.0


@dataclass(frozen=True, kw_only=True)
class EventPlace:
    """A place in an application; None and empty where that has no meaning."""

    stage: int | None = None
    attempt: int = 0
    """The stage's attempt."""
    task: int | None = None
    executor: str = ""

    def __str__(self) -> str:
        stage = (
            f"stage {self.stage}" + (f".{self.attempt}" if self.attempt else "") if self.stage is not None else ""
        )
        task = f"task {self.task}" if self.task is not None else ""
        executor = f"executor {self.executor}" if self.executor else ""
        return ", ".join(filter(None, (stage, task, executor)))


@dataclass(kw_only=True)
class Executor:
    """One executor; the driver is not included."""

    id: str
    host: str = ""
    cores: int = 1
    added: Milliseconds | None = None
    removed: Milliseconds | None = None
    reason: str = ""
    """Why it was removed, in Spark's words."""
    first_task: Milliseconds | None = None
    first_stage: tuple[int, int] | None = None
    """The stage of its first task, with its attempt."""
    ended: int = 0
    """Tasks that ended well."""
    busy: Milliseconds = 0
    """All its tasks, one after the other."""
    python_resident: int = 0
    """The most bytes that its Python processes had in memory; 0 when not measured."""
    python_virtual: int = 0
    """The most bytes of their address space."""
    ran_python: bool = False


@dataclass(kw_only=True)
class Stage:
    """One attempt of a stage."""

    id: int
    attempt: int
    name: str = ""
    tasks: int = 0
    submitted: Milliseconds | None = None
    completed: Milliseconds | None = None
    python: bool = False
    """Whether its tasks run Python workers."""
    ended: int = 0
    """Tasks that ended well."""
    failed: int = 0
    """Tasks that failed; those that were killed on purpose do not count."""
    durations: Spread = field(default_factory=Spread)
    """Of tasks that ended well, ms."""
    warming: Spread = field(default_factory=Spread)
    """Of an executor's first tasks among them, one for each core: they start the JVM's code and workers."""
    longest: EventPlace = field(default_factory=EventPlace)
    run: Milliseconds = 0
    garbage: Milliseconds = 0
    """Collecting garbage in the JVM."""
    spilled_memory: int = 0
    spilled_disk: int = 0
    shuffle_read: int = 0
    python_tasks: int = 0
    python_starts: int = 0
    """Python tasks that started a worker of their own; Spark 4.0 and newer log it."""
    starting: Milliseconds = 0
    """Starting and initializing those workers."""
    starting_run: Milliseconds = 0
    """The run time of the tasks that did."""

    @property
    def place(self) -> EventPlace:
        """The stage as a place."""
        return EventPlace(stage=self.id, attempt=self.attempt)


@dataclass(kw_only=True)
class PythonNode:
    """One step of a query's plan that runs Python workers."""

    name: str
    """Spark's name of it, such as `ArrowEvalPython`."""
    text: str
    """Its line in the plan."""
    query: int
    """Spark's number of the query."""
    rows: int = 0
    sent: int = 0
    """Bytes to the workers."""
    returned: int = 0
    run: Milliseconds = 0
    """In the tasks that had it."""
    tasks: int = 0
    stage: EventPlace = field(default_factory=EventPlace)


@dataclass(kw_only=True)
class TaskFailure:
    """One way in which tasks failed."""

    kind: str
    """The class of the error, or Spark's reason."""
    text: str
    """The message, shortened in the middle."""
    count: int = 0
    places: list[EventPlace] = field(default_factory=list)
    """The first of them."""


@dataclass(kw_only=True)
class Run:
    """One application."""

    spark: str = ""
    """Its version, such as `4.0.1`; empty when the log does not have it."""
    id: str = ""
    attempt: str = ""
    name: str = ""
    started: Milliseconds | None = None
    ended: Milliseconds | None = None
    """None for an application that was killed, crashed, or has not ended."""
    last: Milliseconds = 0
    """The newest time in the log."""
    properties: dict[str, str] = field(default_factory=dict)
    """Spark's properties without secrets."""
    executors: dict[str, Executor] = field(default_factory=dict)
    stages: dict[tuple[int, int], Stage] = field(default_factory=dict)
    nodes: list[PythonNode] = field(default_factory=list)
    failures: list[TaskFailure] = field(default_factory=list)
    python_measured: bool = False
    """Whether tasks say how long their Python workers took to start."""
    passed_over: list[str] = field(default_factory=list)
    """The parts of the log that could not be read."""

    @property
    def version(self) -> Minor | None:
        """Spark's version as two numbers, if it is known."""
        match = _VERSION.fullmatch(self.spark)
        return (int(match["major"]), int(match["minor"])) if match else None

    def number(self, name: str) -> int | None:
        """Return a property that is a whole number of 0 or more; None when it is missing or anything else."""
        text = self.properties.get(name, "")
        return int(text) if _WHOLE.fullmatch(text) else None

    @property
    def begin(self) -> Milliseconds:
        """When it started, or the oldest time that is known."""
        if self.started is not None:
            return self.started
        times = [stage.submitted for stage in self.stages.values() if stage.submitted]
        times += [executor.added for executor in self.executors.values() if executor.added]
        return min(times, default=self.last)

    @property
    def end(self) -> Milliseconds:
        """When it ended, or the newest time in the log."""
        return max(self.ended or self.last, self.begin)

    @property
    def uses_python(self) -> bool:
        """Whether any of its tasks runs Python workers."""
        return bool(self.nodes) or any(stage.python for stage in self.stages.values())

    @property
    def task_time(self) -> Milliseconds:
        """The total time of its tasks."""
        return sum(stage.run for stage in self.stages.values())
