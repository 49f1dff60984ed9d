"""The compressions in which event logs are written, as streams of bounded pieces.

A truncated log, such as that of a running application, gives its readable part. Sources: Spark's
CompressionCodec.scala; lz4-java's LZ4BlockInputStream; snappy-java's SnappyInputStream. The last two are not the
frame formats of other programs.
"""

from __future__ import annotations

import struct
import sys
import zlib
from typing import TYPE_CHECKING

from envpack.errors import UsageError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO

_PIECE = 1 << 20
_LARGEST_BLOCK = 1 << 25
"""lz4-java's largest block; Spark's own blocks have 32 kB."""

_LARGEST_WINDOW = 27
"""The binary logarithm of the memory that a zstd stream may ask for: 128 MB, as in `zstd` itself."""

_LZ4_MAGIC = b"LZ4Block"
_LZ4_HEAD = struct.Struct("<8sBiii")
_LZ4_RAW, _LZ4_PACKED = 0x10, 0x20
_SNAPPY_MAGIC = b"\x82SNAPPY\0"
_SNAPPY_HEAD_SIZE = 16
_LZF_MAGIC = b"ZV"


class Damaged(Exception):
    """A stream that is not what its first bytes say; earlier output is valid."""


def pieces(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield the content of a log; the first bytes give its compression.

    Ends silently where the file was truncated; raises Damaged for invalid content, and UsageError for a compression
    that envpack does not read.
    """
    head = file.read(len(_LZ4_MAGIC))
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return _gzip(file)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstd(file)
    if head == _LZ4_MAGIC:
        return _lz4(file)
    if head == _SNAPPY_MAGIC:
        return _snappy(file)
    if head.startswith(_LZF_MAGIC):
        raise UsageError(
            f"{name} is compressed with lzf, which envpack cannot read",
            hint="run the application again with spark.eventLog.compression.codec=zstd",
        )
    return iter(lambda: file.read(_PIECE), b"")


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    while data := file.read(_PIECE):
        while data:
            try:
                yield inflate.decompress(data, _PIECE)
            except zlib.error as error:
                raise Damaged(str(error)) from error
            data = inflate.unconsumed_tail
            if inflate.eof:
                data = inflate.unused_data or data
                inflate = zlib.decompressobj(wbits=31)


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW}
    decompress = zstd.ZstdDecompressor(options=options)
    while data := file.read(_PIECE):
        while data or not decompress.needs_input:
            try:
                yield decompress.decompress(data, _PIECE)
            except zstd.ZstdError as error:
                raise Damaged(str(error)) from error
            data = b""
            if decompress.eof:
                data = decompress.unused_data
                decompress = zstd.ZstdDecompressor(options=options)


def _lz4(file: BinaryIO) -> Iterator[bytes]:
    import cramjam

    while len(head := file.read(_LZ4_HEAD.size)) == _LZ4_HEAD.size:
        magic, token, packed, size, _ = _LZ4_HEAD.unpack(head)
        if magic != _LZ4_MAGIC or not 0 <= packed <= _LARGEST_BLOCK or not 0 <= size <= _LARGEST_BLOCK:
            raise Damaged("not a block of lz4-java's")
        data = file.read(packed)
        if len(data) < packed:
            return
        if token & 0xF0 == _LZ4_RAW:
            yield data
        elif token & 0xF0 == _LZ4_PACKED:
            yield _unpacked(cramjam.lz4.decompress_block, data, size)
        else:
            raise Damaged("an unknown kind of lz4 block")


def _snappy(file: BinaryIO) -> Iterator[bytes]:
    import cramjam

    file.read(_SNAPPY_HEAD_SIZE)
    while len(head := file.read(4)) == 4:
        if head == _SNAPPY_MAGIC[:4]:  # another stream begins
            file.read(_SNAPPY_HEAD_SIZE - 4)
            continue
        packed = int.from_bytes(head, "big")
        if packed > _LARGEST_BLOCK:
            raise Damaged("not a block of snappy-java's")
        data = file.read(packed)
        if len(data) < packed:
            return
        yield _unpacked(cramjam.snappy.decompress_raw, data, _snappy_size(data))


def _snappy_size(data: bytes) -> int:
    """Return the unpacked size that a block declares: a varint at its start."""
    size = shift = 0
    for byte in data[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > _LARGEST_BLOCK:
        raise Damaged("a snappy block that unpacks to more than 32 MB")
    return size


def _unpacked(decompress: Callable[..., Any], data: bytes, size: int) -> bytes:
    import cramjam

    if not size:
        return b""
    try:
        return bytes(decompress(data, output_len=size))
    except cramjam.DecompressionError as error:
        raise Damaged(str(error)) from error
