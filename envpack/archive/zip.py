"""Write members as a zip that Hadoop, Java and Info-ZIP read: no links, no data descriptors, ZIP64 where needed.

Layout: PKWARE's APPNOTE.TXT, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16 (the end)
and 4.5.3 (ZIP64).
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from envpack.archive.deflate import Block, blocks, combine, deflated
from envpack.errors import PackingFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from envpack.archive.members import Member, Sink
    from envpack.progress import Step

_STORED, _DEFLATED = 0, 8
_UTF8 = 1 << 11
_UNIX = 3
_DOS_DIRECTORY = 0x10
_DOS_DATE = (1 << 5) | 1  # 1980-01-01
_VERSION, _VERSION_64 = 20, 45
_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF

_IN_MEMORY = 16 << 20
"""A member that is larger than this when deflated waits in a file until its size is known."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One member as its headers describe it."""

    name: bytes
    mode: int
    method: int
    crc: int
    size: int
    deflated_size: int
    offset: int

    @property
    def flags(self) -> int:
        return 0 if self.name.isascii() else _UTF8

    def local_header(self) -> bytes:
        sizes = (self.deflated_size, self.size)
        extra = _extra(self.size, self.deflated_size) if max(sizes) >= _MAX_32 else b""
        if extra:
            sizes = (_MAX_32, _MAX_32)
        head = (0x04034B50, _VERSION_64 if extra else _VERSION, self.flags, self.method, 0, _DOS_DATE, self.crc)
        return struct.pack("<L5H3L2H", *head, *sizes, len(self.name), len(extra)) + self.name + extra

    def central_header(self) -> bytes:
        large = [value for value in (self.size, self.deflated_size, self.offset) if value >= _MAX_32]
        extra = _extra(*large) if large else b""
        version = _VERSION_64 if extra else _VERSION
        attributes = self.mode << 16 | (_DOS_DIRECTORY if stat.S_ISDIR(self.mode) else 0)
        head = (0x02014B50, version, _UNIX, version, self.flags, self.method, 0, _DOS_DATE, self.crc)
        sizes = (min(self.deflated_size, _MAX_32), min(self.size, _MAX_32), len(self.name), len(extra))
        tail = (0, 0, 0, attributes, min(self.offset, _MAX_32))
        return struct.pack("<LBB5H3L5H2L", *head, *sizes, *tail) + self.name + extra


def write(members: Iterable[Member], out: Sink, *, level: int, threads: int, scratch: Path, step: Step) -> None:
    """Write `members`, of which none is a link, to `out` in their order; large ones wait in a file in `scratch`."""
    members = list(members)
    pieces = deflated(_blocks(members, step), level=level, threads=threads)
    entries = []
    offset = 0
    for member in members:
        with SpooledTemporaryFile(_IN_MEMORY, dir=str(scratch)) as content:
            crc = 0
            if member.kind == "file":
                for piece in pieces:
                    content.write(piece.data)
                    crc = combine(crc, piece)
                    if piece.last:
                        break
            entry = _entry(member, crc=crc, deflated_size=content.tell(), offset=offset)
            header = entry.local_header()
            out.write(header)
            content.seek(0)
            while chunk := content.read(1 << 20):
                out.write(chunk)
        entries.append(entry)
        offset += len(header) + entry.deflated_size
    _write_end(entries, out, offset)


def _blocks(members: Iterable[Member], step: Step) -> Iterator[Block]:
    for member in members:
        if member.kind == "file":
            for block in blocks(member.chunks()):
                yield block
                step.advance(len(block.data))


def _entry(member: Member, *, crc: int, deflated_size: int, offset: int) -> _Entry:
    directory = member.kind == "directory"
    try:
        name = member.path.encode() + (b"/" if directory else b"")
    except UnicodeEncodeError as error:
        raise PackingFailed(
            f"the name of {member.path!r} is not UTF-8, which a zip needs", hint="pack to .tar.gz instead"
        ) from error
    return _Entry(
        name=name,
        mode=(stat.S_IFDIR if directory else stat.S_IFREG) | member.mode,
        method=_STORED if directory else _DEFLATED,
        crc=crc,
        size=member.size,
        deflated_size=deflated_size,
        offset=offset,
    )


def _extra(*values: int) -> bytes:
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


def _write_end(entries: list[_Entry], out: Sink, start: int) -> None:
    size = 0
    for entry in entries:
        header = entry.central_header()
        out.write(header)
        size += len(header)
    count = len(entries)
    if count >= _MAX_16 or start >= _MAX_32 or size >= _MAX_32:
        record = (0x06064B50, 44, _VERSION_64, _UNIX << 8 | _VERSION_64, 0, 0)
        out.write(struct.pack("<LQ2H2L4Q", *record, count, count, size, start))
        out.write(struct.pack("<LLQL", 0x07064B50, 0, start + size, 1))
    count = min(count, _MAX_16)
    out.write(struct.pack("<L4H2LH", 0x06054B50, 0, 0, count, count, min(size, _MAX_32), min(start, _MAX_32), 0))
