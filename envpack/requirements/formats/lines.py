"""Requirement lines as pip reads them: `*.txt`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from envpack.requirements.formats import header

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.requirements.formats.content import FileContent
    from envpack.requirements.txt import Reading, Source


def recognises(path: Path, text: str) -> bool:  # noqa: ARG001 - any text may be lines
    """Return whether a file is named as requirement lines are."""
    return path.suffix.lower() == ".txt"


def read(text: str, source: Source, reading: Reading) -> FileContent:
    """Read every line; channels are asked first for their projects. The rest is in comments for envpack."""
    reading.read_lines(text, source)
    return replace(header.read(text, source, reading), conda_first=True)
