"""Columns for people: plain text, aligned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows below their heads, each column as wide as it must be."""
    lines = [head, *([visible(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
