"""Compress as Spark's codecs do: blocks of lz4-java and of snappy-java; acceptance takes Spark's own."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator

import cramjam

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_BLOCK = 32 << 10
"""Spark's own size of a block: spark.io.compression.lz4.blockSize."""


def lz4(data: bytes) -> bytes:
    """Return what LZ4BlockOutputStream writes; the checksums, which nothing here reads, are left empty."""
    blocks = []
    for block in _blocks(data):
        packed = bytes(cramjam.lz4.compress_block(block, store_size=False))
        blocks.append(struct.pack("<8sBiii", b"LZ4Block", 0x25, len(packed), len(block), 0) + packed)
    return b"".join(blocks) + struct.pack("<8sBiii", b"LZ4Block", 0x15, 0, 0, 0)


def snappy(data: bytes) -> bytes:
    """Return what SnappyOutputStream writes."""
    packed = [bytes(cramjam.snappy.compress_raw(block)) for block in _blocks(data)]
    head = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
    return head + b"".join(struct.pack(">i", len(each)) + each for each in packed)


CODECS: dict[str, Callable[[bytes], bytes]] = {"lz4": lz4, "snappy": snappy, "zstd": zstd.compress}


def _blocks(data: bytes) -> Iterator[bytes]:
    return (data[at : at + _BLOCK] for at in range(0, len(data), _BLOCK))
