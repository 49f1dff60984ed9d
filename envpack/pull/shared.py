"""Releases that are unpacked in the cache to run commands in: each one once, shared by all processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from envpack.errors import UsageError
from envpack.files.inside import inside
from envpack.files.remove import remove
from envpack.progress import SILENT, Progress
from envpack.pull.pull import pull

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.files.cache import Cache
    from envpack.releases.lookup import Release
    from envpack.stores.base import Store

KEPT = 10
"""How many unpacked releases stay; the least recently used are removed when another is pulled."""

_DIGITS = 32
_REMOVED = ".removed-"


def place(release: Release, cache: Cache) -> Path:
    """Return the directory where `prepare` unpacks a release; it need not exist."""
    return inside(cache.environments, release.manifest.digest[:_DIGITS])


def prepare(store: Store, release: Release, *, cache: Cache, progress: Progress = SILENT) -> Path:
    """Return the directory where a release is unpacked, read-only; it is pulled if it is missing.

    If several processes need it, one pulls and the others wait. This process, also after exec, holds it until it
    ends, so that it is not removed meanwhile. Raises UsageError when the cache cannot be used.
    """
    home = cache.environments
    directory = place(release, cache)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(_lock_of(directory), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UsageError(
            f"the cache directory {home} cannot be used: {error.strerror}",
            hint="use another directory with --cache-dir or ENVPACK_CACHE_DIR",
        ) from error
    os.set_inheritable(lock, True)
    while True:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if directory.is_dir():
            os.utime(lock)
            return directory
        _acquire_alone(lock, progress)
        if not directory.is_dir():
            pull(store, release, directory, cache=cache, read_only=True, progress=progress)
            _remove_unused(home, keep=directory)


def _acquire_alone(lock: int, progress: Progress) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        progress.info("another process pulls this release: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _lock_of(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.lock")


def _remove_unused(home: Path, keep: Path) -> None:
    """Remove the least recently used environments, except those in use."""
    for left in home.glob(f"{_REMOVED}*"):
        remove(left)
    there = [path for path in home.iterdir() if path.is_dir() and not path.name.startswith(".") and path != keep]
    by_use = sorted(there, key=_last_use, reverse=True)
    for directory in by_use[KEPT - 1 :]:
        with contextlib.suppress(OSError):
            _remove_if_unused(directory)


def _last_use(directory: Path) -> float:
    with contextlib.suppress(OSError):
        return _lock_of(directory).stat().st_mtime
    return 0.0


def _remove_if_unused(directory: Path) -> None:
    """Remove an environment; raises OSError when a process uses it. Half of one is never mistaken for a whole."""
    lock = os.open(_lock_of(directory), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        gone = directory.with_name(f"{_REMOVED}{directory.name}")
        directory.rename(gone)
        remove(gone)
    finally:
        os.close(lock)
