"""Small real releases in a store, and a look at whether a store is sound."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from envpack import digest, units
from envpack.archive.packer import PACKER
from envpack.config.target import Target
from envpack.releases import keys, lookup, tags
from envpack.releases.lookup import Release
from envpack.releases.manifest import ArchiveFacts, Manifest, Verification
from envpack.releases.publish import publish as publish_archive

if TYPE_CHECKING:
    from envpack.packages.package import PackedPackage
    from envpack.stores.base import Store

DAY = 86400.0


def manifest_of(content: str, name: str = "udf", inputs: str | None = None) -> Manifest:
    """Return the manifest of an archive that holds only this text."""
    sha256 = digest.of_bytes(content.encode())
    return Manifest(
        name=name,
        archive=ArchiveFacts(
            file=keys.archive_file(name, sha256, "tar.gz"),
            format="tar.gz",
            size=len(content.encode()),
            sha256=sha256,
            unpacked_size=1,
            members=1,
        ),
        python="3.11.7",
        target=Target(),
        packages=(),
        input_digest=inputs or hashlib.sha256(f"inputs of {content}".encode()).hexdigest(),
        created=units.now(),
        envpack="0",
        packer=PACKER,
        verified=Verification.RUN,
    )


def archive_of(folder: Path, content: str) -> tuple[Manifest, Path]:
    """Write an archive that holds only this text; return its manifest and its path."""
    path = folder / f"{content}.tar.gz"
    path.write_text(content)
    return manifest_of(content), path


def publish(
    store: Store,
    content: str,
    name: str = "udf",
    *,
    tag: str | None = None,
    days: float = 0.0,
    packages: tuple[PackedPackage, ...] = (),
    beside: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Publish a release as a build does and return its manifest. In a directory it can be some days old."""
    manifest = replace(manifest_of(content, name), packages=packages)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "archive")
        archive.write_text(content)
        publish_archive(store, manifest, archive, {f"{name}.lock": b"lock", **(beside or {})})
    if tag:
        tags.advance(store, name, tag, manifest.digest, by="jane")
    if days:
        age(store, f"{name}/{manifest.short_digest}", days)
        age(store, f"{name}/builds/{manifest.input_digest}", days)
    return manifest


def age(store: Store, prefix: str, days: float) -> None:
    """Make files of a directory store look as if they were written some days ago."""
    then = time.time() - days * DAY
    for path in Path(store.url).rglob("*"):
        if path.is_file() and path.relative_to(store.url).as_posix().startswith(prefix):
            os.utime(path, (then, then))


def all_releases(store: Store, name: str | None = None) -> Iterator[Release]:
    """Yield the releases of one name, or of all, sorted by name."""
    for entry in store.list(f"{name}/" if name else ""):
        if short := keys.digest_of_key(entry.key):
            release = lookup.at(store, entry.key.split("/")[0], short)
            assert release is not None
            yield release


def names_of(store: Store) -> set[str]:
    """Return the references of all releases."""
    return {release.manifest.reference for release in all_releases(store)}


def faults(store: Store) -> list[str]:
    """Return what a reader could stumble over: a tag that points at nothing, a release without its archive."""
    sizes = {entry.key: entry.size for entry in store.list()}
    found = []
    for release in all_releases(store):
        manifest = release.manifest
        key = f"{manifest.name}/{manifest.short_digest}/{manifest.archive.file}"
        if sizes.get(key) != manifest.archive.size:
            found.append(f"{manifest.reference} has no whole archive")
    for entry in list(store.list()):
        if parts := keys.tag_of_key(entry.key):
            tag = tags.read(store, *parts)
            if tag and f"{parts[0]}/{tag.digest[: digest.SHORT]}/manifest.json" not in sizes:
                found.append(f"{parts[0]}:{parts[1]} points at nothing")
    return found
