"""What an activation script did to a shell's exported variables, however that was found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a script is tried. No path has a character in it that a careless script would split at."""

    directory: Path
    """An empty directory, the only one that may be written to."""
    prefix: Path
    """The linked prefix, or a link to it: what the script knows as CONDA_PREFIX."""


@dataclass(frozen=True, kw_only=True)
class ScriptOutcome:
    """What one script did."""

    changed: Mapping[str, str | None]
    """The exported variables that it set; None for a value that is not known."""
    removed: frozenset[str] = frozenset()
    """The exported variables that it took away."""
    problem: str | None = None
    """What went wrong, as words behind the script's name."""


NOTHING: Mapping[str, str | None] = {}
"""What a script sets that did not come to its end."""
