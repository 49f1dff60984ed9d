"""The parts of an S3 object: some are copied from existing objects, the others must be sent.

The rules of parts: docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from envpack.stores.base import Held
from envpack.stores.s3.options import MIB, SMALLEST_PART

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COPIED_PART = 16 * MIB
"""The largest copied part in bytes, where the number of parts allows it: S3 copies several in parallel.

The first one shows whether S3 copies at all, so it is waited for."""


@dataclass(frozen=True, kw_only=True)
class PartRules:
    """The limits of S3. `largest` must be at least twice `smallest`."""

    smallest: int = SMALLEST_PART
    """The least bytes of every part except the last, and of a range that is worth a copy."""
    largest: int = 5 << 30
    """The most bytes of a part."""
    most: int = 10_000
    """The most parts of an object."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Bytes `[offset, offset + size)` of the file, to be sent."""

    offset: int
    size: int


Part = Sent | Held
"""A part that is sent, or one that is copied."""

S3_RULES = PartRules()

NOTHING = Held(key="", start=0, offset=0, size=0)
"""The empty range, the start of a search."""


def plan(
    size: int, held: Sequence[Held], *, sent_part: int, copied_part: int = COPIED_PART, rules: PartRules = S3_RULES
) -> list[Part]:
    """Return the parts of a file of `size` bytes, in order, so that as few bytes as possible are sent.

    `sent_part` and `copied_part` are the bytes of a part to aim at; parts are larger where there would be too many.
    Among plans that send the same amount it has the fewest changes between sending and copying.

    Where ranges overlap, the one that reaches furthest is used. In addition to bytes that are not held, fewer than
    `2 * rules.smallest` bytes are sent for each range: what a neighbouring gap lacks to be a part, or all of a
    range that is shorter than that. (All is sent where the ranges alone make more parts than S3 takes.) Raises
    ValueError for a file that no `rules.most` parts can hold.
    """
    if size > rules.most * rules.largest:
        raise ValueError(f"no {rules.most} parts hold {size} bytes")
    runs = _runs(size, _pieces(size, held, rules.smallest), rules.smallest)
    while True:
        counts = [_count(run, sent_part if isinstance(run, Sent) else copied_part, rules) for run in runs]
        if sum(counts) <= rules.most:
            return [part for run, count in zip(runs, counts, strict=True) for part in _split(run, count)]
        if sent_part >= rules.largest and copied_part >= rules.largest:
            runs = [Sent(offset=0, size=size)]
        sent_part = min(2 * sent_part, rules.largest)
        copied_part = min(2 * copied_part, rules.largest)


def _end(part: Part) -> int:
    return part.offset + part.size


def _cut(held: Held, start: int, end: int) -> Held:
    """Return the part of a range between two places of the file; its size is not positive if there is none."""
    start = max(start, held.offset)
    return replace(held, start=held.start + start - held.offset, offset=start, size=min(end, _end(held)) - start)


def _pieces(size: int, held: Sequence[Held], smallest: int) -> list[Held]:
    """Return ranges that can be copied, disjoint and in order: joined where they are contiguous in their source."""
    joined = [range_ for range_ in _joined(size, held) if range_.size >= smallest]
    return [piece for piece in _disjoint(joined) if piece.size >= smallest]


def _joined(size: int, held: Sequence[Held]) -> Iterator[Held]:
    """Yield the ranges within the file, joined where they are contiguous in file and source."""

    def line(held: Held) -> tuple[str, int]:
        return held.key, held.start - held.offset

    inside = [_cut(range_, 0, size) for range_ in held]
    last = NOTHING
    for following in sorted((cut for cut in inside if cut.size > 0), key=lambda held: (line(held), held.offset)):
        if line(following) == line(last) and following.offset <= _end(last):
            last = replace(last, size=max(_end(last), _end(following)) - last.offset)
        else:
            yield last
            last = following
    yield last


def _disjoint(held: Sequence[Held]) -> Iterator[Held]:
    """Yield ranges that cover the same bytes without overlap: at each place the one that reaches furthest."""
    waiting = sorted(held, key=lambda range_: range_.offset, reverse=True)
    reached = 0
    best = NOTHING
    while waiting:
        reached = max(reached, waiting[-1].offset)
        while waiting and waiting[-1].offset <= reached:
            best = max(waiting.pop(), best, key=_end)
        if _end(best) > reached:
            yield _cut(best, reached, _end(best))
            reached = _end(best)


@dataclass(frozen=True, kw_only=True)
class _Way:
    """How to make the object from its beginning to some place, as runs of bytes that are sent or copied."""

    run: Part = NOTHING
    """The last run."""
    before: _Way | None = None
    """The path to the start of that run; None where there is no run yet."""
    sent: int = 0
    """The number of sent bytes."""
    turns: int = 0
    """The number of runs."""

    @property
    def cost(self) -> tuple[int, int]:
        return self.sent, self.turns

    def and_then(self, run: Part) -> _Way:
        sent = run.size if isinstance(run, Sent) else 0
        return _Way(run=run, before=self, sent=self.sent + sent, turns=self.turns + 1)

    def unwound(self) -> list[Part]:
        runs, way = [], self
        while way.before:
            runs.append(way.run)
            way = way.before
        return runs[::-1]


def _runs(size: int, pieces: Sequence[Held], smallest: int) -> list[Part]:
    """Return the runs of sent and of copied bytes that make up the file with the fewest bytes sent.

    Every run except the last has at least `smallest` bytes. This is the shortest path from 0 to `size` over the
    places where a run of some best plan can end. For each place, the best path that ends by sending, which may
    continue, and the best that ends by copying are kept. All steps lead forward, so the places are visited in
    order.
    """
    ways: dict[int, dict[type[Part], _Way]] = {0: {Held: _Way()}}
    places = [0]
    while (place := heapq.heappop(places)) < size:
        for way in ways.pop(place).values():
            for further in _steps(way, place, size, pieces, smallest):
                end, kind = _end(further.run), type(further.run)
                if end not in ways:
                    heapq.heappush(places, end)
                there = ways.setdefault(end, {})
                if kind not in there or further.cost < there[kind].cost:
                    there[kind] = further
    return min(ways[size].values(), key=lambda way: way.cost).unwound()


def _steps(way: _Way, place: int, size: int, pieces: Sequence[Held], smallest: int) -> Iterator[_Way]:
    """Yield the paths that continue from a place.

    A run that is sent ends where a piece begins, or has the smallest size. A run that is copied ends with its
    piece, or where one that is sent in the smallest size then ends at the next piece, or, so that such a one
    reaches beyond that piece's beginning, has the smallest size itself.
    """
    number = bisect_right(pieces, place, key=lambda piece: piece.offset)
    upcoming = pieces[number].offset if number < len(pieces) else None
    if isinstance(way.run, Sent) and way.before:
        longer = Sent(offset=way.run.offset, size=(upcoming or size) - way.run.offset)
        yield way.before.and_then(longer)
    else:
        yield way.and_then(Sent(offset=place, size=min(smallest, size - place)))
    if number:
        piece = pieces[number - 1]
        ends = {_end(piece)}
        if upcoming:
            ends.add(upcoming - smallest)
        if place + 2 * smallest > _end(piece):
            ends.add(place + smallest)
        yield from (way.and_then(_cut(piece, place, end)) for end in ends if place + smallest <= end <= _end(piece))


def _count(run: Part, into: int, rules: PartRules) -> int:
    """Return the number of parts of a run, of at most `into` bytes if that does not make them too small."""
    return max(1, min(-(-run.size // into), run.size // rules.smallest))


def _split(run: Part, count: int) -> Iterator[Part]:
    edges = [run.offset + run.size * number // count for number in range(count + 1)]
    for start, end in pairwise(edges):
        yield Sent(offset=start, size=end - start) if isinstance(run, Sent) else _cut(run, start, end)
