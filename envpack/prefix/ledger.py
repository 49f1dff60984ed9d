"""What packages were when they arrived in the cache, so that what lies there later can be held against it.

A lock proves a package's file. What an installer has unpacked of it is proven by the package's own list of files,
and that list, which lies in the same cache, by what is noted here. A disk may change a byte and keep size and time.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from envpack.codec import Digest, Kind, Text
from envpack.files.inside import inside

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Arrival(Struct, frozen=True, kw_only=True):
    """What a package was when it was found sound."""

    digests: dict[Text, Digest] = {}
    """What else must not change, by name: lists of files, and files of which no list tells the digest."""
    warnings: tuple[Text, ...] = ()
    """What is legal but says that something is amiss."""


STORED = Kind(
    what="a note on a package",
    type=Arrival,
    limit=64 << 20,
    hint="remove it: the package is looked at again",
)


@dataclass(frozen=True)
class Ledger:
    """The notes of all builds that share a cache; several processes may use them at once."""

    root: Path

    def recall(self, key: str) -> Arrival | None:
        """Return the note of a package; None if it was not seen before, or has no key."""
        return STORED.recall(self._path(key)) if key else None

    def keep(self, key: str, *, digests: Mapping[str, str], warnings: tuple[str, ...] = ()) -> None:
        """Note a package that was found sound; that it cannot be written is no reason to fail."""
        if key:
            STORED.keep(self._path(key), {"digests": dict(digests), "warnings": list(warnings)})

    def forget(self, key: str) -> None:
        """Let a package be looked at again, whatever follows its key."""
        for path in self.root.glob(f"{key}*") if key else ():
            with suppress(OSError):
                path.unlink()

    def _path(self, key: str) -> Path:
        return inside(self.root, key)
