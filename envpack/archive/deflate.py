"""Deflate bytes in blocks on several threads; the result does not depend on their number.

Every block is deflated by its own stream that knows the previous 32 KiB, as in pigz, so the blocks join to one
deflate stream. Independent runs of blocks join too, as long as only the last one ends the stream. The compressor is
zlib-ng, whose output is the same on every processor since 2.2 (https://github.com/zlib-ng/zlib-ng/pull/1681);
ISA-L's differs with the instruction set it finds. A stream is used once, because a reused one may keep state
(https://github.com/zlib-ng/zlib-ng/issues/2100); therefore `gzip_ng_threaded` of the same library is not used.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zlib_ng import zlib_ng

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK = 1 << 20
"""Bytes of input in one block."""

WINDOW = 1 << 15
"""How far back deflate can refer."""

VERSION = str(zlib_ng.ZLIBNG_RUNTIME_VERSION)
"""The version of zlib-ng: another version may give other bytes."""


@dataclass(frozen=True)
class Block:
    """A part of a run of bytes."""

    data: bytes
    before: bytes
    """The last bytes of the run before this block, at most `WINDOW`."""
    last: bool
    """Whether the run ends with this block."""
    ends_stream: bool
    """Whether the deflate stream ends with it too; otherwise another run can follow."""


@dataclass(frozen=True)
class Deflated:
    """A deflated block."""

    data: bytes
    size: int
    """Bytes before deflating."""
    crc: int
    """CRC-32 of the bytes before deflating."""
    last: bool


def blocks(chunks: Iterable[bytes], *, ends_stream: bool) -> Iterator[Block]:
    """Cut a run of bytes into blocks of equal size, except for the last; an empty run is one empty block."""
    waiting: list[bytes | memoryview] = []
    room = BLOCK
    before = b""
    for chunk in chunks:
        rest = memoryview(chunk)
        while len(rest) > room:
            block = b"".join([*waiting, rest[:room]])
            yield Block(block, before, last=False, ends_stream=False)
            before = block[-WINDOW:]
            rest, waiting, room = rest[room:], [], BLOCK
        waiting.append(rest)
        room -= len(rest)
    yield Block(b"".join(waiting), before, last=True, ends_stream=ends_stream)


def deflated(stream: Iterable[Block], *, level: int, threads: int) -> Iterator[Deflated]:
    """Deflate blocks on `threads` threads and yield them in their order; a few per thread are in memory at once."""
    waiting: deque[Future[Deflated]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="deflate") as pool:
        try:
            for block in stream:
                waiting.append(pool.submit(deflate, block, level))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def combine(crc: int, following: int, size: int) -> int:
    """Return the CRC-32 of bytes with the CRC-32 `crc`, followed by `size` bytes with the CRC-32 `following`."""
    return int(zlib_ng.crc32_combine(crc, following, size))


def deflate(block: Block, level: int) -> Deflated:
    """Deflate one block."""
    stream = zlib_ng.compressobj(level, zlib_ng.DEFLATED, -zlib_ng.MAX_WBITS, zdict=block.before)
    # A sync flush ends the block on a byte boundary, so that the next one can follow.
    ending = zlib_ng.Z_FINISH if block.ends_stream else zlib_ng.Z_SYNC_FLUSH
    data = stream.compress(block.data) + stream.flush(ending)
    return Deflated(data, len(block.data), zlib_ng.crc32(block.data), block.last)
