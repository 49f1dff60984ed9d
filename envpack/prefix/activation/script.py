"""The changes of an activation script to a shell's exported variables, from running or reading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a script is run. No path contains a character at which a careless script would split."""

    directory: Path
    """An empty directory, the only one that may be written to."""
    prefix: Path
    """The linked prefix, or a link to it: the script's CONDA_PREFIX."""


@dataclass(frozen=True, kw_only=True)
class ScriptOutcome:
    """The changes of one script."""

    changed: Mapping[str, str | None]
    """The exported variables that it set; None for an unknown value."""
    removed: frozenset[str] = frozenset()
    """The exported variables that it unset."""
    problem: str | None = None
    """What went wrong, as words that follow the script's name."""


NOTHING: Mapping[str, str | None] = {}
"""The result of a script that did not finish."""
