"""Columns for people: plain text, aligned."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_UNITS = (("y", 365 * 86400), ("mo", 30 * 86400), ("d", 86400), ("h", 3600), ("min", 60))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows below their heads, each column as wide as it must be."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def age(created: str, now: datetime | None = None) -> str:
    """Return how long ago a time (UTC, ISO 8601) was: `3 d`; the text itself when it is no time."""
    try:
        then = datetime.fromisoformat(created.replace("Z", "+00:00"))
    except ValueError:
        return created
    seconds = ((now or datetime.now(timezone.utc)) - then).total_seconds()
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return "now"
