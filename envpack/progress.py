"""How the steps tell what they are doing; by default nobody listens."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

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
