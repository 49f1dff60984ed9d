"""Deflate bytes in blocks on several threads; the result does not depend on their number.

There are two compressors, neither of whose output depends on the processor; that of ISA-L does:

- libdeflate makes a gzip member of each block. A file of several members has the content of all of them, one after
  the other (RFC 1952, 2.2), so members join without a change. It ends each stream, so its blocks join to none.
- zlib-ng deflates the blocks of one stream, each with the 32 KiB before it, as in pigz: an entry of a zip is one
  stream. Its output is the same everywhere since 2.2 (https://github.com/zlib-ng/zlib-ng/pull/1681). A stream is
  used once, because a reused one may keep state (https://github.com/zlib-ng/zlib-ng/issues/2100); therefore
  `gzip_ng_threaded` of the same library is not used.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import deflate
from zlib_ng import zlib_ng

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BLOCK = 1 << 21
"""Bytes of input in one block."""

WINDOW = 1 << 15
"""How far back deflate can refer."""

VERSION = f"deflate-{deflate.__version__}/zlib-ng-{zlib_ng.ZLIBNG_RUNTIME_VERSION}"
"""The versions of the compressors: other versions may give other bytes. `deflate` has libdeflate in it."""


@dataclass(frozen=True)
class Block:
    """A part of a run of bytes."""

    data: bytes
    before: bytes
    """The last bytes of the run before this block, at most `WINDOW`."""
    last: bool
    """Whether the run ends with this block."""


@dataclass(frozen=True)
class Deflated:
    """A deflated block."""

    data: bytes
    size: int
    """Bytes before deflating."""
    crc: int
    """CRC-32 of the bytes before deflating; 0 where the deflated bytes have it, or none is needed."""
    last: bool


def blocks(chunks: Iterable[bytes]) -> Iterator[Block]:
    """Cut a run of bytes into blocks of equal size, except for the last; an empty run is one empty block."""
    waiting: list[bytes | memoryview] = []
    room = BLOCK
    before = b""
    for chunk in chunks:
        rest = memoryview(chunk)
        while len(rest) > room:
            block = b"".join([*waiting, rest[:room]])
            yield Block(block, before, last=False)
            before = block[-WINDOW:]
            rest, waiting, room = rest[room:], [], BLOCK
        waiting.append(rest)
        room -= len(rest)
    yield Block(b"".join(waiting), before, last=True)


def deflated(
    stream: Iterable[Block], making: Callable[[Block, int], Deflated], *, level: int, threads: int
) -> Iterator[Deflated]:
    """Deflate blocks on `threads` threads and yield them in their order; a few per thread are in memory at once.

    `making` is one of the functions below.
    """
    waiting: deque[Future[Deflated]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="deflate") as pool:
        try:
            for block in stream:
                waiting.append(pool.submit(making, block, level))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def combine(crc: int, following: int, size: int) -> int:
    """Return the CRC-32 of bytes with the CRC-32 `crc`, followed by `size` bytes with the CRC-32 `following`."""
    return int(zlib_ng.crc32_combine(crc, following, size))


def member(block: Block, level: int) -> Deflated:
    """Make a gzip member of a block: no name, no time, unknown operating system (RFC 1952)."""
    return Deflated(bytes(deflate.gzip_compress(block.data, level)), len(block.data), 0, block.last)


def part_of_stream(block: Block, level: int) -> Deflated:
    """Deflate one block of a stream that ends with the run."""
    stream = zlib_ng.compressobj(_ZLIB_LEVELS[level], zlib_ng.DEFLATED, -zlib_ng.MAX_WBITS, zdict=block.before)
    # A sync flush ends the block on a byte boundary, so that the next one can follow.
    ending = zlib_ng.Z_FINISH if block.last else zlib_ng.Z_SYNC_FLUSH
    data = stream.compress(block.data) + stream.flush(ending)
    return Deflated(data, len(block.data), zlib_ng.crc32(block.data), block.last)


_ZLIB_LEVELS = (0, 2, 3, 4, 5, 6, 7, 8, 9, 9)
"""By libdeflate's level, the level of zlib-ng that makes about as small."""
