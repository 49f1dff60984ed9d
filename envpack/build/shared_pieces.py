"""Which bytes of an archive a store already has in other archives, so that they need not be sent again.

Every release has a `pieces.json` that says where each piece is in its archive. The newest release of the same name
is used, and those that this machine has published to the store and that have most in common.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from envpack import digest
from envpack.codec import Count, Digest, FileName, Folder, Kind, Text, Unreadable
from envpack.files.inside import inside
from envpack.redact.logs import filtered_logger
from envpack.releases import keys, tags
from envpack.stores.base import Held

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from envpack.archive.composing import Laid
    from envpack.stores.base import Store

SCHEMA = 1

logger = filtered_logger(__name__)

_WORTH = 5 << 20
"""Bytes; S3 copies no smaller part."""

_MOST_SOURCES = 3
"""How many releases are used."""

_REMEMBERED = 30
"""How many of the releases that this machine published are remembered for each store."""


class StoredPiece(Struct, frozen=True, kw_only=True):
    """Where one piece is in an archive."""

    sha256: Digest
    """Of its compressed bytes."""
    start: Count
    """Its first byte in the archive."""
    size: Count
    """Bytes."""
    of: Text
    """The package; empty for what is the environment's."""
    key: Digest | None = None
    """What decided its content; None for a piece that no other build can use."""


class StoredPieces(Struct, frozen=True, kw_only=True):
    """The JSON of `pieces.json`."""

    archive: FileName
    """The archive's file, beside it."""
    pieces: Annotated[tuple[StoredPiece, ...], Meta(max_length=100_000)]
    """In the order of the archive."""
    facts: Digest | None = None
    """SHA-256 of `piece-facts.json.gz` beside it; None in older releases."""
    verification: Digest | None = None
    """SHA-256 of `verification.json.gz` beside it; None where the archive was not run."""


STORED = Kind(
    what="a list of pieces",
    type=StoredPieces,
    limit=32 << 20,
    schema=SCHEMA,
    hint="uploads do without it",
)

PUBLISHED: Kind[dict[str, dict[str, int]]] = Kind(
    what="a memory of what was published",
    type=dict[Folder, dict[Digest, Count]],
    limit=64 << 20,
    hint="remove it: uploads do without it",
)


@dataclass(frozen=True, kw_only=True)
class PublishedPieces:
    """The releases that this machine has published to one store: folder to its pieces' digests and sizes."""

    path: Path
    releases: Mapping[str, Mapping[str, int]]

    @classmethod
    def load(cls, directory: Path, store: Store) -> PublishedPieces:
        """Read the memory of a store; unreadable data are dropped."""
        path = inside(directory, f"{digest.of_bytes(store.url.encode())}.json")
        return cls(path=path, releases=PUBLISHED.recall(path) or {})

    def remember(self, folder: str, pieces: Sequence[Laid]) -> None:
        """Add a release, and forget the oldest; a failure to write is ignored."""
        sizes = {piece.facts.sha256: piece.facts.length for piece in pieces}
        others = {name: held for name, held in self.releases.items() if name != folder}
        newest = dict(list({**others, folder: sizes}.items())[-_REMEMBERED:])
        PUBLISHED.keep(self.path, newest)

    def likely(self, wanted: Mapping[str, int]) -> Iterator[str]:
        """Yield the folders of releases that have enough of the wanted pieces, the one with most first."""
        common = {
            folder: sum(size for sha256, size in held.items() if sha256 in wanted)
            for folder, held in self.releases.items()
        }
        yield from (folder for folder in sorted(common, key=lambda f: -common[f]) if common[folder] >= _WORTH)


def dump(file: str, pieces: Iterable[Laid], facts: str, verification: str | None = None) -> bytes:
    """Return the `pieces.json` of an archive whose file name is `file`.

    `facts` is the SHA-256 of its pieces' facts, `verification` that of its verification's findings.
    """
    rows = [
        {
            "sha256": piece.facts.sha256,
            "start": piece.start,
            "size": piece.facts.length,
            "of": piece.facts.owner,
            **({"key": piece.key} if piece.key else {}),
        }
        for piece in pieces
    ]
    beside = {"facts": facts, **({"verification": verification} if verification else {})}
    return json.dumps({"schema": SCHEMA, "archive": file, **beside, "pieces": rows}, indent=1).encode()


def held_by(store: Store, name: str, pieces: Sequence[Laid], published: PublishedPieces) -> tuple[Held, ...]:
    """Return which pieces of an archive that will be published as `name` the store already has."""
    missing = {piece.facts.sha256: piece.facts.length for piece in pieces}
    found: dict[str, tuple[str, int]] = {}
    asked: set[str] = set()
    for folder in _sources(store, name, missing, published):
        if sum(missing.values()) < _WORTH or len(asked) == _MOST_SOURCES:
            break
        if folder in asked:
            continue
        asked.add(folder)
        there = _pieces_in(store, folder)
        found |= {sha256: there[sha256] for sha256 in there.keys() & missing.keys()}
        missing = {sha256: size for sha256, size in missing.items() if sha256 not in there}
    return tuple(
        Held(key=key, start=start, offset=piece.start, size=piece.facts.length)
        for piece in pieces
        if piece.facts.sha256 in found
        for key, start in (found[piece.facts.sha256],)
    )


def _sources(store: Store, name: str, wanted: Mapping[str, int], published: PublishedPieces) -> Iterator[str]:
    latest = tags.read(store, name, tags.LATEST)
    if latest:
        yield keys.folder(name, latest.digest)
    yield from published.likely(wanted)


def _pieces_in(store: Store, folder: str) -> dict[str, tuple[str, int]]:
    """Return the places of a release's pieces: digest to key and start; nothing if it does not list them."""
    there = store.read(f"{folder}/{keys.PIECES}")
    if there is None:
        return {}
    try:
        stored = STORED.loads(there.data, store.uri(f"{folder}/{keys.PIECES}"))
    except Unreadable as error:
        logger.info("%s", error.message)
        return {}
    if not stored.archive.startswith(f"{folder.replace('/', '-')}."):
        return {}
    return {row.sha256: (f"{folder}/{stored.archive}", row.start) for row in stored.pieces}
