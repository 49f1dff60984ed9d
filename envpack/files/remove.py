"""Remove directories that were made read-only, as nodes do."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

_TRIES = 20
_LONGEST = 800


def remove(directory: Path) -> None:
    """Remove a directory and all in it, regardless of permissions; a missing directory is no error.

    Symbolic links, also `directory` itself, are removed and not followed.

    Another process may be removing it at the same time: before Python 3.13, `shutil.rmtree` fails on a file that
    vanishes, so each file is removed on its own here.
    """
    if directory.is_symlink():
        directory.unlink(missing_ok=True)
        return
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
    while _open(directory):
        pass
    for parent, folders, files in os.walk(directory, topdown=False):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{parent}/{name}")  # noqa: PTH108 - a Path of each takes as long as removing it
        for path in (Path(parent, name) for name in folders):
            with contextlib.suppress(FileNotFoundError):
                path.unlink() if path.is_symlink() else path.rmdir()


def _open(directory: Path) -> bool:
    """Make all directories readable and writable; return whether some were so deep that they were moved up.

    The length of a path is limited (PATH_MAX), and packaged code can nest directories deeper than that.
    """
    moved = 0
    directory.chmod(0o700)
    for parent, folders, _ in os.walk(directory):
        for path in [path for name in folders if not (path := Path(parent, name)).is_symlink()]:
            with contextlib.suppress(FileNotFoundError):
                path.chmod(0o700)
                if len(os.fsencode(path)) > _LONGEST + len(os.fsencode(directory)):
                    path.rename(directory / f".{secrets.token_hex(8)}")
                    folders.remove(path.name)
                    moved += 1
    return moved > 0
