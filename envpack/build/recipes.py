"""Remember the pieces of an archive, so that the same one can be composed without a prefix."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack.codec import Digest, FileName, Kind
from envpack.files.inside import inside
from envpack.releases.manifest import Manifest, contradiction

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.archive.packing import Packed

_MOST = 500
"""How many recipes are kept; each has about ten kilobytes."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make an archive again, and its facts."""

    pieces: tuple[FileName, ...]
    """The keys of the archive's pieces, in order."""
    sha256: Digest
    """The archive's digest."""
    manifest: Manifest | None = None
    """The build's manifest; another of the same inputs differs in its name, its time and its maker."""


STORED = Kind(
    what="a recipe",
    type=Recipe,
    limit=128 << 20,
    hint="remove it: the next build makes another",
    check=lambda recipe: contradiction(recipe.manifest) if recipe.manifest else None,
)


class Recipes:
    """The recipes of earlier builds by their input digest; several processes may use them at once."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def load(self, key: str) -> Recipe | None:
        """Return the recipe of a build; None if there is none that can be read."""
        return STORED.recall(self._path(key))

    def keep(self, key: str, recipe: Recipe) -> None:
        """Write a recipe, whole or not at all; a failure to write is ignored."""
        value = {
            "pieces": list(recipe.pieces),
            "sha256": recipe.sha256,
            "manifest": recipe.manifest.to_json() if recipe.manifest else None,
        }
        STORED.keep(self._path(key), value)
        with contextlib.suppress(OSError):
            self._shrink()

    def _path(self, key: str) -> Path:
        return inside(self._root, f"{key}.json")

    def _shrink(self) -> None:
        kept = sorted(self._root.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_MOST:]:
            path.unlink(missing_ok=True)


def recipe_of(packed: Packed, manifest: Manifest | None = None) -> Recipe | None:
    """Return the recipe of an archive; None when not all of its pieces are kept."""
    keys = [piece.key for piece in packed.pieces]
    if None in keys:
        return None
    return Recipe(pieces=tuple(key for key in keys if key), sha256=packed.sha256, manifest=manifest)
