"""An archive's pieces as deflated runs of tar records, which join to one tar in one gzip member."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from envpack.archive.deflate import Block, combine, deflate
from envpack.archive.deflate import deflated as made
from envpack.archive.tar import collect, end_of, runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpack.archive.pieces import Facts

__all__ = ["HEADER", "collect", "ending", "made", "runs"]

HEADER = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])
"""Deflate, no name, no time, unknown operating system (RFC 1952)."""


def ending(pieces: Sequence[Facts]) -> bytes:
    """Return the end of an archive of these pieces: of the tar, of the deflate stream and of the member."""
    crc = size = 0
    for piece in pieces:
        crc = combine(crc, piece.crc, piece.size)
        size += piece.size
    last = deflate(Block(end_of(size), b"", last=True, ends_stream=True), level=9)
    return last.data + struct.pack("<LL", combine(crc, last.crc, last.size), (size + last.size) & 0xFFFFFFFF)
