"""Pieces of archives that are kept: a package's files never change, so they are compressed once.

A piece is one package's part of an archive, compressed, with the facts that are needed to compose an archive
without reading it, such as its members. The file of a piece is

    the compressed bytes | an index in JSON | the CRC-32 of each and the index's length, 16 bytes

so that an incomplete file is detected. A damaged index is detected when the piece is found, damaged bytes when they
were read: a reader must not use them before the last one.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from zlib_ng import zlib_ng

from envpack.archive.members import CHUNK, Entry
from envpack.archive.saving import Saving  # noqa: TC001 - the codec reads the types
from envpack.codec import Count, Digest, Kind, Text, Unreadable
from envpack.files import least_used
from envpack.files.atomic import Draft, draft, sweep
from envpack.files.inside import inside
from envpack.redact.logs import filtered_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from envpack.archive.ownership import Owners

_TAIL = struct.Struct("<LLQ")
"""The CRC-32 of the compressed bytes, that of the index, and the length of the index."""

log = filtered_logger(__name__)


class Rewritten(NamedTuple):
    """A file that `conda-unpack` would rewrite."""

    path: str
    placeholder: str
    kind: str
    """`text` or `binary`."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of a piece that are known without reading it."""

    owner: Text
    """The package; empty for what is the environment's."""
    length: Count
    """Bytes, compressed."""
    sha256: Digest
    """Digest of the compressed bytes."""
    size: Count
    """Bytes before compression: of the tar records, or of the content of a zip's members."""
    entries: tuple[Entry, ...]
    """Its members, in their order."""
    directories: tuple[str, ...] = ()
    """Directories that the package needs even if they are empty."""
    rewritten: tuple[Rewritten, ...] = ()
    saved: tuple[Saving, ...] = ()
    """The files of the package that were left out because no node needs them."""
    crossing: bool = False
    """Whether the package has links that lead into other packages and are copies in a zip."""

    def dumps(self) -> bytes:
        """Return the facts as JSON."""
        return json.dumps({**vars(self), "saved": [vars(s) for s in self.saved]}, separators=(",", ":")).encode()


STORED = Kind(
    what="the index of a piece", type=Facts, limit=256 << 20, hint="remove the piece: the next build makes it again"
)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A kept piece."""

    key: str
    facts: Facts
    path: Path
    crc: int
    """CRC-32 of the compressed bytes."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the compressed bytes.

        Raises PieceGone when they are missing, and at their end when they are not what was written; the piece is
        removed then.
        """
        left = self.facts.length
        crc = 0
        try:
            with self.path.open("rb", buffering=0) as file:
                while left and (chunk := file.read(min(left, CHUNK))):
                    left -= len(chunk)
                    crc = zlib_ng.crc32(chunk, crc)
                    yield chunk
        except FileNotFoundError as error:
            raise PieceGone(self.key) from error
        if left or crc != self.crc:
            _remove(self.path, "its bytes are not those that were written")
            raise PieceGone(self.key)


class PieceGone(Exception):
    """A piece vanished after it was found, or was damaged."""


class Pieces:
    """The kept pieces of all builds that share a cache; several processes may use it at once."""

    def __init__(self, root: Path, *, limit: int) -> None:
        """Keep pieces below `root`, of at most `limit` bytes in all."""
        self._root = root
        self._limit = limit

    def find(self, keys: Iterable[str]) -> dict[str, Piece]:
        """Return those of the pieces that exist; one whose index is damaged is removed."""
        return {key: piece for key in dict.fromkeys(keys) if (piece := self._find(key))}

    @contextlib.contextmanager
    def keeping(self) -> Iterator[Keeping]:
        """Open a piece for writing; others can use it once it is finished.

        A failure to write it is ignored: then it is not kept.
        """
        new = self._root / "new"
        sweep(new)
        keeping = Keeping(new, self._path)
        try:
            yield keeping
        finally:
            keeping.close()

    def shrink(self) -> None:
        """Remove the least recently used pieces until the rest fits the limit."""
        least_used.shrink(self._root.glob("*/*"), self._limit)

    def _path(self, key: str) -> Path:
        return inside(self._root, f"{key[:2]}/{key}")

    def _find(self, key: str) -> Piece | None:
        path = self._path(key)
        try:
            piece = _read(key, path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, struct.error, Unreadable) as error:
            _remove(path, str(error))
            return None
        least_used.touch(path)
        return piece


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Pieces of earlier archives, and what decides which of them fit."""

    pieces: Pieces
    identify: Callable[[Owners], Mapping[str, str]]
    """Returns by owner what decides the content of its files, bytecode included; an owner that is left out is
    compressed every time."""
    fetch: Callable[[Collection[str]], object] | None = None
    """Adds missing pieces, by key, to the kept ones, if it finds them elsewhere."""


class Keeping:
    """A piece that is being written."""

    def __init__(self, folder: Path, path_of: Callable[[str], Path]) -> None:
        """Begin one in `folder`; its key, and thus its path by `path_of`, is known at its end."""
        self._path_of = path_of
        self._crc = 0
        self._writing = ExitStack()
        self._draft: Draft | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._draft = self._writing.enter_context(draft(folder / "piece"))
        except OSError as error:
            self._give_up(error)

    def write(self, data: bytes) -> None:
        """Write all of `data`."""
        if self._draft:
            self._crc = zlib_ng.crc32(data, self._crc)
            try:
                self._draft.file.write(data)
            except OSError as error:
                self._give_up(error)

    def finish(self, key: str, facts: Facts) -> None:
        """Write the index, and put the piece in its place."""
        index = facts.dumps()
        if self._draft:
            try:
                self._draft.file.write(index)
                self._draft.file.write(_TAIL.pack(self._crc, zlib_ng.crc32(index), len(index)))
                path = self._path_of(key)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._draft.take_the_place_of(path)
            except OSError as error:
                self._give_up(error)
        self._draft = None

    def close(self) -> None:
        """Remove an unfinished piece."""
        self._draft = None
        self._writing.close()

    def _give_up(self, error: OSError) -> None:
        log.debug("a piece is not kept: %s", error)
        self.close()


def _read(key: str, path: Path) -> Piece:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(size - _TAIL.size, 0))
        crc, crc_of_index, length = _TAIL.unpack(file.read())
        start = size - _TAIL.size - length
        if start < 0:
            raise ValueError("its index is not whole")
        file.seek(start)
        index = file.read(length)
    if zlib_ng.crc32(index) != crc_of_index:
        raise ValueError("its index is not the one that was written")
    facts = STORED.loads(index, str(path))
    if facts.length != start:
        raise ValueError("its length is not what its index says")
    return Piece(key=key, facts=facts, path=path, crc=crc)


def _remove(path: Path, why: str) -> None:
    log.debug("the piece %s is damaged and will be made again: %s", path, why)
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
