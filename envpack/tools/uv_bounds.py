"""Bounds on what uv unpacks: an index's wheel during the download, before it can be checked.

While it solves, it reads the METADATA of wheels whole, so its memory is bounded too. Other runs may share the
cache: a large wheel of one must not end another.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.errors import BrokenPackage

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from envpack.tools.uv_runs import Runs

ANY = 16 << 30
"""The unpacked size in bytes of a wheel whose size is unknown."""

MEMORY = 4 << 30
"""The most bytes of uv's memory; a solution of a thousand packages takes a tenth of it."""

_LOOK = 0.25
"""Seconds between two checks of what is being unpacked."""

_ENTRY = 512
"""The least bytes that each file or directory counts for: empty ones take space too."""

_DOUBTS = 8
"""How many times a directory is seen to grow above every bound before this run is taken for its writer."""

_NO_MEMORY = "memory allocation of"
"""Rust's message when memory runs out."""


class Bound:
    """Watches one run of uv, `runs` being those that share its cache."""

    def __init__(self, process: subprocess.Popen[str], cache: Path, most: int, runs: Runs) -> None:
        self._process = process
        self._cache = cache
        self._most = most
        self._runs = runs
        self._before = set(_unpacking(cache))
        self._doubtful: set[Path] = set()
        self._sizes: dict[Path, int] = {}
        self._grown: Counter[Path] = Counter()
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
                if self.is_too_large(place):
                    self._passed = next((path.name.partition("-")[0] for path in place.glob("*.dist-info")), "")
                    self._process.kill()
                    self._process.wait()
                    shutil.rmtree(place, ignore_errors=True)
                    return

    def is_too_large(self, place: Path) -> bool:
        """Return whether this run fills a directory with more than it may.

        Where other runs live, it is this one's if its process has a file open in it. Where that is not seen, it is
        if the directory keeps growing above what any of them may unpack; what a killed run left does not grow.
        """
        others = self._runs.others()
        size = room_of(place, self._most)
        others += self._runs.others()  # one may have begun meanwhile
        if others:
            self._doubtful.add(place)
        if size <= self._most:
            return False
        if place not in self._doubtful or self._writes_into(place):
            return True
        size = room_of(place, sys.maxsize)
        self._grown[place] += size > max(self._most, self._sizes.get(place, size), *others)
        self._sizes[place] = size
        return self._grown[place] >= _DOUBTS

    def _writes_into(self, place: Path) -> bool:
        """Return whether the process has a file in a directory open; only Linux tells."""
        inside = f"{os.path.realpath(place)}{os.sep}"
        with suppress(OSError):
            for opened in Path(f"/proc/{self._process.pid}/fd").iterdir():
                with suppress(OSError):
                    if str(opened.readlink()).startswith(inside):
                        return True
        return False

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()

    def check(self, said: str) -> None:
        """Raise BrokenPackage if the run was ended, or a file was not written, because of a bound.

        `said` is what uv wrote.
        """
        if self._bounds_memory and self._process.returncode == -signal.SIGABRT and _NO_MEMORY in said:
            raise BrokenPackage(
                f"uv would need more than {MEMORY:,} bytes of memory for the METADATA of a package",
                hint="run with --verbose: the last package shown is the cause; use another version, and report "
                "it to the "
                "index's owner",
            )
        if self._passed is None and self._bounds_files and self._process.returncode == -signal.SIGXFSZ:
            self._passed = ""
            for place in set(_unpacking(self._cache)) - self._before:
                if _holds_a_file_of(place, self._most):
                    shutil.rmtree(place, ignore_errors=True)
        if self._passed is not None:
            raise BrokenPackage(
                f"{f'the wheel {self._passed}' if self._passed else 'a wheel'} would unpack to more than "
                f"{self._most:,} bytes, the limit for a wheel",
                hint="use another version, and report it to the index's owner",
            )


@contextmanager
def bounded(process: subprocess.Popen[str], cache: Path, most: int, runs: Runs) -> Iterator[Bound]:
    """Bound each file that uv writes, and each wheel that it unpacks, to `most` bytes while the block runs.

    `runs` says which other runs share the cache.
    """
    bound = Bound(process, cache, most, runs)
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


def _holds_a_file_of(directory: Path, size: int) -> bool:
    """Return whether a file below a directory has exactly so many bytes: the system stopped its writer there."""
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                if Path(folder, name).lstat().st_size == size:
                    return True
    return False


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
