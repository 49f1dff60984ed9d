"""Compose an archive: kept pieces are copied, the others are compressed and may be kept."""

from __future__ import annotations

import hashlib
import queue
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import tee
from typing import TYPE_CHECKING, Protocol, cast

from envpack.archive.pieces import Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from envpack.archive.deflate import Block, Deflated
    from envpack.archive.formats import Format
    from envpack.archive.members import Sink
    from envpack.archive.parts import Part
    from envpack.archive.pieces import Facts, Pieces
    from envpack.progress import Step


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How an archive is written."""

    format: Format
    level: int
    """The compression level; 0 where the format has none."""
    threads: int
    scratch: Path
    """Where large members of a zip wait."""


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Where new pieces are kept, and under which key; None for one that is not kept."""

    pieces: Pieces
    key_of: Callable[[Part, Facts], str | None]


@dataclass(frozen=True, kw_only=True)
class Laid:
    """A piece in an archive."""

    facts: Facts
    start: int
    """Where it begins in the archive, in bytes."""
    key: str | None
    """The key under which it is kept; None if it is not."""
    reused: bool
    """Whether it was already kept."""


class Writer(Protocol):
    """The interface of a module that writes a format."""

    HEADER: bytes
    """The bytes at the beginning of an archive."""

    def runs(self, part: Part, step: Step) -> Iterator[Block]:
        """Yield the data of a part to compress, in blocks; `step` advances by the bytes that were read."""

    def made(self, stream: Iterable[Block], *, level: int, threads: int) -> Iterator[Deflated]:
        """Yield compressed blocks for writing, in their order."""

    def collect(self, part: Part, compressed: Iterator[Deflated], out: Sink, scratch: Path) -> Facts:
        """Write a compressed part to `out`, and return its facts."""

    def ending(self, pieces: Sequence[Facts]) -> bytes:
        """Return the bytes at the end of an archive of these pieces."""


def writer_of(format: Format) -> Writer:
    """Return the module that writes a format."""
    return cast("Writer", import_module(f"envpack.archive.{format.writer}"))


def compose(
    parts: Iterable[Part | Piece], out: Sink, *, manner: Manner, keep: Keep | None, step: Step
) -> list[Laid]:
    """Write an archive of `parts`, in their order, to `out`, and return the positions of its pieces.

    Raises Gone when a kept piece vanishes meanwhile, and PackingFailed when a file changes.
    """
    writer = writer_of(manner.format)
    laid: list[Laid] = []
    start = len(writer.HEADER)
    out.write(writer.HEADER)
    parts, read = tee(parts)
    made = writer.made(_runs(read, writer, step), level=manner.level, threads=manner.threads)
    for part in parts:
        if isinstance(part, Piece):
            _copy(part, out, step)
            laid.append(Laid(facts=part.facts, start=start, key=part.key, reused=True))
        else:
            facts, key = _compress(part, made, out, manner, keep)
            laid.append(Laid(facts=facts, start=start, key=key, reused=False))
        start += laid[-1].facts.length
    out.write(writer.ending([piece.facts for piece in laid]))
    return laid


def _runs(parts: Iterable[Part | Piece], writer: Writer, step: Step) -> Iterator[Block]:
    for part in parts:
        if not isinstance(part, Piece):
            yield from writer.runs(part, step)


def _copy(piece: Piece, out: Sink, step: Step) -> None:
    for chunk in piece.chunks():
        out.write(chunk)
    step.advance(sum([entry.size for entry in piece.facts.entries]))


def _compress(
    part: Part, made: Iterator[Deflated], out: Sink, manner: Manner, keep: Keep | None
) -> tuple[Facts, str | None]:
    writer = writer_of(manner.format)
    if keep is None:
        return writer.collect(part, made, out, manner.scratch), None
    with keep.pieces.keeping() as keeping:
        facts = writer.collect(part, made, _Both(out, keeping), manner.scratch)
        key = keep.key_of(part, facts)
        if key:
            keeping.finish(key, facts)
    return facts, key


@dataclass(frozen=True)
class _Both:
    """Writes the same to two."""

    one: Sink
    other: Sink

    def write(self, data: bytes) -> None:
        self.one.write(data)
        self.other.write(data)


class Digested:
    """Digests in its own thread what is written to a file."""

    def __init__(self, out: Sink) -> None:
        self._out = out
        self._waiting: queue.Queue[bytes | None] = queue.Queue(16)
        self._digest = hashlib.sha256()
        self.size = 0
        """Bytes so far."""

    def write(self, data: bytes) -> None:
        """Write all of `data`."""
        self._waiting.put(data)
        self._out.write(data)
        self.size += len(data)

    @contextmanager
    def running(self) -> Iterator[Digested]:
        """Digest until the block ends."""
        thread = threading.Thread(target=self._run, name="digest", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._waiting.put(None)
            thread.join()

    def hexdigest(self) -> str:
        """Return the SHA-256 of all that was written, once the block has ended."""
        return self._digest.hexdigest()

    def _run(self) -> None:
        while (data := self._waiting.get()) is not None:
            self._digest.update(data)
