"""An archive's pieces as runs of tar records, which join to one tar; nothing is compressed."""

from __future__ import annotations

import hashlib
import struct
import tarfile
from typing import TYPE_CHECKING

from envpack.archive.deflate import Deflated, blocks
from envpack.archive.members import TIME
from envpack.archive.pieces import Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
    from pathlib import Path

    from envpack.archive.deflate import Block
    from envpack.archive.members import Member, Sink
    from envpack.archive.parts import Part
    from envpack.progress import Step

HEADER = b""
"""A tar starts with its first member."""

_TYPES = {"file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "directory": tarfile.DIRTYPE}

_RECORD = struct.Struct("100s 8s 8s 8s 12s 12s 8s c 100s 8s 247x")
"""Name, mode, user, group, size, time, checksum, type, link, magic; the names of user and group are empty."""

_NOBODY = b"0000000\0"
"""User and group 0."""


def runs(part: Part, step: Step) -> Iterator[Block]:
    """Yield the part's tar records in blocks: one run."""
    yield from blocks(records(part.members, part.digests, step.advance))


def made(stream: Iterable[Block], *, level: int, threads: int) -> Iterator[Deflated]:  # noqa: ARG001 - a Writer's
    """Yield blocks unchanged; a tar holds no CRC of its content, so none is computed."""
    for block in stream:
        yield Deflated(block.data, len(block.data), 0, block.last)


def collect(part: Part, compressed: Iterator[Deflated], out: Sink, scratch: Path) -> Facts:  # noqa: ARG001 - a Writer's
    """Write the part's run to `out` as it comes, and return its facts."""
    length = size = 0
    digest = hashlib.sha256()
    for block in compressed:
        out.write(block.data)
        digest.update(block.data)
        length += len(block.data)
        size += block.size
        if block.last:
            break
    return Facts(
        owner=part.owner,
        length=length,
        sha256=digest.hexdigest(),
        size=size,
        entries=tuple(part.entries()),
        directories=part.directories,
        rewritten=part.rewritten,
        saved=part.saved,
    )


def ending(pieces: Sequence[Facts]) -> bytes:
    """Return the end of a tar of these pieces: two empty blocks, and the padding of its last record."""
    return end_of(sum(piece.size for piece in pieces))


def end_of(size: int) -> bytes:
    """Return the end of a tar whose records take `size` bytes."""
    end = 2 * tarfile.BLOCKSIZE
    return bytes(end + -(size + end) % tarfile.RECORDSIZE)


def records(
    members: Iterable[Member], digests: MutableMapping[str, str], advance: Callable[[int], object]
) -> Iterator[bytes]:
    """Yield the tar's records of members; `advance` gets the number of bytes of their content that were read.

    `digests` gets the SHA-256 of each file's content by its path. Raises DamagedPackage when one is not as
    required, and PackingFailed when a file has changed.
    """
    for member in members:
        yield _header(member)
        if member.kind == "file":
            for chunk in member.proven(digests):
                yield chunk
                advance(len(chunk))
        if padding := -member.size % tarfile.BLOCKSIZE:
            yield bytes(padding)


def _header(member: Member) -> bytes:
    """Return the header before a member's content, in GNU's form.

    Every tar on a cluster reads its long names and large sizes, and it can hold names that are not valid text.
    tarfile writes the same but takes four times as long. Fields: GNU tar's manual, "Basic Tar Format".
    """
    name = member.path.encode("utf-8", "surrogateescape") + (b"/" if member.kind == "directory" else b"")
    link = member.link.encode("utf-8", "surrogateescape")
    long_names = b"".join(
        _record(b"././@LongLink", kind, len(value) + 1) + value.ljust(_blocks(len(value) + 1), b"\0")
        for value, kind in ((link, tarfile.GNUTYPE_LONGLINK), (name, tarfile.GNUTYPE_LONGNAME))
        if len(value) > tarfile.LENGTH_NAME
    )
    kind = _TYPES[member.kind]
    return long_names + _record(name, kind, member.size, mode=member.mode, time=TIME, link=link)


def _record(name: bytes, kind: bytes, size: int, *, mode: int = 0, time: int = 0, link: bytes = b"") -> bytes:
    fields = (name, b"%07o\0" % mode, _NOBODY, _NOBODY, _size(size), b"%011o\0" % time)
    record = _RECORD.pack(*fields, b" " * 8, kind, link, tarfile.GNU_MAGIC)
    return b"%b%06o\0%b" % (record[:148], sum(record), record[155:])


def _size(size: int) -> bytes:
    if size < 8**11:
        return b"%011o\0" % size
    return b"\x80" + size.to_bytes(11, "big")


def _blocks(size: int) -> int:
    return size + -size % tarfile.BLOCKSIZE
