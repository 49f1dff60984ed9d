"""How the steps tell what they are doing; by default nobody listens."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from envpack.units import human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Unit = Literal["bytes", "items"]


class Step:
    """One running step. Methods may be called from any thread."""

    def total(self, amount: int) -> None:
        """Say how much there is to do, once it is known."""

    def advance(self, amount: int) -> None:
        """Say that `amount` more has been done."""

    def note(self, text: str) -> None:
        """Say what to print behind the step's name when it has ended, such as `212 MB, 3,104 files`."""


class Progress:
    """Receives steps, plain facts and warnings; this one drops them, which suits callers without a screen."""

    @contextmanager
    def step(self, name: str, *, total: int | None = None, unit: Unit = "items") -> Iterator[Step]:  # noqa: ARG002
        """Open a step named by a verb, such as `download`; it ends with the `with` block.

        `total` is in `unit`s and may be given later through `Step.total`.
        """
        yield Step()

    def info(self, text: str) -> None:
        """Tell a fact worth one line."""

    def warn(self, text: str) -> None:
        """Tell something that is legal but likely to cost the person later."""


SILENT = Progress()
"""The default of every step."""


class Counted(Step):
    """A step that remembers how far it is, for its closing line."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._text = ""
        self.done = 0

    def advance(self, amount: int) -> None:
        """Count what has been done."""
        with self._lock:
            self.done += amount

    def note(self, text: str) -> None:
        """Keep what to print at the end."""
        self._text = text

    def closing(self, name: str) -> str:
        """Return the line that stays: the step, what it did, how long it took."""
        if self._unit == "bytes":
            facts = [human_size(self.done)] if self.done else []
            facts += [self._text] if self._text else []
        else:
            facts = [self._text or str(self.done)] if self._text or self.done else []
        return f"{name:<10} {time.monotonic() - self._start:6.1f} s  {', '.join(facts)}".rstrip()


class Lines(Progress):
    """One plain line for each step when it has ended, for logs and pipes."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    @contextmanager
    def step(self, name: str, *, total: int | None = None, unit: Unit = "items") -> Iterator[Step]:  # noqa: ARG002
        """Open a step."""
        counted = Counted(unit)
        yield counted
        self._write(counted.closing(name))

    def info(self, text: str) -> None:
        """Write a fact."""
        self._write(text)

    def warn(self, text: str) -> None:
        """Write a warning."""
        self._write(f"warning: {text}")
