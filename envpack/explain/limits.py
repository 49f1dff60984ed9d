"""All thresholds of findings, with their floors and sources, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from envpack.units import human_size

if TYPE_CHECKING:
    from envpack.spark.versions import Minor

Severity = Literal["critical", "high", "moderate", "info"]

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "moderate", "info")
"""The worst first."""

Unit = Literal[
    "tasks", "seconds", "share", "bytes", "rows", "times", "tasks a core", "executors", "settings", "packages"
]


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """When one measure is a finding."""

    measure: str
    """What is measured, in a few words."""
    unit: Unit
    steps: tuple[tuple[float, Severity], ...]
    """Values from which on it is a finding of a severity, the worst first."""
    floor: float = 0
    """The least cost of a finding, in `floor_unit`."""
    floor_unit: Unit = "seconds"
    since: Minor | None = None
    """The first Spark that logs what is needed; None for all."""
    source: str = "envpack"
    """The source of the limit."""

    def severity(self, value: float, cost: float | None = None) -> Severity | None:
        """Return the severity of a value, or None below every limit or below the floor."""
        if cost is not None and cost < self.floor:
            return None
        return next((severity for step, severity in self.steps if value >= step), None)

    def reached(self, value: float) -> float:
        """Return the limit that a value has reached."""
        return next((step for step, _ in self.steps if value >= step), self.steps[-1][0])


_ANY: tuple[tuple[float, Severity], ...] = ((1, "critical"),)
_DR_ELEPHANT = "Dr. Elephant"
_DATAFLINT = "DataFlint"

LIMITS: dict[str, Threshold] = {
    "no-interpreter": Threshold(measure="tasks that found no Python", unit="tasks", steps=_ANY),
    "python-differs": Threshold(measure="tasks whose Python version is not the driver's", unit="tasks", steps=_ANY),
    "module-missing": Threshold(measure="tasks that lack a module", unit="tasks", steps=_ANY),
    "binary-misfit": Threshold(measure="tasks that cannot load a shared library", unit="tasks", steps=_ANY),
    "worker-crashed": Threshold(measure="tasks whose Python worker died", unit="tasks", steps=_ANY),
    "container-killed": Threshold(measure="executors that were killed", unit="executors", steps=_ANY),
    "python-limit": Threshold(measure="tasks that reached spark.executor.pyspark.memory", unit="tasks", steps=_ANY),
    "python-memory-tight": Threshold(
        measure="Python's peak memory, as a share of the memory reserved for it",
        unit="share",
        steps=((0.95, "high"), (0.8, "moderate")),
        since=(3, 1),
    ),
    "slow-worker-start": Threshold(
        measure="time to start Python workers, as a share of the run time of the tasks that start them",
        unit="share",
        steps=((0.5, "high"), (0.2, "moderate")),
        floor=30,
        since=(4, 0),
    ),
    "no-worker-reuse": Threshold(
        measure="Python tasks per core if workers are not reused",
        unit="tasks a core",
        steps=((4, "moderate"),),
    ),
    "slow-fetch": Threshold(
        measure="time from an executor's start to its first task, with tasks waiting",
        unit="seconds",
        steps=((180, "high"), (60, "moderate")),
    ),
    "slow-submission": Threshold(
        measure="time from submission to the application's start",
        unit="seconds",
        steps=((180, "high"), (60, "moderate")),
    ),
    "archive-staged": Threshold(
        measure="archives that every submission copies", unit="settings", steps=((1, "moderate"),)
    ),
    "ignored-setting": Threshold(
        measure="settings for Python that Spark ignores", unit="settings", steps=((1, "moderate"),)
    ),
    "pickled-rows": Threshold(
        measure="rows that were pickled to Python and back",
        unit="rows",
        steps=((1_000_000, "moderate"),),
    ),
    "arrow-batch": Threshold(
        measure="size of an Arrow batch, estimated from rows and bytes",
        unit="bytes",
        steps=((256 * 1000**2, "high"),),
    ),
    "small-arrow-batches": Threshold(
        measure="data sent in Arrow batches of less than 64 kB",
        unit="bytes",
        steps=((1000**3, "info"),),
    ),
    "small-tasks": Threshold(
        measure="tasks of a stage whose median task takes less than 0.5 s",
        unit="tasks",
        steps=((5_001, "moderate"),),
        source=_DATAFLINT,
    ),
    "skewed-tasks": Threshold(
        measure="the longest task of a stage, as a multiple of the median",
        unit="times",
        steps=((10, "moderate"),),
        floor=5,
        source=_DATAFLINT,
    ),
    "spill": Threshold(
        measure="data spilled to disk",
        unit="bytes",
        steps=((10 * 1000**3, "high"), (20 * 1000**2, "moderate")),
    ),
    "garbage-collection": Threshold(
        measure="garbage collection, as a share of run time",
        unit="share",
        steps=((0.2, "high"), (0.1, "moderate")),
        floor=5,
        source=_DR_ELEPHANT,
    ),
    "idle-executors": Threshold(
        measure="idle core time while stages ran, as a share",
        unit="share",
        steps=((0.5, "moderate"),),
        floor=60,
        source=f"{_DATAFLINT}; the floor is envpack's",
    ),
    "failed-tasks": Threshold(
        measure="tasks of a stage that failed",
        unit="share",
        steps=((0.5, "high"), (0.3, "moderate"), (0.1, "info")),
        floor=4,
        floor_unit="tasks",
        source=f"{_DR_ELEPHANT}; the floor is envpack's",
    ),
    "unknown-release": Threshold(
        measure="archives that the store does not have", unit="settings", steps=((1, "high"),)
    ),
    "other-spark": Threshold(
        measure="releases that were built for another Spark", unit="settings", steps=((1, "high"),)
    ),
    "tag-moved": Threshold(measure="releases that are no longer `latest`", unit="settings", steps=((1, "info"),)),
    "vulnerable": Threshold(
        measure="known vulnerabilities of the release's packages", unit="packages", steps=((1, "info"),)
    ),
    "versions-differ": Threshold(
        measure="packages with different versions on driver and workers", unit="packages", steps=((1, "high"),)
    ),
    "unused-packages": Threshold(
        measure="unpacked size of packages that no worker imported",
        unit="bytes",
        steps=((50 * 1000**2, "info"),),
    ),
}
"""By finding. Its order is that in which findings are looked for."""

SMALL_BATCH = 64_000
"""Bytes below which an Arrow batch is small: handing it over costs more than its rows."""

SMALL_TASK = 500
"""Milliseconds below which the median task of a stage is small. Source: DataFlint."""


def written(value: float, unit: Unit) -> str:
    """Return a value with its unit, for people."""
    match unit:
        case "share":
            return f"{value:.0%}"
        case "seconds":
            return f"{value:,.0f} s"
        case "bytes":
            return human_size(value)
        case "times":
            return f"{value:,.0f}x"
    return f"{value:,.0f} {unit}" if value != 1 else f"1 {unit.removesuffix('s')}"
