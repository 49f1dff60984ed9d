"""Directories to work in, which a killed process cannot leave behind for good."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from envpack.files.remove import remove

if TYPE_CHECKING:
    from collections.abc import Iterator

_HELD = ".held"


@contextmanager
def room(home: Path, prefix: str = "") -> Iterator[Path]:
    """Give a new directory in `home`, named `prefix` and more, and remove it when the block ends.

    It holds a lock file; those of killed processes, whose locks nobody holds, are removed by the next.
    """
    _remove_dead(home, prefix)
    directory, held = _claim(home, prefix)
    try:
        yield directory
    finally:
        try:
            remove(directory)
        except KeyboardInterrupt:
            remove(directory)
            raise
        finally:
            held.release()


def _claim(home: Path, prefix: str) -> tuple[Path, FileLock]:
    while True:
        directory = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
        held = FileLock(directory / _HELD)
        # Between the two lines above another process may have taken the directory for a dead one's.
        with contextlib.suppress(OSError):
            held.acquire(blocking=False)
            if (directory / _HELD).exists():
                return directory, held
            held.release()


def _remove_dead(home: Path, prefix: str) -> None:
    for directory in [path for path in home.iterdir() if path.name.startswith(prefix) and _is_ours(path)]:
        try:
            with FileLock(directory / _HELD, blocking=False):
                remove(directory)
        except (Timeout, OSError):
            continue


def _is_ours(path: Path) -> bool:
    """Return whether a path is a directory of this user; others may put what they like into a shared `home`."""
    try:
        facts = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()
