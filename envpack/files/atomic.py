"""Write a file whole or not at all: readers see the old content or the new, and a failure leaves nothing behind."""

from __future__ import annotations

import re
import secrets
import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")

FORGOTTEN = 24 * 3600.0
"""Seconds; what is being written is younger."""


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a new file to write, which takes the place of `path` when the block ends without an error.

    It is written beside `path`, in a directory that must exist, and gets the permissions of any new file. Raises
    OSError; then, as after any other exception, `path` is what it was and nothing else is left, also where the disk
    is full and the file cannot even be closed.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    except BaseException:
        with suppress(OSError):  # a directory that has gone or became read-only: the first error says more
            part.unlink(missing_ok=True)
        raise


def write(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all. Raises OSError."""
    with replacing(path) as file:
        file.write(data)


def sweep(directory: Path, older: float = FORGOTTEN) -> None:
    """Remove what killed writers left in a directory `older` seconds ago or more; what cannot be removed stays."""
    now = time.time()
    with suppress(OSError):
        for path in list(directory.iterdir()):
            if _PART.fullmatch(path.name):
                with suppress(OSError):
                    if now - path.stat().st_mtime >= older:
                        path.unlink()
