"""Where benchmarks keep what is costly to make: outside of the repository, for the next run."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from tests.support import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent

ENVPACK = Path(sys.executable).with_name("envpack")
"""The command line that is measured: that of the Python which runs the benchmark."""


def home() -> Path:
    """Return the directory of the benchmarks: `ENVPACK_BENCH_CACHE`, or one in the platform's cache directory."""
    path = Path(os.environ.get("ENVPACK_BENCH_CACHE") or platformdirs.user_cache_path("envpack-bench"))
    path.mkdir(parents=True, exist_ok=True)
    return path


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return a directory that `make` fills if it is not there."""
    return cache.kept(name, make, within=home())


@contextmanager
def work() -> Iterator[Path]:
    """Give an empty directory on the same file system, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="work-", dir=home()) as path:
        yield Path(path)


def emptied(path: Path) -> Path:
    """Return the directory, which is there and empty now."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
