"""Write members as one tar in one gzip member."""

from __future__ import annotations

import struct
import tarfile
from typing import TYPE_CHECKING

from envpack.archive.deflate import blocks, combine, deflated
from envpack.archive.members import TIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envpack.archive.members import Member, Sink
    from envpack.progress import Step

_GZIP_HEADER = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])
"""Deflate, no name, no time, unknown operating system (RFC 1952)."""

_TYPES = {"file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "directory": tarfile.DIRTYPE}


def write(members: Iterable[Member], out: Sink, *, level: int, threads: int, step: Step) -> None:
    """Write `members` to `out` in their order."""
    crc = size = 0
    out.write(_GZIP_HEADER)
    for piece in deflated(blocks(_tar(members, step)), level=level, threads=threads):
        out.write(piece.data)
        crc = combine(crc, piece)
        size += piece.size
    out.write(struct.pack("<LL", crc, size & 0xFFFFFFFF))


def _tar(members: Iterable[Member], step: Step) -> Iterator[bytes]:
    written = 0
    for member in members:
        header = _header(member)
        yield header
        if member.kind == "file":
            for chunk in member.chunks():
                yield chunk
                step.advance(len(chunk))
        padding = -member.size % tarfile.BLOCKSIZE
        yield bytes(padding)
        written += len(header) + member.size + padding
    end = 2 * tarfile.BLOCKSIZE
    yield bytes(end + -(written + end) % tarfile.RECORDSIZE)


def _header(member: Member) -> bytes:
    # GNU's form: every tar on a cluster reads its long names and large sizes, and it holds names that are no text.
    info = tarfile.TarInfo(member.path)
    info.type = _TYPES[member.kind]
    info.mode = member.mode
    info.size = member.size
    info.mtime = TIME
    info.linkname = member.link
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
