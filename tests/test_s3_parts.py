"""The parts of an upload to S3: any file, whatever S3 has of it, gives a plan that S3 takes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envpack.stores.base import Held
from envpack.stores.s3.options import MIB, SMALLEST_PART
from envpack.stores.s3.parts import COPIED_PART, Part, PartRules, Sent, plan

RULES = PartRules(smallest=5, largest=12, most=10_000)
"""S3's rules in small, so that every edge is met often."""

GIB = 1 << 30


@dataclass(frozen=True)
class Case:
    """A file and what is held of it."""

    size: int
    held: tuple[Held, ...]

    def parts(self, rules: PartRules = RULES, sent_part: int = 6, copied_part: int = 11) -> list[Part]:
        return plan(self.size, self.held, sent_part=sent_part, copied_part=copied_part, rules=rules)

    def true_of(self, copied: Held) -> bool:
        """Return whether each byte of a copied part is held, there and in that place."""

        def is_held(shift: int) -> bool:
            return any(
                held.key == copied.key
                and held.offset <= copied.offset + shift < held.offset + held.size
                and held.start - held.offset == copied.start - copied.offset
                for held in self.held
            )

        return all(is_held(shift) for shift in range(copied.size))

    def not_held(self) -> int:
        """Return how many bytes no range has."""
        return sum(
            not any(held.offset <= place < held.offset + held.size for held in self.held)
            for place in range(self.size)
        )


def held(key: str, offset: int, size: int, start: int | None = None) -> Held:
    return Held(key=key, start=offset if start is None else start, offset=offset, size=size)


def sent(parts: list[Part]) -> int:
    return sum(part.size for part in parts if isinstance(part, Sent))


RANGES = st.builds(
    Held, key=st.sampled_from("ab"), start=st.integers(0, 40), offset=st.integers(0, 120), size=st.integers(1, 60)
)
CASES = st.builds(Case, st.integers(0, 130), st.lists(RANGES, max_size=8).map(tuple))


@st.composite
def _laid_out(draw: st.DrawFn) -> Case:
    """Return ranges as releases have them: in order, with gaps or without, of two sources that do not go on."""
    place, ranges = 0, []
    for number in range(draw(st.integers(0, 8))):
        place += draw(st.sampled_from([0, 0, 1, 2, 4, 5, 7, 11]))
        size = draw(st.integers(1, 23))
        ranges.append(held("ab"[number % 2], place, size, start=100 * number + place))
        place += size
    return Case(place + draw(st.integers(0, 12)), tuple(draw(st.permutations(ranges))))


def _fewest_sent(case: Case, smallest: int) -> int:
    """Return the fewest bytes that must be sent, by trying for every place each run that may end there."""
    best = {0: 0}
    for end in range(1, case.size + 1):
        ways = []
        for begin, cost in best.items():
            if end - begin >= smallest or end == case.size:
                ways.append(cost + end - begin)
            if end - begin >= smallest and any(
                one.offset <= begin and end <= one.offset + one.size for one in case.held
            ):
                ways.append(cost)
        if ways:
            best[end] = min(ways)
    return best[case.size]


@given(st.one_of(CASES, _laid_out()))
@settings(max_examples=200, deadline=None)
@example(Case(0, ()))
@example(Case(3, (held("a", 0, 3),)))
@example(Case(12, (held("a", 0, 8), held("b", 6, 6))))
def test_a_plan_is_the_file_in_parts_that_s3_takes(case: Case) -> None:
    parts = case.parts()
    place = 0
    for part in parts:
        assert part.offset == place
        place += part.size
        assert part.size <= RULES.largest
        if isinstance(part, Held):
            assert part.size >= RULES.smallest
            assert case.true_of(part)
    assert place == case.size
    assert all(part.size >= RULES.smallest for part in parts[:-1])
    assert all(part.size > 0 for part in parts)


@given(st.one_of(CASES, _laid_out()))
@settings(max_examples=200, deadline=None)
def test_beside_what_is_not_held_less_than_two_small_parts_are_sent_for_each_range(case: Case) -> None:
    most = case.not_held() + 2 * RULES.smallest * len(case.held)
    assert sent(case.parts()) <= min(most, case.size)


@given(_laid_out())
@settings(max_examples=200, deadline=None)
def test_no_plan_sends_less(case: Case) -> None:
    assert sent(case.parts()) == _fewest_sent(case, RULES.smallest)


@given(CASES, st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_a_plan_has_no_more_parts_than_s3_takes(case: Case, most: int) -> None:
    rules = PartRules(smallest=5, largest=12, most=most)
    if case.size > most * rules.largest:
        with pytest.raises(ValueError, match="parts"):
            case.parts(rules)
    else:
        parts = case.parts(rules)
        assert len(parts) <= most
        assert sum(part.size for part in parts) == case.size


def test_one_changed_piece_in_the_middle_costs_that_piece() -> None:
    case = Case(60 * MIB, (held("old", 0, 20 * MIB), held("old", 30 * MIB, 30 * MIB, start=29 * MIB)))
    parts = plan(case.size, case.held, sent_part=16 * MIB, copied_part=64 * MIB)
    assert parts == [
        held("old", 0, 20 * MIB),
        Sent(offset=20 * MIB, size=10 * MIB),
        held("old", 30 * MIB, 30 * MIB, start=29 * MIB),
    ]


def test_a_gap_that_is_no_part_takes_what_it_lacks_from_its_neighbours() -> None:
    parts = plan(
        60 * MIB,
        [held("old", 0, 20 * MIB), held("old", 21 * MIB, 39 * MIB, start=0)],
        sent_part=16 * MIB,
        copied_part=64 * MIB,
    )
    assert sent(parts) == SMALLEST_PART
    assert [type(part) for part in parts] == [Held, Sent, Held]


def test_pieces_that_go_on_in_their_source_are_one_copy() -> None:
    pieces = [held("old", number * 1000, 1000, start=7 + number * 1000) for number in range(20_000)]
    assert plan(20 * 1000 * 1000, pieces, sent_part=16 * MIB, copied_part=64 * MIB) == [
        held("old", 0, 20_000_000, start=7)
    ]


def test_of_two_releases_with_the_same_pieces_one_is_the_source() -> None:
    pieces = [held(key, number * MIB, MIB) for number in range(30) for key in ("one", "two")]
    assert len(plan(30 * MIB, pieces, sent_part=16 * MIB, copied_part=64 * MIB)) == 1


def test_where_ranges_overlap_the_one_that_reaches_furthest_is_taken() -> None:
    long, brief = held("long", 0, 40 * MIB), held("brief", 0, 10 * MIB)
    for ranges in ([long, brief], [brief, long]):
        assert {
            part.key
            for part in plan(40 * MIB, ranges, sent_part=16 * MIB, copied_part=64 * MIB)
            if isinstance(part, Held)
        } == {"long"}
    apart = [held("first", 0, 20 * MIB), held("last", 10 * MIB, 30 * MIB), held("brief", 12 * MIB, 13 * MIB)]
    assert plan(40 * MIB, apart, sent_part=16 * MIB, copied_part=64 * MIB) == [
        apart[0],
        held("last", 20 * MIB, 20 * MIB),
    ]


def test_a_short_range_is_not_worth_a_copy() -> None:
    parts = plan(60 * MIB, [held("old", 50 * MIB, SMALLEST_PART - 1)], sent_part=60 * MIB)
    assert parts == [Sent(offset=0, size=60 * MIB)]


def test_long_runs_are_split_so_that_parts_travel_side_by_side() -> None:
    parts = plan(6 * GIB, [held("old", 0, 5 * GIB)], sent_part=16 * MIB)
    copied = [part for part in parts if isinstance(part, Held)]
    assert sum(part.size for part in copied) == 5 * GIB
    assert {part.size for part in copied} == {COPIED_PART}
    assert {part.size for part in parts if isinstance(part, Sent)} == {16 * MIB}


def test_the_largest_object_has_parts_enough() -> None:
    size = 5 << 40
    parts = plan(size, [held("old", 0, 4 << 40)], sent_part=16 * MIB, copied_part=64 * MIB)
    assert len(parts) <= 10_000
    assert max(part.size for part in parts) <= 5 * GIB
    assert sent(parts) == 1 << 40
