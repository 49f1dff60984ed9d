"""Working out the next ones while the last ones are used: nothing is lost, late or raised elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from envpack.archive.ahead import ahead


def test_the_items_come_in_their_order() -> None:
    with ahead(range(1000)) as items:
        assert list(items) == list(range(1000))


def test_the_next_ones_are_worked_out_before_they_are_asked_for() -> None:
    worked_out = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        worked_out.set()

    with ahead(items()) as given:
        assert next(given) == 1
        assert worked_out.wait(10)
        assert next(given) == 2


def test_what_goes_wrong_is_raised_where_the_item_would_be() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no second one")

    with ahead(items()) as given:
        assert next(given) == 1
        with pytest.raises(ValueError, match="no second one"):
            next(given)


def test_no_more_are_worked_out_when_the_user_gives_up() -> None:
    made: list[int] = []
    given_up = threading.Event()

    def items() -> Iterator[int]:
        for number in range(1000):
            if number == 10:
                given_up.wait(10)
            made.append(number)
            yield number

    def give_up() -> None:
        with ahead(items()) as given:
            next(given)
            threading.Timer(0.05, given_up.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert len(made) == 11
