"""What a check has found, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Level = Literal["ok", "note", "warning", "problem"]
"""`problem`: a build would not work; `warning`: it would, but with a later cost."""

LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "problem")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One checked thing."""

    check: str
    """Its check, such as `store`."""
    level: Level
    text: str
    """What was found, without secrets."""
    hint: str | None = None
    """The next step."""

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Look:
    """A check, which may take a while or never end."""

    name: str
    look: Callable[[], Iterator[Finding]]
    """Yields what it finds as soon as it knows."""
