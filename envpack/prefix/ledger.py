"""The state of packages when they arrived in the cache, for comparison with their later state.

A lock proves a package's file. The package's own list of files proves what an installer has unpacked, and the notes
here prove that list, which is in the same cache. A disk may change a byte and keep size and time.
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
    """The state of a package when it was found intact."""

    digests: dict[Text, Digest] = {}
    """Digests of other files that must not change, by name: lists of files, and files without a digest in a
    list."""
    warnings: tuple[Text, ...] = ()
    """Findings that are legal but suspicious."""


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
        """Note a package that was found intact; a failure to write is ignored."""
        if key:
            STORED.keep(self._path(key), {"digests": dict(digests), "warnings": list(warnings)})

    def forget(self, key: str) -> None:
        """Forget a package, so that it is checked again, with any suffix of its key."""
        for path in self.root.glob(f"{key}*") if key else ():
            with suppress(OSError):
                path.unlink()

    def _path(self, key: str) -> Path:
        return inside(self.root, key)
