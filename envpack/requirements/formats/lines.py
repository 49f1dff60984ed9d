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
    """Let every line be read; channels are asked first for what they name. Comments for envpack say the rest."""
    reading.read_lines(text, source)
    return replace(header.read(text, source, reading), conda_first=True)
