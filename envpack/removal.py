"""Remove directories that were made read-only, as a node makes them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

_TRIES = 20


def remove(directory: Path) -> None:
    """Remove a directory and all in it, whatever their permissions; it is no error when it is not there.

    Another process may be removing it at the same time.
    """
    for left in range(_TRIES, 0, -1):
        if not directory.exists():
            return
        for parent, _, _ in os.walk(directory):
            with contextlib.suppress(FileNotFoundError):
                Path(parent).chmod(0o700)
        try:
            shutil.rmtree(directory)
        except OSError as error:
            if left == 1 or error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
