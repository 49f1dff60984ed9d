"""The result of a check of a run: findings with their evidence, and what the log does not say."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envpack.explain.limits import LIMITS, SEVERITIES, written
from envpack.explain.run import EventPlace
from envpack.explain.secrets import shown
from envpack.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from envpack.explain.imports import ImportRecord
    from envpack.explain.limits import Severity
    from envpack.explain.run import Run
    from envpack.packages.advisories import Vulnerability
    from envpack.packages.package import PackedPackage
    from envpack.releases.lookup import Release
    from envpack.stores.base import Store

MOST_PLACES = 5
_LONGEST_QUOTE = 300


@dataclass(frozen=True, kw_only=True)
class RunFinding:
    """One thing to change, according to a run."""

    name: str
    """Which finding, as in the table of limits."""
    severity: Severity
    text: str
    """The problem, in a sentence."""
    value: float
    """What was measured, in the unit of its limit."""
    limit: float
    """The limit that was reached."""
    unit: str
    places: tuple[EventPlace, ...] = ()
    """Where it happened, the first few."""
    quote: str = ""
    """The log's own text on it; without secrets."""
    advice: str = ""
    """What to do."""
    settings: tuple[str, ...] = ()
    """What to type."""

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON values (schema: docs/explain.schema.json)."""
        return {
            "finding": self.name,
            "severity": self.severity,
            "text": self.text,
            "measure": LIMITS[self.name].measure,
            "value": self.value,
            "limit": self.limit,
            "unit": self.unit,
            "events": [
                {"stage": p.stage, "attempt": p.attempt, "task": p.task, "executor": p.executor or None}
                for p in self.places
            ],
            "quote": self.quote or None,
            "advice": self.advice,
            "settings": list(self.settings),
        }

    @property
    def measured(self) -> str:
        """Value and limit, for people."""
        limit = LIMITS[self.name]
        source = "" if limit.source == "envpack" else f", {limit.source}"
        reached = f"limit {written(self.limit, limit.unit)}{source}"
        return f"{limit.measure}: {written(self.value, limit.unit)} ({reached})"

    @property
    def where(self) -> str:
        """The places, for people."""
        return "; ".join(_together(self.places))


@dataclass(frozen=True, kw_only=True)
class Unevaluated:
    """A finding that could not be evaluated."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """The input of the checks."""

    run: Run
    store: Store | None = None
    """Where the releases of its archives may be; None when none was named."""
    release: Release | None = None
    """The release that the application ran in, if the store has it."""
    no_store: str = ""
    """Why no store was used."""
    imports: Sequence[ImportRecord] = ()
    """The imports of its processes, where recorded."""
    vulnerable: Vulnerable | None = None
    """Gives the known vulnerabilities of packages; None without advisories."""


Found = RunFinding | Unevaluated

if TYPE_CHECKING:
    Look = Callable[[Case], Iterator[Found]]
    Vulnerable = Callable[[Sequence[PackedPackage]], Sequence[Vulnerability]]


def found(
    name: str,
    text: str,
    value: float,
    *,
    cost: float | None = None,
    severity: Severity | None = None,
    places: Sequence[EventPlace] = (),
    quote: str = "",
    advice: str = "",
    settings: Mapping[str, str] | Sequence[str] = (),
) -> Iterator[RunFinding]:
    """Yield the finding, if its value reaches a limit and its cost the floor.

    `settings` are properties for spark-submit by name, or lines to type unchanged. `severity` is for a finding
    whose severity does not follow from the value alone.
    """
    limit = LIMITS[name]
    reached = limit.severity(value, cost)
    if reached is None:
        return
    lines = settings
    if isinstance(settings, dict):
        lines = [f"--conf {shlex.quote(f'{key}={each}')}" for key, each in settings.items()]
    yield RunFinding(
        name=name,
        severity=severity or reached,
        text=shown(text),
        value=round(value, 3),
        limit=limit.reached(value),
        unit=limit.unit,
        places=tuple(places[:MOST_PLACES]),
        quote=_quoted(quote),
        advice=shown(advice),
        settings=tuple(visible(shown(line)) for line in lines),
    )


def _together(places: Sequence[EventPlace]) -> Iterator[str]:
    """Yield places in words, tasks of one stage and executor in one."""
    tasks: dict[tuple[int | None, int, str], list[int]] = {}
    for place in places:
        tasks.setdefault((place.stage, place.attempt, place.executor), []).extend(
            [place.task] if place.task is not None else []
        )
    for (stage, attempt, executor), numbers in tasks.items():
        words = str(EventPlace(stage=stage, attempt=attempt, executor=executor))
        yield (
            f"{words}, {'tasks' if len(numbers) > 1 else 'task'} {', '.join(map(str, numbers))}"
            if numbers
            else words
        )


def _quoted(text: str) -> str:
    line = " ".join(shown(text).split())
    return line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]}..."


def worst_first(findings: Sequence[RunFinding]) -> tuple[RunFinding, ...]:
    """Return findings by severity, else in the order of the table of limits."""
    order = list(LIMITS)
    return tuple(sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), order.index(f.name))))
