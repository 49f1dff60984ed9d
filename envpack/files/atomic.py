"""Write a file whole or not at all: readers see the old content or the new, and a failure leaves nothing behind."""

from __future__ import annotations

import re
import secrets
import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from envpack.redact.logs import filtered_logger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = filtered_logger(__name__)

_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")

FORGOTTEN = 24 * 3600.0
"""Seconds; a file that is being written is younger."""


class Draft:
    """A file that is being written and is not visible to readers."""

    def __init__(self, path: Path) -> None:
        """Create `path`, which must not exist. Raises OSError."""
        self.file: IO[bytes] = path.open("xb")
        self._path = path

    def take_the_place_of(self, path: Path) -> None:
        """Close the file, and rename it to `path`, replacing any file of that name. Raises OSError."""
        self.file.close()
        self._path.replace(path)

    def remove(self) -> None:
        """Remove the file if it was not renamed, also where a full disk prevents closing it."""
        with suppress(OSError):
            self.file.close()
        with suppress(OSError):  # the directory is gone or read-only: the first error says more
            self._path.unlink(missing_ok=True)


@contextmanager
def draft(path: Path) -> Iterator[Draft]:
    """Yield a new file beside `path`, in a directory that must exist; it is removed unless it is renamed.

    It gets the permissions of any new file. Raises OSError.
    """
    made = Draft(path.with_name(f".{path.name}.{secrets.token_hex(4)}.part"))
    try:
        yield made
    finally:
        made.remove()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a new file to write, which replaces `path` when the block ends without an error.

    Raises OSError; then, as after any other exception, `path` is unchanged and no other file is left.
    """
    with draft(path) as made:
        yield made.file
        made.take_the_place_of(path)


def write(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all. Raises OSError."""
    with replacing(path) as file:
        file.write(data)


def keep(path: Path, data: bytes) -> None:
    """Write a file that only saves time; its directory is created, and leftovers of killed writers are removed.

    A failure to write it (a full disk, another user's cache) is only logged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        write(path, data)
    except OSError as error:
        logger.info("%s is not kept: %s", path, error.strerror)


def sweep(directory: Path, older: float = FORGOTTEN) -> None:
    """Remove what killed writers left in a directory `older` seconds ago or more; failures are ignored."""
    now = time.time()
    with suppress(OSError):
        for path in list(directory.iterdir()):
            if _PART.fullmatch(path.name):
                with suppress(OSError):
                    if now - path.stat().st_mtime >= older:
                        path.unlink()
