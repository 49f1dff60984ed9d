"""Unpack a source distribution: plain files, directories and links that stay inside."""

from __future__ import annotations

import bz2
import lzma
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from envpack.archive.unpack import Extent, FoundMember, extract, gzipped, tar_members
from envpack.errors import BrokenPackage, VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpack.archive.unpack import Opener
    from envpack.progress import Step

EXTENT = Extent(size=2 << 30, members=100_000)
"""The limits of a source distribution."""


def unpack(archive: Path, into: Path, *, shown: str) -> Path:
    """Unpack an archive into a new directory, and return the project's own directory in it.

    A source distribution has one folder that holds all; an archive without one is the project itself. Raises
    BrokenPackage for an archive that is damaged, too large, or would write elsewhere.
    """
    into.mkdir()
    source = f"the source of {shown}"
    try:
        refused = extract(archive, into, extent=EXTENT, read=_members, replaces=True, shown=source)
    except VerificationFailed as error:
        raise BrokenPackage(error.message) from error
    except OSError as error:
        if error.errno:
            raise
        raise BrokenPackage(f"{source} is damaged: {error}") from error  # bz2 has no error of its own
    if refused:
        raise BrokenPackage(
            f"{source} contains a file that must not be unpacked: {refused[0]}",
            hint="use another version of it, and report it to the owner of the index",
        )
    inside = [path for path in into.iterdir() if path.name != "pax_global_header"]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() and not inside[0].is_symlink() else into


def _members(archive: Path, step: Step) -> Iterator[FoundMember]:
    """Yield the members of a tar or a zip as needed for a build: readable, and with the current time."""
    name = archive.name.lower()
    found = _zip_members(archive) if name.endswith(".zip") else tar_members(archive, step, opener=_opener(name))
    for member in found:
        mode = 0o755 if member.kind == "directory" or member.mode & 0o100 else 0o644
        yield replace(member, mode=mode, mtime=None)


def _opener(name: str) -> Opener:
    openers: dict[str, Opener] = {".gz": gzipped, ".tgz": gzipped, ".bz2": bz2.open, ".xz": lzma.open}
    return next((opener for suffix, opener in openers.items() if name.endswith(suffix)), nullcontext)


def _zip_members(archive: Path) -> Iterator[FoundMember]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            yield FoundMember(
                name=info.filename,
                kind="directory" if info.is_dir() else "file",
                size=info.file_size,
                mode=info.external_attr >> 16,
                open=partial(file.open, info),
            )
