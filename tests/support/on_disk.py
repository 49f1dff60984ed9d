"""A directory on a disk, for tests that must not write to memory as the quick ones do where it has room."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def on_disk(directory: Path) -> Iterator[Path]:
    """Yield a directory, or one in its place that is removed again if it is in /dev/shm."""
    if not directory.is_relative_to("/dev/shm"):  # noqa: S108
        yield directory
    else:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            yield Path(folder)
