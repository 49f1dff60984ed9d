"""Remember of what pieces an archive was made, so that the same one can be put together without a prefix."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envpack.errors import UsageError
from envpack.releases.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpack.archive.packing import Packed

_MOST = 500
"""How many recipes are kept; each is some ten kilobytes."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make an archive again, and what is known of it."""

    pieces: tuple[str, ...]
    """The keys of the archive's pieces, in order."""
    sha256: str
    """The archive's digest."""
    manifest: Manifest | None = None
    """That of the build; another of the same inputs differs in its name, its time and who made it."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Small files that belong to the release and follow from the archive."""


class Recipes:
    """The recipes of earlier builds by their input digest; several processes may use them at once."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def load(self, key: str) -> Recipe | None:
        """Return the recipe of a build; None if there is none that can be read."""
        path = self._root / f"{key}.json"
        try:
            value = json.loads(path.read_bytes())
            return Recipe(
                pieces=tuple(value["pieces"]),
                sha256=value["sha256"],
                manifest=_manifest(value["manifest"], str(path)),
                beside={name: base64.b64decode(data) for name, data in value["beside"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, UsageError):
            return None

    def keep(self, key: str, recipe: Recipe) -> None:
        """Write a recipe, whole or not at all; that it cannot be written is no reason to fail."""
        value = {
            "pieces": list(recipe.pieces),
            "sha256": recipe.sha256,
            "manifest": recipe.manifest.to_json() if recipe.manifest else None,
            "beside": {name: base64.b64encode(data).decode() for name, data in recipe.beside.items()},
        }
        part = self._root / f".{key}.{secrets.token_hex(4)}"
        with contextlib.suppress(OSError):
            self._root.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(value), "utf-8")
            part.replace(self._root / f"{key}.json")
            self._shrink()

    def _shrink(self) -> None:
        kept = sorted(self._root.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_MOST:]:
            path.unlink(missing_ok=True)


def recipe_of(
    packed: Packed, manifest: Manifest | None = None, beside: Mapping[str, bytes] | None = None
) -> Recipe | None:
    """Return the recipe of an archive; None when not all of its pieces are kept."""
    keys = [piece.key for piece in packed.pieces]
    if None in keys:
        return None
    return Recipe(
        pieces=tuple(key for key in keys if key), sha256=packed.sha256, manifest=manifest, beside=beside or {}
    )


def _manifest(value: dict[str, Any] | None, where: str) -> Manifest | None:
    return Manifest.loads(json.dumps(value).encode(), where) if value else None
