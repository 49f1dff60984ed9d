"""An archive's pieces as members of a zip that Hadoop, Java and Info-ZIP read.

It has no links and no data descriptors; ZIP64 is used where it is needed.

Layout: PKWARE's APPNOTE.TXT, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16 (the end)
and 4.5.3 (ZIP64).
"""

from __future__ import annotations

import hashlib
import stat
import struct
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING

from envpack.archive.deflate import blocks, combine, deflated, part_of_stream
from envpack.archive.members import CHUNK, mode_of
from envpack.archive.pieces import Facts
from envpack.errors import PackingFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from envpack.archive.deflate import Block, Deflated
    from envpack.archive.members import Entry, Sink
    from envpack.archive.parts import Part
    from envpack.progress import Step

__all__ = ["HEADER", "collect", "ending", "made", "runs"]

HEADER = b""
"""A zip starts with its first member."""

made = partial(deflated, making=part_of_stream)

_STORED, _DEFLATED = 0, 8
_UTF8 = 1 << 11
_UNIX = 3
_DOS_DIRECTORY = 0x10
_DOS_DATE = (1 << 5) | 1  # 1980-01-01
_VERSION, _VERSION_64 = 20, 45
_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF

_IN_MEMORY = 16 << 20
"""A member that is larger than this when deflated is kept in a file until its size is known."""


def runs(part: Part, step: Step) -> Iterator[Block]:
    """Yield the content of the part's files in blocks, a run for each."""
    for member in part.members:
        if member.kind == "file":
            for block in blocks(member.proven(part.digests)):
                yield block
                step.advance(len(block.data))


def collect(part: Part, compressed: Iterator[Deflated], out: Sink, scratch: Path) -> Facts:
    """Write the part's members, none of which is a link, to `out`, and return their facts.

    Large ones are kept in a file in `scratch` until they are deflated.
    """
    entries = []
    digest = hashlib.sha256()
    length = 0
    for member in part.members:
        with SpooledTemporaryFile(_IN_MEMORY, dir=str(scratch)) as content:
            crc = _fill(content, compressed) if member.kind == "file" else 0
            entry = member.entry()._replace(
                crc=crc, deflated=content.tell(), offset=length, sha256=part.digests.get(member.path, "")
            )
            for data in _local(entry, content):
                out.write(data)
                digest.update(data)
                length += len(data)
        entries.append(entry)
    return Facts(
        owner=part.owner,
        length=length,
        sha256=digest.hexdigest(),
        size=sum(entry.size for entry in entries),
        entries=tuple(entries),
        directories=part.directories,
        rewritten=part.rewritten,
        saved=part.saved,
        crossing=part.crossing,
    )


def _fill(content: IO[bytes], compressed: Iterator[Deflated]) -> int:
    """Take one file from the deflated blocks; return its CRC-32."""
    crc = 0
    for block in compressed:
        content.write(block.data)
        crc = combine(crc, block.crc, block.size)
        if block.last:
            break
    return crc


def _local(entry: Entry, content: IO[bytes]) -> Iterator[bytes]:
    """Yield a member as in a zip: its header and its deflated content."""
    yield _local_header(entry)
    content.seek(0)
    while chunk := content.read(CHUNK):
        yield chunk


def _local_header(entry: Entry) -> bytes:
    sizes = (entry.deflated, entry.size)
    extra = _extra(entry.size, entry.deflated) if max(sizes) >= _MAX_32 else b""
    if extra:
        sizes = (_MAX_32, _MAX_32)
    name = _name(entry)
    version = _VERSION_64 if extra else _VERSION
    head = (0x04034B50, version, _flags(name), _method(entry), 0, _DOS_DATE, entry.crc)
    return struct.pack("<L5H3L2H", *head, *sizes, len(name), len(extra)) + name + extra


def _central_header(entry: Entry, offset: int) -> bytes:
    large = [value for value in (entry.size, entry.deflated, offset) if value >= _MAX_32]
    extra = _extra(*large) if large else b""
    version = _VERSION_64 if extra else _VERSION
    directory = entry.kind == "directory"
    mode = (stat.S_IFDIR if directory else stat.S_IFREG) | mode_of(entry.kind, executable=entry.executable)
    attributes = mode << 16 | (_DOS_DIRECTORY if directory else 0)
    name = _name(entry)
    head = (0x02014B50, version, _UNIX, version, _flags(name), _method(entry), 0, _DOS_DATE, entry.crc)
    sizes = (min(entry.deflated, _MAX_32), min(entry.size, _MAX_32), len(name), len(extra))
    tail = (0, 0, 0, attributes, min(offset, _MAX_32))
    return struct.pack("<LBB5H3L5H2L", *head, *sizes, *tail) + name + extra


def _name(entry: Entry) -> bytes:
    try:
        return entry.path.encode() + (b"/" if entry.kind == "directory" else b"")
    except UnicodeEncodeError as error:
        raise PackingFailed(
            f"the file name {entry.path!r} is not UTF-8, which a zip needs", hint="pack to .tar.gz instead"
        ) from error


def _flags(name: bytes) -> int:
    return 0 if name.isascii() else _UTF8


def _method(entry: Entry) -> int:
    return _STORED if entry.kind == "directory" else _DEFLATED


def _extra(*values: int) -> bytes:
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


def ending(pieces: Sequence[Facts]) -> bytes:
    """Return the end of an archive of these pieces: the central directory and its end record."""
    headers = []
    start = 0
    for piece in pieces:
        headers += [_central_header(entry, start + entry.offset) for entry in piece.entries]
        start += piece.length
    directory = b"".join(headers)
    size = len(directory)
    count = len(headers)
    records = b""
    if count >= _MAX_16 or start >= _MAX_32 or size >= _MAX_32:
        record = (0x06064B50, 44, _VERSION_64, _UNIX << 8 | _VERSION_64, 0, 0)
        records = struct.pack("<LQ2H2L4Q", *record, count, count, size, start)
        records += struct.pack("<LLQL", 0x07064B50, 0, start + size, 1)
    count = min(count, _MAX_16)
    tail = (0x06054B50, 0, 0, count, count, min(size, _MAX_32), min(start, _MAX_32), 0)
    return directory + records + struct.pack("<L4H2LH", *tail)
