"""The caches that builds share, and the scratch directories that a killed build cannot leave behind for good."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from envpack.errors import PackingFailed, UsageError
from envpack.removal import remove

if TYPE_CHECKING:
    from collections.abc import Iterator

_HELD = ".held"


@dataclass(frozen=True)
class Cache:
    """Directories below one root; deleting any of them loses nothing but time."""

    root: Path

    @property
    def packages(self) -> Path:
        """Conda packages, extracted, for hard links into prefixes."""
        return self.root / "pkgs"

    @property
    def repodata(self) -> Path:
        """Channels' indexes."""
        return self.root / "repodata"

    @property
    def uv(self) -> Path:
        """Wheels and package indexes, uv's own layout."""
        return self.root / "uv"

    @property
    def pieces(self) -> Path:
        """Pieces of archives, compressed."""
        return self.root / "pieces"

    @property
    def recipes(self) -> Path:
        """Which pieces make which archive."""
        return self.root / "recipes"

    @property
    def indexes(self) -> Path:
        """Copies of what stores hold."""
        return self.root / "indexes"

    @contextmanager
    def fetching(self) -> Iterator[None]:
        """Let one build at a time fetch wheels, so that the next finds them in the cache."""
        with FileLock(self.root / ".fetching"):
            yield

    @property
    def published(self) -> Path:
        """What this machine has published, store by store."""
        return self.root / "published"

    @property
    def unchanged(self) -> Path:
        """What builds came to, store by store."""
        return self.root / "unchanged"

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give an empty directory on the caches' file system, so that files can be hard-linked into it.

        It is removed when the block ends. The directories of builds that were killed are removed by the next
        build: each build holds a lock in its own, and a lock that nobody holds marks a dead one. Raises UsageError
        when there cannot be one, and PackingFailed when the disk gets full.
        """
        home = self.root / "scratch"
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the cache directory {self.root} cannot be used: {error.strerror}",
                hint="name another with ENVPACK_CACHE_DIR or --cache-dir",
            ) from error
        _remove_dead(home)
        directory, held = _claim(home)
        try:
            yield directory
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise PackingFailed(
                f"the disk that holds {self.root} is full",
                hint="make room there, or name another cache with ENVPACK_CACHE_DIR or --cache-dir",
            ) from error
        finally:
            try:
                remove(directory)
            except KeyboardInterrupt:
                remove(directory)
                raise
            finally:
                held.release()


def _claim(home: Path) -> tuple[Path, FileLock]:
    while True:
        directory = Path(tempfile.mkdtemp(dir=home))
        held = FileLock(directory / _HELD)
        # Between the two lines above another build may have taken the directory for a dead one.
        with contextlib.suppress(OSError):
            held.acquire(blocking=False)
            if (directory / _HELD).exists():
                return directory, held
            held.release()


def _remove_dead(home: Path) -> None:
    for directory in home.iterdir():
        try:
            with FileLock(directory / _HELD, blocking=False):
                remove(directory)
        except (Timeout, OSError):
            continue
