"""The result of reading any input format."""

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
    """What a file says apart from the lines for pip, which go to the reading."""

    name: str | None = None
    """The default name of the release; None for the file's stem."""
    conda_first: bool = False
    """Whether lines for pip may be taken from conda channels."""
    channels: tuple[str, ...] = ()
    conda: tuple[CondaSpec, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    """What the environment is for, in one line."""
    owner: str | None = None
    """The owner of the environment."""
    requires_python: str = ""
    """The Pythons that it is for, as a PEP 440 specifier; empty for any."""
    environments: tuple[str, ...] = ()
    """Markers of the environments that a lock is for, one of which has to hold; none for any."""
    exact: bool = False
    """Whether its lines are complete and no dependencies are added: the lines of a lock."""
    pinned: PinnedFile | None = None
    """The package files to install unchanged, if the file names any."""


class InputFormat(Protocol):
    """One module of this folder."""

    def recognises(self, path: Path, text: str) -> bool:
        """Return whether a file is of this format, by its name and its content."""

    def read(self, text: str, source: Source, reading: Reading) -> FileContent:
        """Return the content of a file; its lines for pip and every problem go to `reading`."""
