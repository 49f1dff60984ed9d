"""Sizes and times as people write and read them."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from envpack.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIZE = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kMGT]?)B?\s*", re.IGNORECASE)
_BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SPAN = re.compile(r"(\d+)\s*([smhdw])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AGES = (("y", 365 * 86400), ("mo", 30 * 86400), ("d", 86400), ("h", 3600), ("min", 60))


def size_of(text: str, setting: str) -> int:
    """Return the bytes that a text such as `20 GB` or `500M` means; `setting` names it in an error.

    Raises UsageError.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{setting} must be a size, not {text!r}", hint="write a number and a unit, such as 20 GB or 500 MB"
        )
    return int(float(match["number"]) * _BYTES[match["unit"].upper()])


def count(amount: int, what: str, several: str = "") -> str:
    """Return a number with its noun: `1 release`, `2 releases`, `1,204 modules`; `several` is an odd plural."""
    return f"{amount:,} {what if amount == 1 else several or f'{what}s'}"


def agreeing(names: Sequence[str], one: str, several: str) -> str:
    """Return a sentence's part about one name or about several, which has `{}` in their place: `{} is not set`."""
    *first, last = names
    return several.format(f"{', '.join(first)} and {last}") if first else one.format(last)


def human_size(amount: float) -> str:
    """Return bytes as people read them: `12.3 MB`."""
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"


def span(text: str) -> float:
    """Return the seconds of a text such as `30d`; raises ValueError."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _SECONDS[match[2]]


def age(created: str, now: datetime | None = None) -> str:
    """Return how long ago a time (UTC, ISO 8601) was: `3 d`; the text itself when it is not a time."""
    try:
        then = datetime.fromisoformat(created.replace("Z", "+00:00"))
    except ValueError:
        return created
    seconds = ((now or datetime.now(timezone.utc)) - then).total_seconds()
    for unit, size in _AGES:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return "now"


def now() -> str:
    """Return the time, UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).replace(microsecond=0).isoformat().replace("+00:00", "Z")
