"""The living runs of uv that share a cache, each with its bound: uv does not say whose a directory is."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RUNS = ".envpack-runs"


@dataclass(frozen=True)
class Runs:
    """The runs of one cache, as one of them sees them.

    `held` is the descriptor of this run's registration, which the process that unpacks must inherit: a registration
    counts as long as a process holds its lock. It is None where nothing can be written.
    """

    place: Path
    own: str
    held: int | None

    def others(self) -> list[int]:
        """Return the bounds in bytes of the other runs that live; what killed ones left is removed."""
        found: list[int] = []
        with suppress(OSError):
            for path in self.place.iterdir():
                bound = path.name.partition("-")[0]
                if path.name != self.own and bound.isdecimal() and _lives(path):
                    found.append(int(bound))
        return found


@contextmanager
def registered(cache: Path, most: int) -> Iterator[Runs]:
    """Register a run whose wheels may each take `most` bytes, while the block runs."""
    place = cache / _RUNS
    name, held = f"{most}-{secrets.token_hex(6)}", None
    try:
        with suppress(OSError):  # a cache that cannot be written: uv reports that
            place.mkdir(parents=True, exist_ok=True)
            held = _hold(place / name)
        yield Runs(place, name, held)
    finally:
        if held is not None:
            with suppress(OSError):
                (place / name).unlink()
            os.close(held)


def _hold(path: Path) -> int:
    """Make a file and lock it; a reader may have found it without its lock and removed it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lives(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except BlockingIOError:
        return True
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return False
