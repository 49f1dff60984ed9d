"""Remove directories that were made read-only, as a node makes them."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

_TRIES = 20


def remove(directory: Path) -> None:
    """Remove a directory and all in it, whatever their permissions; it is no error when it is not there.

    Another process may be removing it at the same time: `shutil.rmtree` gives up on what vanishes under it before
    Python 3.13, so each file is taken on its own here.
    """
    for left in range(_TRIES, 0, -1):
        try:
            _empty(directory)
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if left == 1 or error.errno != errno.ENOTEMPTY:
                raise
        else:
            return


def _empty(directory: Path) -> None:
    for parent, _, _ in os.walk(directory):
        with contextlib.suppress(FileNotFoundError):
            Path(parent).chmod(0o700)
    for parent, folders, files in os.walk(directory, topdown=False):
        for path in (Path(parent, name) for name in files):
            path.unlink(missing_ok=True)
        for path in (Path(parent, name) for name in folders):
            with contextlib.suppress(FileNotFoundError):
                path.unlink() if path.is_symlink() else path.rmdir()
