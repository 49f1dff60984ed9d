"""Fetch pieces of archives from releases of the same store, so that they need not be made again.

Every release says in `pieces.json` under which key each of its pieces is kept and where it is in the archive; the
manifest has the digest of `pieces.json`, which has that of the facts beside it. So with a trusted manifest each
byte can be checked before it is used. A piece that is missing, damaged or refused is made as if nothing had been
found.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from envpack import digest
from envpack.archive.pieces import Facts
from envpack.build import shared_pieces
from envpack.codec import Digest, Kind, Unreadable
from envpack.errors import EnvpackError, StoreRefused
from envpack.progress import SILENT
from envpack.redact.logs import filtered_logger
from envpack.releases import keys, lookup, tags
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from envpack.archive.composing import Laid
    from envpack.archive.pieces import Pieces
    from envpack.build.shared_pieces import StoredPiece
    from envpack.progress import Progress
    from envpack.stores.base import Store
    from envpack.verify.earlier import Records

logger = filtered_logger(__name__)

_MOST_NAMES = 8
"""How many other names are searched for their latest release."""

_MOST_SOURCES = 4
"""How many releases are read."""

_AT_ONCE = 8
"""How many ranges are fetched at the same time."""

_RANGE = 16 << 20
"""Bytes; pieces that are neighbours in an archive are fetched together up to this size."""

FACTS: Kind[dict[Digest, Facts]] = Kind(
    what="a list of what is known of pieces",
    type=dict[Digest, Facts],
    limit=256 << 20,
    packed=True,
    hint="builds do without it",
)


class Reuse(Enum):
    """The releases from which a build takes pieces."""

    NAME = "name"
    """Those of the same name."""
    STORE = "store"
    """Those of the same store."""
    OFF = "off"
    """None."""


def dump(pieces: Sequence[Laid]) -> bytes:
    """Return the facts of an archive's pieces that are kept under a key, as the bytes that are stored."""
    known = sorted((piece.key, piece.facts) for piece in pieces if piece.key)
    text = b",".join(b'"%s":%s' % (key.encode(), facts.dumps()) for key, facts in dict(known).items())
    return gzip.compress(b"{%s}" % text, 6, mtime=0)


@dataclass(frozen=True, kw_only=True)
class StoreReuse:
    """Fetches pieces for the build of a release."""

    store: Store
    name: str
    """The release's."""
    whose: Reuse
    pieces: Pieces
    """Where the pieces are put."""
    records: Records | None = None
    """Where the findings of the releases' verifications are put."""
    progress: Progress = SILENT

    def fetch(self, wanted: Collection[str]) -> None:
        """Fetch those of the pieces with these keys that the store has. A failure does not fail the build."""
        missing = set(wanted)
        if self.whose is Reuse.OFF or not missing:
            return
        try:
            for folder in itertools.islice(self._sources(), _MOST_SOURCES):
                missing -= self._take(*folder, missing)
                if not missing:
                    return
        except EnvpackError as error:
            logger.info("pieces that are not here are made, not fetched: %s", error.message)

    def _sources(self) -> Iterator[tuple[str, str]]:
        """Yield names and digests of releases: the latest of the same name, then those of other names."""
        names = [self.name]
        if self.whose is Reuse.STORE:
            others = (name for name in self.store.folders() if keys.is_name(name) and name != self.name)
            names += itertools.islice(others, _MOST_NAMES)
        for name in names:
            if tag := tags.read(self.store, name, tags.LATEST):
                yield name, tag.digest

    def _take(self, name: str, sha256: str, missing: Collection[str]) -> set[str]:
        """Fetch a release's missing pieces, and return the keys of those that are here now."""
        folder = keys.folder(name, sha256)
        try:
            release = lookup.at(self.store, name, sha256)
            listed = release.manifest.beside.get(keys.PIECES) if release else None
            if release is None or listed is None:
                return set()
            stored = shared_pieces.STORED.loads(self._proven(f"{folder}/{keys.PIECES}", listed), folder)
            listed_here = {piece.key: piece for piece in stored.pieces if piece.key in missing}
            if not listed_here or stored.facts is None:
                return set()
            facts = FACTS.loads(self._proven(f"{folder}/{keys.PIECE_FACTS}", stored.facts), folder)
            if self.records and stored.verification:
                own = {piece.sha256 for piece in stored.pieces}
                self._take_over(self.records, folder, stored.verification, own)
        except (Unreadable, StoreRefused) as error:
            logger.info("no pieces of %s are used: %s", folder, error.message)
            return set()
        wanted = [
            _Wanted(key=key, start=listed_here[key].start, facts=known)
            for key, known in facts.items()
            if key in listed_here and _fits(known, listed_here[key])
        ]
        archive = keys.archive_key(release.manifest)
        total = sum(piece.facts.length for piece in wanted)
        with (
            self.progress.step("fetch", total=total, unit="bytes") as step,
            ThreadPoolExecutor(_AT_ONCE) as pool,
        ):
            fetching = [pool.submit(self._fetch, archive, run, step.advance) for run in _runs(wanted)]
            taken = {key for one in fetching for key in one.result()}
            step.note(f"{count(len(taken), 'package')} packed for {release.manifest.reference}")
        return taken

    def _take_over(self, records: Records, folder: str, sha256: str, own: Collection[str]) -> None:
        """Note the findings of a release's verification, those on its `own` pieces.

        Raises as `_proven` does, and Unreadable.
        """
        from envpack.verify.earlier import RECORD  # noqa: PLC0415 - an unchanged build verifies nothing

        found = RECORD.loads(self._proven(f"{folder}/{keys.VERIFICATION}", sha256), folder)
        pieces = {sha256: seen for sha256, seen in found.pieces.items() if sha256 in own}
        records.keep(msgspec.structs.replace(found, pieces=pieces))

    def _proven(self, key: str, sha256: str) -> bytes:
        """Return a small object that has this digest. Raises StoreRefused for another, or none."""
        there = self.store.read(key)
        if there is None or digest.of_bytes(there.data) != sha256:
            raise StoreRefused(f"{self.store.uri(key)} does not match its SHA-256 in the manifest")
        return there.data

    def _fetch(self, archive: str, run: Sequence[_Wanted], advance: Callable[[int], object]) -> set[str]:
        """Fetch neighbouring pieces of an archive by one request; return the keys of the correct ones."""
        taken: set[str] = set()
        try:
            chunks = _Chunks(self.store.part(archive, run[0].start, run[-1].end - run[0].start))
            for piece in run:
                with self.pieces.keeping() as keeping:
                    sha256 = hashlib.sha256()
                    for chunk in chunks.next(piece.facts.length):
                        sha256.update(chunk)
                        keeping.write(chunk)
                        advance(len(chunk))
                    if sha256.hexdigest() != piece.facts.sha256:
                        logger.info("%s in %s is damaged", piece.facts.owner, self.store.uri(archive))
                        continue
                    keeping.finish(piece.key, piece.facts)
                taken.add(piece.key)
        except EnvpackError as error:
            logger.info("pieces are made, not fetched: %s", error.message)
        return taken


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A piece to fetch."""

    key: str
    start: int
    """Its first byte in the archive."""
    facts: Facts

    @property
    def end(self) -> int:
        """The byte after its last."""
        return self.start + self.facts.length


def _fits(known: Facts, piece: StoredPiece) -> bool:
    return (known.sha256, known.length) == (piece.sha256, piece.size)


class _Chunks:
    """Cuts a stream of bytes into other blocks."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._stream = stream
        self._left = b""

    def next(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes, or what is left of the stream."""
        while size:
            self._left = self._left or next(self._stream, b"")
            if not self._left:
                return
            chunk, self._left = self._left[:size], self._left[size:]
            size -= len(chunk)
            yield chunk


def _runs(pieces: Sequence[_Wanted]) -> Iterator[list[_Wanted]]:
    """Yield neighbouring pieces together."""
    run: list[_Wanted] = []
    for piece in sorted(pieces, key=lambda piece: piece.start):
        if run and (run[-1].end != piece.start or piece.end - run[0].start > _RANGE):
            yield run
            run = []
        run.append(piece)
    if run:
        yield run
