"""How the steps report their progress; by default nothing is shown."""

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
        """Report the total amount, once it is known."""

    def advance(self, amount: int) -> None:
        """Report that `amount` more is done."""

    def copied(self, amount: int) -> None:
        """Report that `amount` of the work was copied in place, and not sent."""

    def current(self, text: str) -> None:
        """Report the current item, such as a package's name."""

    def note(self, text: str) -> None:
        """Set what to print after the step's name when it has ended, such as `212 MB, 3,104 files`."""


class Progress:
    """Receives steps, plain facts and warnings; this one drops them, for callers without a screen."""

    @contextmanager
    def step(self, name: str, *, total: int | None = None, unit: Unit = "items") -> Iterator[Step]:  # noqa: ARG002
        """Open a step named by a verb, such as `download`; it ends with the `with` block.

        `total` is in `unit`s and may be given later through `Step.total`.
        """
        yield Step()

    def info(self, text: str) -> None:
        """Report a fact in one line."""

    def warn(self, text: str) -> None:
        """Report something that is legal but likely to cause problems later."""


SILENT = Progress()
"""The default of every step."""


class Counted(Step):
    """A step that records its progress, for its closing line."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._text = ""
        self._copied = 0
        self.done = 0

    @property
    def seconds(self) -> float:
        """Its running time."""
        return time.monotonic() - self._start

    @property
    def facts(self) -> str:
        """Its result, in a few words."""
        if self._unit == "bytes":
            facts = [human_size(self.done)] if self.done else []
            if self._copied:
                facts.append(f"{human_size(self.done - self._copied)} of it sent")
            return ", ".join([*facts, self._text] if self._text else facts)
        return self._text or (str(self.done) if self.done else "")

    def advance(self, amount: int) -> None:
        """Count finished work."""
        with self._lock:
            self.done += amount

    def copied(self, amount: int) -> None:
        """Count work that was not sent."""
        self._copied += amount

    def note(self, text: str) -> None:
        """Keep what to print at the end."""
        self._text = text

    def closing(self, name: str) -> str:
        """Return the closing line: the step, its result, its duration."""
        return f"{name:<10} {self.seconds:6.1f} s  {self.facts}".rstrip()


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
