"""What every input format is read into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpack.requirements.pins import PinnedFile
    from envpack.requirements.txt import Reading, Source
    from envpack.requirements.values import CondaSpec


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """What a file says beside the lines for pip, which go to the reading."""

    name: str | None = None
    """What names the release by default; None for the file's stem."""
    conda_first: bool = False
    """Whether lines for pip may be taken from conda channels."""
    channels: tuple[str, ...] = ()
    conda: tuple[CondaSpec, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    """What the environment is for, in one line."""
    owner: str | None = None
    """Whose it is."""
    requires_python: str = ""
    """The Pythons that it is for, as a PEP 440 specifier; empty for any."""
    exact: bool = False
    """Whether its lines are all that is wanted, with nothing that they need besides: those of a lock."""
    pinned: PinnedFile | None = None
    """The package files that are to be taken as they are, where the file names such."""


class InputFormat(Protocol):
    """One module of this folder."""

    def recognises(self, path: Path, text: str) -> bool:
        """Return whether a file is of this format, by its name and what stands in it."""

    def read(self, text: str, source: Source, reading: Reading) -> FileContent:
        """Return what a file says; its lines for pip and every problem go to `reading`."""
