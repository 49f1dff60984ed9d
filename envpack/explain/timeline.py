"""Draw when executors existed and when stages ran: times become the geometry of a drawing."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING

from envpack.explain.secrets import shown
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envpack.explain.run import Executor, Run, Stage

WIDTH = 960
"""The drawing's own units; a page scales it."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 12, 8, 24
_ROW, _BAR, _GAP = 18, 12, 10
_MOST_EXECUTORS, _MOST_LANES = 12, 12
_MOST_BARS = 400
_LETTER = 7.0
"""The width of a letter of a bar's label; one that does not fit is left out."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """Something that lasted."""

    kind: str
    """`executor`, `stage`, `python`, or `failed`."""
    x: float
    y: float
    width: float
    height: float
    label: str
    """Its label; empty where there is no room."""
    title: str


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The drawing."""

    bars: tuple[Bar, ...]
    rows: tuple[tuple[float, str], ...]
    """Names of rows at the side: height and text."""
    ticks: tuple[tuple[float, str], ...]
    """Times along the foot: place and text."""
    height: float
    left_out: str
    """What is left out for lack of room, in words."""
    width: int = WIDTH
    left: int = _LEFT
    right: int = WIDTH - _RIGHT

    @property
    def foot(self) -> float:
        """Where the rows end."""
        return self.height - _BOTTOM


def timeline(run: Run) -> Timeline | None:
    """Return the drawing of a run; None when nothing in it lasted."""
    if run.end <= run.begin:
        return None
    across = _Across(run.begin, run.end)
    executors = sorted((e for e in run.executors.values() if e.added is not None), key=lambda e: e.added or 0)
    shown = executors[:_MOST_EXECUTORS]
    lanes, left = _lanes(stage for stage in run.stages.values() if stage.submitted is not None)
    bars = [*_executor_bars(shown, run, across)]
    first = _TOP + len(shown) * _ROW + (_GAP if shown else 0)
    for number, lane in enumerate(lanes):
        bars += [_stage_bar(stage, run, across, first + number * _ROW) for stage in lane]
    rows = [(_TOP + at * _ROW + _BAR - 2, f"executor {executor.id}"[:14]) for at, executor in enumerate(shown)]
    rows += [(first + _BAR - 2, "stages")] if lanes else []
    return Timeline(
        bars=tuple(bars),
        rows=tuple(rows),
        ticks=tuple(_ticks(run, across)),
        height=first + len(lanes) * _ROW + _BOTTOM,
        left_out=_left_out(len(executors) - len(shown), left),
    )


def _lanes(stages: Iterable[Stage]) -> tuple[list[list[Stage]], int]:
    """Return stages in as few rows as they fit without covering each other, and how many found no room."""
    lanes: list[list[Stage]] = []
    free: list[int] = []
    left = drawn = 0
    for stage in sorted(stages, key=lambda stage: stage.submitted or 0):
        begin, end = stage.submitted or 0, stage.completed or 1 << 60
        lane = next((at for at, until in enumerate(free) if until <= begin), len(lanes))
        if lane >= _MOST_LANES or drawn >= _MOST_BARS:
            left += 1
            continue
        if lane == len(lanes):
            lanes.append([])
            free.append(0)
        lanes[lane].append(stage)
        free[lane] = end
        drawn += 1
    return lanes, left


def _executor_bars(executors: Iterable[Executor], run: Run, across: _Across) -> Iterator[Bar]:
    for at, executor in enumerate(executors):
        begin, end = executor.added or run.begin, executor.removed or run.end
        seconds = (end - begin) / 1000
        busy = executor.busy / 1000
        title = f"executor {executor.id}: {count(executor.cores, 'core')}, {seconds:,.0f} s, {busy:,.0f} s of tasks"
        lost = executor.removed is not None and (run.ended is None or executor.removed < run.ended)
        kind = "failed" if lost and executor.reason else "executor"
        yield _bar(kind, across, (begin, min(end, run.end)), _TOP + at * _ROW, title=title)


def _stage_bar(stage: Stage, run: Run, across: _Across, y: float) -> Bar:
    begin, end = stage.submitted or run.begin, stage.completed or run.end
    failed = f", {stage.failed} failed" if stage.failed else ""
    python = ", Python" if stage.python else ""
    seconds = (end - begin) / 1000
    title = f"stage {stage.id}: {count(stage.ended, 'task')}{failed}{python}, {seconds:,.1f} s; {shown(stage.name)}"
    kind = "failed" if stage.failed else "python" if stage.python else "stage"
    return _bar(kind, across, (begin, end), y, label=str(stage.id), title=title)


def _bar(kind: str, across: _Across, span: tuple[int, int], y: float, *, title: str, label: str = "") -> Bar:
    x = across(span[0])
    width = max(round(across(span[1]) - x, 1), 1.5)
    return Bar(
        kind=kind,
        x=x,
        y=y,
        width=width,
        height=_BAR,
        label=label if len(label) * _LETTER + 6 < width else "",
        title=title,
    )


def _ticks(run: Run, across: _Across) -> Iterator[tuple[float, str]]:
    """Yield five to ten round times from the start on."""
    seconds = (run.end - run.begin) / 1000
    step = 10.0 ** floor(log10(seconds / 5)) if seconds > 0 else 1.0
    step *= next((factor for factor in (1, 2, 5) if seconds / (step * factor) <= 9), 10)
    for number in range(int(seconds / step) + 1):
        yield across(run.begin + round(number * step * 1000)), _clock(number * step)


def _clock(seconds: float) -> str:
    if seconds >= 600:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds:g} s"


def _left_out(executors: int, stages: int) -> str:
    parts = [
        f"{number:,} more {what}" for number, what in ((executors, "executors"), (stages, "stages")) if number > 0
    ]
    return f"Not drawn: {' and '.join(parts)}." if parts else ""


@dataclass(frozen=True)
class _Across:
    begin: int
    end: int

    def __call__(self, time: int) -> float:
        inside = min(max(time, self.begin), self.end)
        return round(_LEFT + (inside - self.begin) / (self.end - self.begin) * (WIDTH - _LEFT - _RIGHT), 1)
