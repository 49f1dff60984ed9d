"""Working directories that are removed even after their process was killed."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from envpack.files.remove import remove

if TYPE_CHECKING:
    from collections.abc import Iterator

_HELD = ".held"


@contextmanager
def room(home: Path, prefix: str = "") -> Iterator[Path]:
    """Yield a new directory in `home`, whose name begins with `prefix`, and remove it when the block ends.

    It holds a lock file; the next process removes the directories of killed processes, whose locks are free. An
    interruption may come at any moment, once, and leaves nothing.
    """
    _remove_dead(home, prefix)
    claimed = False
    while not claimed:
        # Its name is chosen before it is made: otherwise an interruption between the two would leave it.
        directory = home / f"{prefix}{secrets.token_hex(6)}"
        held = FileLock(directory / _HELD)
        try:
            try:
                directory.mkdir(mode=0o700)
                if claimed := _claimed(held):
                    yield directory
            finally:
                remove(directory)
        finally:
            remove(directory)  # the interruption may have occurred in the line above
            held.release()


def _claimed(held: FileLock) -> bool:
    """Take a new directory's lock; another process may have mistaken the directory for a dead process's before."""
    with suppress(OSError):
        held.acquire(blocking=False)
        return Path(held.lock_file).exists()
    return False


def _remove_dead(home: Path, prefix: str) -> None:
    for directory in [path for path in home.iterdir() if path.name.startswith(prefix) and _is_ours(path)]:
        try:
            with FileLock(directory / _HELD, blocking=False):
                remove(directory)
        except (Timeout, OSError):
            continue


def _is_ours(path: Path) -> bool:
    """Return whether a path is a directory of this user; others may put anything into a shared `home`."""
    try:
        facts = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()
