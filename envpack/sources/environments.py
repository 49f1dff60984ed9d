"""Build environments, kept for the next build: a linked Python, and installed build requirements.

Linking and installing them takes as long as most builds of a project. Each stays where it was made, as its files
contain that path. It is used again while no file has changed its size or time, and removed when it was not used for
a month.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from filelock import FileLock
from msgspec import Struct

from envpack import digest
from envpack.codec import Digest, Kind, Text
from envpack.files.inside import inside
from envpack.files.remove import remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_UNUSED = 30 * 86400
"""Seconds after which an unused one is removed."""


class _Kept(Struct, frozen=True, kw_only=True):
    program: Text
    """The path of its interpreter from the directory; or an absolute one, of a Python that was not linked."""
    files: Digest
    """The digest of the paths of all its files, with their sizes and times."""


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
    return digest.of_json(sorted(_files(place)))


def _files(place: Path) -> Iterator[tuple[str, int, int]]:
    waiting = [str(place)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    facts = entry.stat(follow_symlinks=False)
                    yield os.path.relpath(entry.path, place), facts.st_size, facts.st_mtime_ns


def _forget_unused(root: Path) -> None:
    for note in root.glob("*.json"):
        with suppress(OSError):
            if note.stat().st_mtime < time.time() - _UNUSED:
                note.unlink()
                remove(note.with_suffix(""))
