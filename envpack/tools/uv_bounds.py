"""Bounds on what uv unpacks: an index's wheel during the download, before it can be checked.

While it solves, it reads the METADATA of wheels whole, so its memory is bounded too.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.errors import BrokenPackage

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

ANY = 16 << 30
"""The unpacked size in bytes of a wheel whose size is unknown."""

MEMORY = 4 << 30
"""The most bytes of uv's memory; a solution of a thousand packages takes a tenth of it."""

_LOOK = 0.25
"""Seconds between two checks of what is being unpacked."""

_ENTRY = 512
"""The least bytes that each file or directory counts for: empty ones take space too."""


_NO_MEMORY = "memory allocation of"
"""Rust's message when memory runs out."""


class Bound:
    """Watches one run of uv."""

    def __init__(self, process: subprocess.Popen[str], cache: Path, most: int) -> None:
        self._process = process
        self._cache = cache
        self._most = most
        self._before = set(_unpacking(cache))
        self._ended = threading.Event()
        self._passed: str | None = None
        self._bounds_files = self._limit("RLIMIT_FSIZE", most)
        self._bounds_memory = self._limit("RLIMIT_DATA", MEMORY)

    def _limit(self, name: str, most: int) -> bool:
        """Lower a limit of the process, and say whether this limit applies now."""
        with suppress(AttributeError, OSError, ValueError):  # macOS has no prlimit
            what = getattr(resource, name)
            soft, hard = resource.prlimit(self._process.pid, what)
            if soft == resource.RLIM_INFINITY or soft > most:
                resource.prlimit(self._process.pid, what, (most, hard))
                return True
        return False

    def watch(self) -> None:
        """Check regularly until the run has ended, and end it when a wheel becomes too large."""
        while not self._ended.wait(_LOOK):
            for place in set(_unpacking(self._cache)) - self._before:
                if room_of(place, self._most) > self._most:
                    self._passed = next((path.name.partition("-")[0] for path in place.glob("*.dist-info")), "")
                    self._process.kill()
                    self._process.wait()
                    shutil.rmtree(place, ignore_errors=True)
                    return

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()

    def check(self, said: str) -> None:
        """Raise BrokenPackage if the run was ended, or a file was not written, because of a bound.

        `said` is what uv wrote.
        """
        if self._bounds_memory and self._process.returncode == -signal.SIGABRT and _NO_MEMORY in said:
            raise BrokenPackage(
                f"uv would take over {MEMORY:,} bytes of memory, which the METADATA of no honest package needs",
                hint="--verbose shows what it read last; take another version, and report it to the index's owner",
            )
        if self._passed is None and self._bounds_files and self._process.returncode == -signal.SIGXFSZ:
            self._passed = ""
            for place in set(_unpacking(self._cache)) - self._before:
                if room_of(place, self._most) >= self._most:
                    shutil.rmtree(place, ignore_errors=True)
        if self._passed is not None:
            raise BrokenPackage(
                f"{f'the wheel {self._passed}' if self._passed else 'a wheel'} would be unpacked to over "
                f"{self._most:,} bytes, which no honest wheel is",
                hint="take another version of it, and report it to the index's owner",
            )


@contextmanager
def bounded(process: subprocess.Popen[str], cache: Path, most: int) -> Iterator[Bound]:
    """Bound each file that uv writes, and each wheel that it unpacks, to `most` bytes while the block runs."""
    bound = Bound(process, cache, most)
    watch = threading.Thread(target=bound.watch, name="unpacking", daemon=True)
    watch.start()
    try:
        yield bound
    finally:
        bound.end()
        watch.join()


def _unpacking(cache: Path) -> list[Path]:
    """Return the directories into which uv unpacks wheels; it moves complete ones to their place."""
    try:
        with os.scandir(cache) as entries:
            return [Path(entry.path) for entry in entries if entry.name.startswith(".tmp") and entry.is_dir()]
    except OSError:
        return []


def room_of(directory: Path, most: int) -> int:
    """Return how much space the files below a directory take, or any number above `most`."""
    total = 0
    for folder, folders, names in os.walk(directory):
        total += _ENTRY * len(folders)
        for name in names:
            with suppress(OSError):
                total += max(_ENTRY, Path(folder, name).lstat().st_size)
        if total > most:
            break
    return total
