"""The caches that builds share, and the scratch directories that a killed build cannot leave behind for good."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack.errors import PackingFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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

    @property
    def environments(self) -> Path:
        """Releases, unpacked to run commands in."""
        return self.root / "environments"

    @contextmanager
    def fetching(self) -> Iterator[None]:
        """Let one build at a time fetch wheels, so that the next finds them in the cache."""
        from filelock import FileLock  # noqa: PLC0415 - 40 ms, which most commands need not spend

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

        It is removed when the block ends, and those of builds that were killed by the next build. Raises UsageError
        when there cannot be one, and PackingFailed when the disk gets full.
        """
        from envpack.files.workspace import room  # noqa: PLC0415 - imports filelock, see above

        home = self.root / "scratch"
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the cache directory {self.root} cannot be used: {error.strerror}",
                hint="name another with ENVPACK_CACHE_DIR or --cache-dir",
            ) from error
        try:
            with room(home) as directory:
                yield directory
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise PackingFailed(
                f"the disk that holds {self.root} is full",
                hint="make room there, or name another cache with ENVPACK_CACHE_DIR or --cache-dir",
            ) from error
