"""Limit the size of a cache: the least recently used files are removed. A file's time is its last use."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_IN_USE = 3600
"""Seconds after its last use in which a file is not removed: a build may be about to read it."""


def touch(path: Path) -> None:
    """Note that a file is used now, where that is possible: another user's cache can only be read."""
    with suppress(OSError):
        os.utime(path)


def shrink(files: Iterable[Path], limit: int) -> None:
    """Remove the least recently used files until the rest has at most `limit` bytes; failures are ignored."""
    with suppress(OSError):
        kept = sorted((_used(path), path) for path in files)
        total = sum(size for (_, size), _ in kept)
        now = time.time()
        for (used, size), path in kept:
            if total <= limit or used > now - _IN_USE:
                break
            path.unlink(missing_ok=True)
            total -= size


def _used(path: Path) -> tuple[float, int]:
    status = path.stat()
    return status.st_mtime, status.st_size
