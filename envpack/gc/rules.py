"""The rules that say which releases stay in a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from envpack.digest import SHORT
from envpack.errors import UsageError
from envpack.units import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envpack.config.config import Config
    from envpack.releases.inventory import Shelf

T = TypeVar("T")

_A_NUMBER = "a number"
_A_TIME = "a time such as 12h, 30d or 8w"


@dataclass(frozen=True, kw_only=True)
class RetentionRules:
    """What stays; a release is removed only if there is a rule and none keeps it. Times are in seconds."""

    last: int | None = None
    """The newest releases of each name."""
    newer: float | None = None
    """Releases published within this time."""
    used: float | None = None
    """Releases whose use was noted within this time."""
    jobs: float = 30 * 86400.0
    """Releases and code of jobs that were submitted within this time stay, regardless of the rules."""
    history: int = 1
    """How many of a tag's earlier releases stay in addition to the current one, so that it can be rolled back."""
    grace: float = 86400.0
    """Younger objects stay, regardless of the rules: they may belong to a build in progress."""

    @property
    def any(self) -> bool:
        """Whether there is a rule at all."""
        return (self.last, self.newer, self.used) != (None, None, None)

    def reasons(self, shelf: Shelf, now: float) -> dict[str, tuple[str, ...]]:
        """Return each release of a shelf, by its digest's first digits, with why it stays; none: it is removed."""
        published = {key: folder.published for key, folder in shelf.folders.items() if folder.published is not None}
        newest = sorted(published, key=lambda key: published[key], reverse=True)[: self.last or 0]
        tagged = self._tagged(shelf)
        return {
            key: (
                *tagged.get(key, ()),
                *((f"among the newest {self.last}",) if key in newest else ()),
                *self._by_time(shelf, key, now - written, now),
            )
            for key, written in published.items()
        }

    def _tagged(self, shelf: Shelf) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, tag in sorted(shelf.tags.items()):
            found.setdefault(tag.digest[:SHORT], []).append(f"tagged {name}")
            for move in tag.moves[1 : self.history + 1]:
                found.setdefault(move.digest[:SHORT], []).append(f"was {name} before")
        return found

    def _by_time(self, shelf: Shelf, key: str, age: float, now: float) -> Iterator[str]:
        if self.newer is not None and age < self.newer:
            yield "new enough"
        if self.used is not None and key in shelf.used and now - shelf.used[key].modified < self.used:
            yield "used lately"
        if any(job.release == key and now - job.entry.modified < self.jobs for job in shelf.jobs):
            yield "used by a job lately"
        if age < self.grace:
            yield "in its grace period"
        if not self.any:
            yield "no rule is set"


def configured(config: Config) -> RetentionRules:
    """Return the rules that the configuration gives. Raises UsageError with every value that cannot be read."""
    problems: list[str] = []

    def read(field: str, parse: Callable[[str], T], wanted: str) -> T | None:
        text = getattr(config, f"gc_{field}")
        try:
            return None if text is None else parse(text)
        except ValueError:
            origin = config.origins.get(f"gc_{field}", "default")
            problems.append(f"{field.replace('_', '-')} must be {wanted}, not {text!r} ({origin})")
            return None

    given = {
        "last": read("keep_last", _number, _A_NUMBER),
        "newer": read("keep_newer", span, _A_TIME),
        "used": read("keep_used", span, _A_TIME),
        "jobs": read("keep_jobs", span, _A_TIME),
        "history": read("keep_history", _number, _A_NUMBER),
        "grace": read("grace", span, _A_TIME),
    }
    if problems:
        raise UsageError(problems, hint="correct the flag, the variable, or `gc:` in envpack.yaml")
    return RetentionRules(**given)  # type: ignore[arg-type] # mypy loses which value goes with which name


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)
