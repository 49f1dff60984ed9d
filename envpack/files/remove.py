"""Remove directories that were made read-only, as a node makes them."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

_TRIES = 20
_LONGEST = 800


def remove(directory: Path) -> None:
    """Remove a directory and all in it, whatever their permissions; it is no error when it is not there.

    What lies behind a symbolic link stays: of `directory` and of all in it only the links are removed.

    Another process may be removing it at the same time: `shutil.rmtree` gives up on what vanishes under it before
    Python 3.13, so each file is taken on its own here.
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
        for path in (Path(parent, name) for name in files):
            path.unlink(missing_ok=True)
        for path in (Path(parent, name) for name in folders):
            with contextlib.suppress(FileNotFoundError):
                path.unlink() if path.is_symlink() else path.rmdir()


def _open(directory: Path) -> bool:
    """Let all directories be read and written; return whether some lay so deep that they were moved up.

    A path may have so many bytes and no more (PATH_MAX), and packaged code can nest directories deeper than that.
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
