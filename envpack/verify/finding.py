"""A finding of verification: a problem that forbids publishing, or a note."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One thing that the user should know about an archive."""

    text: str
    """The problem, with the file or module it is about."""
    hint: str | None = None
    """The next step."""
    fatal: bool = True
    """Whether the archive must not be published."""


def listed(names: Collection[str]) -> str:
    """Return names for a message: sorted, and not too many to read."""
    shown = ", ".join(sorted(names)[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
