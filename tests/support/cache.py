"""What tests make or download once and keep for later runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable


def cache_directory() -> Path:
    """Return where they are kept."""
    cache = Path(os.environ.get("ENVPACK_TEST_CACHE") or platformdirs.user_cache_path("envpack-tests"))
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def shared(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a directory of this run of pytest, which `make` fills once for all workers."""
    own = tmp_path_factory.getbasetemp()
    return kept(name, make, within=own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own)


def kept(name: str, make: Callable[[Path], None], *, within: Path | None = None) -> Path:
    """Return a directory of the cache, or `within` another, which `make` fills if it is not there.

    `make` gets the path that the directory will stay at; other processes wait meanwhile. Half a directory is never
    taken for a whole one.
    """
    path = (within or cache_directory()) / name
    done = path / ".done"
    with FileLock(f"{path}.lock"):
        if not done.exists():
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
            make(path)
            done.touch()
    return path
