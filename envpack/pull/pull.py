"""Pull a release: download its archive, check it, unpack it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack import digest
from envpack.archive.unpack import Extent, check_empty, unpack
from envpack.errors import VerificationFailed
from envpack.files.inside import inside
from envpack.progress import SILENT, Progress
from envpack.releases import keys

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.files.cache import Cache
    from envpack.releases.lookup import Release
    from envpack.releases.manifest import Manifest
    from envpack.stores.base import Store


def pull(
    store: Store,
    release: Release,
    directory: Path,
    *,
    cache: Cache,
    read_only: bool = False,
    progress: Progress = SILENT,
) -> None:
    """Unpack a release into a directory, which appears complete or not at all and then works unchanged.

    Raises UsageError when the directory is not empty, and VerificationFailed when the archive is not
    the one that its manifest names, or a member of it would leave the directory.
    """
    check_empty(directory)
    with cache.scratch() as scratch:
        archive = inside(scratch, release.manifest.archive.file)
        download(store, release, archive, progress=progress)
        if problem := mismatch(archive, release.manifest):
            raise _not_the_manifests(release, problem)
        facts = release.manifest.archive
        extent = Extent(size=facts.unpacked_size, members=facts.members)
        unpack(archive, directory, extent=extent, read_only=read_only, progress=progress)


def download(store: Store, release: Release, file: Path, *, progress: Progress = SILENT) -> None:
    """Copy a release's archive to a file. Raises VerificationFailed when its size is wrong."""
    manifest = release.manifest
    size = store.size(keys.archive_key(manifest))
    if size is not None and (problem := _other_size(size, manifest)):
        raise _not_the_manifests(release, problem)
    with progress.step("download", total=manifest.archive.size, unit="bytes") as step:
        store.download(keys.archive_key(manifest), file, step)


def mismatch(archive: Path, manifest: Manifest) -> str | None:
    """Say how an archive differs from the one that a manifest names, if it does."""
    if problem := _other_size(archive.stat().st_size, manifest):
        return problem
    found = digest.of_file(archive)
    return None if found == manifest.digest else f"its SHA-256 is {found}, not {manifest.digest}"


def _other_size(size: int, manifest: Manifest) -> str | None:
    return None if size == manifest.archive.size else f"it has {size} bytes, not {manifest.archive.size}"


def _not_the_manifests(release: Release, problem: str) -> VerificationFailed:
    return VerificationFailed(
        f"{release.archive_uri}: {problem}",
        hint="nothing was unpacked; use another release, and check who wrote to the store",
    )
