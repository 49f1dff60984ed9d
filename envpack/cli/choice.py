"""Options that take one of a few words, or a whole number; a wrong value is answered with what is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.types import IntParamType

from envpack.config.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence


_DIGITS = 19
"""More than any number has that is taken."""


class OneOf(click.Choice[str]):
    """One of some words, which `--help` and completion show."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word; fails with the nearest ones, or with all when none is near."""
        if value not in self.choices:
            near = did_you_mean(str(value), list(self.choices)) or f" is not one of {', '.join(self.choices)}"
            self.fail(f"{value!r}{near}", param, ctx)
        return str(value)


class Whole(IntParamType):
    """A whole number in a range."""

    def __init__(self, least: int, most: int) -> None:
        """Take the numbers from `least` to `most`."""
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; fails with the numbers that are taken."""
        text = str(value).strip()
        if not (text.isascii() and text.isdigit() and len(text) < _DIGITS and self.least <= int(text) <= self.most):
            self.fail(f"{value!r} is not a whole number from {self.least:,} to {self.most:,}", param, ctx)
        return int(text)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a question to put after a word: what a person may have meant. It is empty if nothing is near."""
    near = nearest(word, known)
    return f"; did you mean {' or '.join(near)}?" if near else ""
