"""An archive's pieces as runs of gzip members of tar records, which join to one tar in one gzip file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from envpack.archive.deflate import Block, deflated, member
from envpack.archive.formats import LEVEL
from envpack.archive.tar import HEADER, collect, end_of, runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpack.archive.pieces import Facts

__all__ = ["HEADER", "collect", "ending", "made", "runs"]

made = partial(deflated, making=member)


def ending(pieces: Sequence[Facts]) -> bytes:
    """Return the end of an archive of these pieces: the member that holds the end of the tar."""
    return member(Block(end_of(sum(piece.size for piece in pieces)), b"", last=True), LEVEL).data
