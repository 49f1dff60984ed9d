"""Put a kernel where Jupyter finds it: its release beside its kernel.json, which is written last."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpack.config.addresses import directory_at
from envpack.errors import UsageError
from envpack.files import atomic
from envpack.files.inside import inside
from envpack.files.remove import remove
from envpack.progress import SILENT, Progress
from envpack.pull.pull import pull

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpack.files.cache import Cache
    from envpack.releases.lookup import Release
    from envpack.stores.base import Store

FILE = "kernel.json"

_ENVIRONMENT = "environment-"
_KEPT = 2
"""Releases of a kernel that stay: running notebooks use the previous one."""


def home_of(environ: Mapping[str, str], prefix: Path | None = None) -> Path:
    """Return the folder of kernels: of the user, or of all users of the Python at `prefix`.

    Source: jupyter_core's paths.py.
    """
    if prefix:
        return Path(directory_at(prefix, Path.cwd())) / "share" / "jupyter" / "kernels"
    if named := environ.get("JUPYTER_DATA_DIR"):
        return Path(directory_at(named, Path.cwd())) / "kernels"
    person = Path(environ.get("HOME") or Path.home())
    if sys.platform == "darwin":
        return person / "Library" / "Jupyter" / "kernels"
    return Path(environ.get("XDG_DATA_HOME") or person / ".local" / "share") / "jupyter" / "kernels"


def environment_of(home: Path, name: str, release: Release) -> Path:
    """Return where the release of a kernel is unpacked."""
    return inside(inside(home, name), f"{_ENVIRONMENT}{release.manifest.short_digest}")


def install(
    store: Store,
    release: Release,
    directory: Path,
    content: Mapping[str, Any],
    *,
    cache: Cache,
    progress: Progress = SILENT,
) -> Path:
    """Unpack a release at `directory` if it is missing, and write kernel.json beside it; return its folder.

    The kernel changes to the release at once; running kernels continue with the previous one.
    Raises UsageError when the folder cannot be written.
    """
    folder = directory.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not directory.is_dir():
            pull(store, release, directory, cache=cache, progress=progress)
        atomic.write(folder / FILE, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
        _remove_old(folder, directory)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror}", hint="use another directory with --prefix"
        ) from error
    return folder


def _remove_old(folder: Path, keep: Path) -> None:
    there = [path for path in folder.glob(f"{_ENVIRONMENT}*") if path.is_dir() and path != keep]
    for old in sorted(there, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT - 1 :]:
        remove(old)
