"""Build environments, kept for the next build: a linked Python, and installed build requirements.

Linking and installing them takes as long as most builds of a project. Each stays where it was made, as its files
contain that path. It is used again while every file has the content that was noted, and removed when it was not
used for a month.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from msgspec import Struct

from envpack import digest
from envpack.codec import Digest, Kind, Text
from envpack.files.inside import inside
from envpack.files.remove import remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNUSED = 30 * 86400
"""Seconds after which an unused one is removed."""


class _Kept(Struct, frozen=True, kw_only=True):
    program: Text
    """The path of its interpreter from the directory; or an absolute one, of a Python that was not linked."""
    files: Digest
    """The digest of the paths, modes and contents of all its files."""


STORED = Kind(what="a build environment", type=_Kept, limit=1 << 14, hint="remove it: it is made again")


def kept(root: Path, key: str, make: Callable[[Path], Path]) -> Path:
    """Return the interpreter of the environment `key` below `root`; `make` makes it unless it is complete.

    `make` gets a new directory, and returns the interpreter.
    """
    root.mkdir(parents=True, exist_ok=True)
    place, note = inside(root, key), inside(root, f"{key}.json")
    with FileLock(inside(root, f"{key}.lock")):
        known = STORED.recall(note)
        if known and known.files == _facts(place):
            os.utime(note)
            return place / known.program
        note.unlink(missing_ok=True)
        remove(place)
        place.mkdir()
        program = make(place)
        told = program.relative_to(place) if program.is_relative_to(place) else program
        STORED.keep(note, {"program": str(told), "files": _facts(place)})
    _forget_unused(root)
    return program


def _facts(place: Path) -> str:
    """Return the digest of an environment; empty, which no note has, where it cannot be read."""
    try:
        return digest.of_json(sorted(_files(place)))
    except OSError:
        return ""


def _files(place: Path) -> Iterator[tuple[str, int, str]]:
    waiting = [str(place)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                mode = entry.stat(follow_symlinks=False).st_mode
                path = Path(entry.path)
                content = str(path.readlink()) if stat.S_ISLNK(mode) else digest.of_file(path)
                yield os.path.relpath(path, place), mode, content


def _forget_unused(root: Path) -> None:
    for lock in root.glob("*.lock"):
        with suppress(OSError, Timeout), FileLock(lock, timeout=0):
            note = lock.with_suffix(".json")
            told = note if note.exists() else lock.with_suffix("")  # one whose maker was killed has no note
            if told.stat().st_mtime < time.time() - _UNUSED:
                note.unlink(missing_ok=True)
                remove(lock.with_suffix(""))
