"""An archive's pieces as runs of tar records, which join to one tar in one gzip member."""

from __future__ import annotations

import hashlib
import struct
import tarfile
from typing import TYPE_CHECKING

from envpack.archive.deflate import Block, blocks, combine, deflate
from envpack.archive.members import TIME
from envpack.archive.pieces import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.archive.deflate import Deflated
    from envpack.archive.members import Member, Sink
    from envpack.archive.parts import Part
    from envpack.progress import Step

HEADER = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])
"""Deflate, no name, no time, unknown operating system (RFC 1952)."""

_TYPES = {"file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "directory": tarfile.DIRTYPE}


def runs(part: Part, step: Step) -> Iterator[Block]:
    """Yield the part's tar records in blocks: one run."""
    yield from blocks(_records(part.members, step), ends_stream=False)


def collect(part: Part, deflated: Iterator[Deflated], out: Sink) -> Facts:
    """Write the part's run to `out` as it is deflated, and return what is to be known of it."""
    length = size = crc = 0
    digest = hashlib.sha256()
    for block in deflated:
        out.write(block.data)
        digest.update(block.data)
        length += len(block.data)
        crc = combine(crc, block.crc, block.size)
        size += block.size
        if block.last:
            break
    return Facts(
        owner=part.owner,
        length=length,
        sha256=digest.hexdigest(),
        size=size,
        crc=crc,
        entries=tuple([member.entry() for member in part.members]),
        directories=part.directories,
        rewritten=part.rewritten,
        saved=part.saved,
    )


def ending(pieces: Sequence[Facts]) -> bytes:
    """Return what ends an archive of these pieces: the end of the tar, of the deflate stream and of the member."""
    crc = size = 0
    for piece in pieces:
        crc = combine(crc, piece.crc, piece.size)
        size += piece.size
    end = 2 * tarfile.BLOCKSIZE
    rest = bytes(end + -(size + end) % tarfile.RECORDSIZE)
    last = deflate(Block(rest, b"", last=True, ends_stream=True), level=9)
    return last.data + struct.pack("<LL", combine(crc, last.crc, last.size), (size + last.size) & 0xFFFFFFFF)


def _records(members: Sequence[Member], step: Step) -> Iterator[bytes]:
    for member in members:
        yield _header(member)
        if member.kind == "file":
            for chunk in member.chunks():
                yield chunk
                step.advance(len(chunk))
        if padding := -member.size % tarfile.BLOCKSIZE:
            yield bytes(padding)


def _header(member: Member) -> bytes:
    # GNU's form: every tar on a cluster reads its long names and large sizes, and it holds names that are no text.
    info = tarfile.TarInfo(member.path)
    info.type = _TYPES[member.kind]
    info.mode = member.mode
    info.size = member.size
    info.mtime = TIME
    info.linkname = member.link
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
