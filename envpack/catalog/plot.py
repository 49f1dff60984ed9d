"""Draw how an environment's archive has grown: numbers become the geometry of a small plot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timezone
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from envpack.units import human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpack.catalog.contents import Version

WIDTH, HEIGHT = 960, 190
"""The plot's own units; a page scales it."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 26, 26
_DOTS = 150
"""The largest number of versions with a dot for each."""

_SPARK = 24
"""How many of the newest versions a line in a table shows."""

_LABEL = 9.0
"""The width of a letter of a tag's label; labels that would touch are left out."""


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One version."""

    x: float
    y: float
    version: Version
    label: str
    """Its tags, where there is room to write them."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A line through every version's size, oldest at the left."""

    line: str
    """The value of the attribute `points` of an SVG polyline."""
    dots: tuple[Dot, ...]
    levels: tuple[tuple[float, str], ...]
    """Lines across: height and size."""
    days: tuple[tuple[float, str, str], ...]
    """Days along the foot: place, date, and how the text is anchored."""
    floor: str
    """The size at the foot of the plot; empty where that is zero."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    foot: int = HEIGHT - _BOTTOM


def plot(versions: Sequence[Version]) -> Plot | None:
    """Return the plot of an environment's versions, newest first as they come; None for a single one."""
    if len(versions) < 2:
        return None
    old_first = tuple(reversed(versions))
    sizes = [version.listed.size for version in old_first]
    times = [version.created.timestamp() for version in old_first]
    levels = _levels(min(sizes), max(sizes))
    across = _scale(times[0], times[-1], _LEFT + 8, WIDTH - _RIGHT - 8)
    up = _scale(levels[0], levels[-1], HEIGHT - _BOTTOM, _TOP)
    first, last = _days(old_first[0], old_first[-1])
    places = [(across(time), up(size)) for time, size in zip(times, sizes, strict=True)]
    return Plot(
        line=_points(places),
        dots=_dots(old_first, places),
        levels=tuple((up(level), human_size(level)) for level in levels),
        days=((places[0][0], first, "start"), (places[-1][0], last, "end")),
        floor=human_size(levels[0]) if levels[0] else "",
    )


def sparkline(versions: Sequence[Version], width: int = 72, height: int = 18) -> str:
    """Return the points of a line through the newest sizes, evenly apart; empty for a single version."""
    sizes = [version.listed.size for version in reversed(versions[:_SPARK])]
    if len(sizes) < 2:
        return ""
    across = _scale(0, len(sizes) - 1, 2, width - 2)
    up = _scale(min(sizes), max(sizes), height - 3, 3)
    return _points([(across(place), up(size)) for place, size in enumerate(sizes)])


def _days(first: Version, last: Version) -> list[str]:
    """Return the days of two versions, with the time of day where it is one day."""
    moments = [version.created.astimezone(timezone.utc) for version in (first, last)]
    one_day = moments[0].date() == moments[1].date()
    return [moment.strftime("%Y-%m-%d %H:%M" if one_day else "%Y-%m-%d") for moment in moments]


def _dots(versions: Sequence[Version], places: Sequence[tuple[float, float]]) -> tuple[Dot, ...]:
    """Return the dots; if labels would touch, the newer one stays."""
    dots: list[Dot] = []
    free = float(WIDTH)
    for version, (x, y) in reversed(list(zip(versions, places, strict=True))):
        if not (version.tags or len(versions) <= _DOTS):
            continue
        label = ", ".join(version.tags)
        half = len(label) * _LABEL / 2
        if label and x + half <= free:
            free = x - half
        else:
            label = ""
        dots.append(Dot(x=x, y=y, version=version, label=label))
    return tuple(reversed(dots))


def _levels(low: float, high: float) -> list[float]:
    """Return three to five round sizes that span the values; small differences are not magnified."""
    spare = max(high * 0.02 - (high - low), 1.0) / 2
    low, high = max(low - spare, 0.0), high + spare
    magnitude = 10.0 ** (floor(log10(high - low)) - 1)
    steps = (magnitude * factor for factor in (1, 2, 5, 10, 20, 50, 100))
    step = next(step for step in steps if ceil(high / step) - floor(low / step) <= 4)
    return [level * step for level in range(floor(low / step), ceil(high / step) + 1)]


def _scale(low: float, high: float, start: float, end: float) -> _Scale:
    return _Scale(
        low, (end - start) / (high - low) if high > low else 0.0, start if high > low else (start + end) / 2
    )


@dataclass(frozen=True)
class _Scale:
    low: float
    factor: float
    start: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) * self.factor, 1)


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places)
