"""An option that takes one of a few words; a wrong word is answered with the nearest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from envpack.config.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence


class OneOf(click.Choice[str]):
    """One of some words, which `--help` and completion show."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word; fails with the nearest ones, or with all when none is near."""
        if value not in self.choices:
            near = did_you_mean(str(value), list(self.choices)) or f" is not one of {', '.join(self.choices)}"
            self.fail(f"{value!r}{near}", param, ctx)
        return str(value)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a question to put after a word: what a person may have meant. It is empty if nothing is near."""
    near = nearest(word, known)
    return f"; did you mean {' or '.join(near)}?" if near else ""
