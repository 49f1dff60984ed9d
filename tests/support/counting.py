"""A step that can be asked how far it is."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from envpack.progress import Step

if TYPE_CHECKING:
    from collections.abc import Callable


class Counting(Step):
    """Sums what it is told, from whatever thread, and calls back each time."""

    def __init__(self, on_advance: Callable[[], object] = lambda: None) -> None:
        self.sum = 0
        self._lock = threading.Lock()
        self._on_advance = on_advance

    def advance(self, amount: int) -> None:
        with self._lock:
            self.sum += amount
        self._on_advance()
