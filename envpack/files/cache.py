"""The caches that builds share, and scratch directories that are removed even after a build was killed."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.errors import EnvpackError, PackingFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Cache:
    """Directories below one root; deleting any of them loses nothing but time."""

    root: Path

    @property
    def packages(self) -> Path:
        """Conda packages, extracted, for hard links into prefixes."""
        return self.root / "pkgs"

    @property
    def checked(self) -> Path:
        """Which packages were found to match their own records, by SHA-256."""
        return self.root / "checked"

    @property
    def pieces(self) -> Path:
        """Pieces of archives, compressed."""
        return self.root / "pieces"

    @property
    def verified(self) -> Path:
        """What verifications found about pieces of archives, and what they imported."""
        return self._own("verified")

    @property
    def repodata(self) -> Path:
        """Channels' indexes."""
        return self._own("repodata")

    @property
    def uv(self) -> Path:
        """Wheels and package indexes, uv's own layout."""
        return self._own("uv")

    @property
    def sources(self) -> Path:
        """Source distributions, by SHA-256."""
        return self._own("sources")

    @property
    def built(self) -> Path:
        """Wheels that were built from sources."""
        return self._own("built")

    @property
    def tools(self) -> Path:
        """Installed Pythons and build requirements, in which wheels are built."""
        return self._own("tools")

    @property
    def recipes(self) -> Path:
        """Which pieces make which archive."""
        return self._own("recipes")

    @property
    def indexes(self) -> Path:
        """Copies of what stores hold."""
        return self._own("indexes")

    @property
    def environments(self) -> Path:
        """Releases, unpacked to run commands in."""
        return self._own("environments")

    @property
    def published(self) -> Path:
        """What this machine has published, store by store."""
        return self._own("published")

    @property
    def unchanged(self) -> Path:
        """The results of builds, store by store."""
        return self._own("unchanged")

    @contextmanager
    def fetching(self) -> Iterator[None]:
        """Let one build at a time fetch wheels, so that the next finds them in the cache."""
        from filelock import FileLock  # noqa: PLC0415 - 40 ms, which most commands need not spend

        with FileLock(self.uv / ".fetching"):
            yield

    def _own(self, name: str) -> Path:
        """Return a directory that only its owner can enter: its files contain addresses, or are run.

        Where another user's directory has that name, as in a shared cache, it is one beside it.
        """
        path = self.root / name
        # If it cannot be made here, the code that writes into it reports that.
        with suppress(OSError):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.stat().st_uid != os.geteuid():
                path = self.root / f"{name}-{os.geteuid()}"
                path.mkdir(mode=0o700, exist_ok=True)
            if path.stat().st_mode & 0o077:
                path.chmod(0o700)
        return path

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty directory on the caches' file system, so that files can be hard-linked into it.

        It is removed when the block ends; the next build removes those of builds that were killed. Raises
        UsageError when it cannot be created, and PackingFailed when the disk becomes full.
        """
        from envpack.files.workspace import room  # noqa: PLC0415 - imports filelock, see above

        home = self.root / "scratch"
        with ExitStack() as opened:
            try:
                home.mkdir(parents=True, exist_ok=True)
                directory = opened.enter_context(room(home))
            except OSError as error:
                raise self._unusable(error) from error
            try:
                yield directory
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT) or self._holds(error.filename):
                    raise self._unusable(error) from error
                raise

    def _holds(self, path: object) -> bool:
        return isinstance(path, (str, os.PathLike)) and Path(path).absolute().is_relative_to(self.root.absolute())

    def _unusable(self, error: OSError) -> EnvpackError:
        """Return what to do about an error of the file system in the cache."""
        elsewhere = "use another cache with --cache-dir or ENVPACK_CACHE_DIR"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return PackingFailed(
                f"the disk of the cache {self.root} is full", hint=f"free space there, or {elsewhere}"
            )
        where = f" ({error.filename})" if error.filename else ""
        return UsageError(
            f"the cache directory {self.root} cannot be used: {error.strerror or error}{where}", hint=elsewhere
        )
