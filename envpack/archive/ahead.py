"""Compute the next items of a series while the previous ones are being used."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


@contextmanager
def ahead(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """Yield the items, which a thread takes from `items` as fast as they come; all of them may wait in memory.

    An exception of `items` is raised in place of its next item. When the block ends early no more are taken.
    """
    waiting: queue.SimpleQueue[tuple[T] | None] = queue.SimpleQueue()
    stopped = False

    def take() -> None:
        try:
            for item in items:
                waiting.put((item,))
                if stopped:
                    break
        finally:
            waiting.put(None)

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        taking = pool.submit(take)

        def given() -> Iterator[T]:
            while (item := waiting.get()) is not None:
                yield item[0]
            taking.result()

        try:
            yield given()
        finally:
            stopped = True
