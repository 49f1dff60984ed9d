"""Publish a release, note that it was verified, point a tag back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from envpack import digest
from envpack.errors import Conflict, Gone, StoreUnreachable, UsageError
from envpack.progress import SILENT, Progress
from envpack.redact import stored
from envpack.releases import keys, lookup, removal_notice, tags
from envpack.releases.manifest import Manifest
from envpack.stores.base import AnotherContent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from envpack.releases.lookup import Release
    from envpack.releases.manifest import Verification
    from envpack.stores.base import Held, Store


class Orphan(Conflict):
    """Other bytes are in the place of an archive, and belong to no release."""

    def __init__(self, message: str, *, hint: str | None = None, folder: str = "") -> None:
        super().__init__(message, hint=hint)
        self.folder = folder
        """Its place, from the store's root."""


def _orphan(folder: str, where: str) -> Orphan:
    return Orphan(
        f"{where} exists with other content, and belongs to no release: its writer was killed, still "
        "runs, or is not envpack",
        hint="a build removes it once it is older than the grace period; to remove it now, when no other build "
        "runs: `envpack gc --grace 0m --apply`",
        folder=folder,
    )


def publish(
    store: Store,
    manifest: Manifest,
    archive: Path,
    beside: Mapping[str, bytes],
    *,
    wheels: Mapping[str, tuple[Path, str]] | None = None,
    held: Sequence[Held] = (),
    progress: Progress = SILENT,
) -> tuple[Release, bool]:
    """Put a release into the store, and return it and whether it had to be written.

    `beside` are small files that belong to the release, `wheels` those that were compiled for it, by file name:
    where each is and its SHA-256. `held` are bytes of the archive that the store already has in other objects; they
    need not be sent. The archive is written first and the manifest last, so a reader never sees an incomplete
    release. When another builder published the same archive first, theirs is returned. Raises Orphan when other
    bytes without a manifest are in the archive's place, Conflict when they belong to a release, Unreadable when the
    manifest itself, or an existing one, breaks a rule for stored manifests, and StoreUnreachable when the manifest
    is not read back as it was written.
    """
    folder = keys.folder(manifest.name, manifest.digest)
    key = keys.manifest(manifest.name, manifest.digest)
    compiled = {file: sha256 for file, (_, sha256) in (wheels or {}).items()}
    beside = {file: stored(content) for file, content in beside.items()}
    digests = {file: digest.of_bytes(content) for file, content in beside.items()}
    data = stored(replace(manifest, beside={**digests, **compiled}).dumps())
    manifest = Manifest.loads(data, store.uri(key))  # a manifest that no reader accepts is not written
    written: list[bool] = []
    replaced: dict[str, bytes] = {}

    def put(_: bool) -> None:
        is_published = store.size(key) is not None
        with progress.step("upload", total=manifest.archive.size, unit="bytes") as step:
            try:
                store.upload(keys.archive_key(manifest), archive, manifest.digest, step, held)
            except AnotherContent as error:
                if is_published:
                    raise
                raise _orphan(folder, store.uri(keys.archive_key(manifest))) from error
            step.note(store.uri(folder))
        for file, (path, sha256) in (wheels or {}).items():
            with progress.step("upload", total=path.stat().st_size, unit="bytes") as step:
                store.upload(f"{folder}/{file}", path, sha256, step)
        for file, content in beside.items():
            before = _write_beside(store, f"{folder}/{file}", content, is_published=is_published)
            if before is not None:
                replaced[file] = before
        written.append(store.create(key, data))

    removal_notice.beside_removals(store, folder, put)
    release = lookup.at(store, manifest.name, manifest.digest)
    if release is None:
        raise Gone(
            f"{store.uri(folder)} was removed while envpack published it", hint="run `envpack build FILE` again"
        )
    ours = any(written) and release.manifest == manifest
    if not any(written):
        _put_back(store, release, replaced)
    elif not ours and not removal_notice.was_posted(store):  # else ours was removed, and another builder's is there
        raise StoreUnreachable(
            f"{store.uri(key)} was written, but a read returned other content",
            hint="try again; if it happens again, look for a proxy that changes data between this machine and "
            "the store",
        )
    _record(store, manifest, release)
    return release, ours


def _write_beside(store: Store, key: str, content: bytes, *, is_published: bool) -> bytes | None:
    """Write a small file of a release, and return what it replaced. A published release is not changed.

    Without a manifest, a file of the same name is from a killed writer, or from one that is still running.
    """
    if store.create(key, content) or is_published:
        return None
    there = store.read(key)
    if there and there.data != content and store.replace(key, content, there.version):
        return there.data
    return None


def _put_back(store: Store, release: Release, replaced: Mapping[str, bytes]) -> None:
    """Restore replaced files of another builder that made the same archive and published it first."""
    for file, before in replaced.items():
        key = f"{keys.folder(release.manifest.name, release.manifest.digest)}/{file}"
        wanted, there = release.manifest.beside.get(file), store.read(key)
        if there and wanted == digest.of_bytes(before) != digest.of_bytes(there.data):
            store.replace(key, before, there.version)


def _record(store: Store, manifest: Manifest, release: Release) -> None:
    """Record what was built from these inputs; a record that leads nowhere is replaced.

    `release` may be an earlier build's: then this build's requests are noted beside it.
    """
    if not manifest.input_digest:
        return
    key = keys.build_record(manifest.name, manifest.input_digest)
    target = manifest.target.to_json()
    record = {"schema": 1, "digest": manifest.digest, "created": manifest.created, "target": target}
    data = json.dumps(record).encode()
    asked = keys.newest_record(manifest)
    earlier = store.read(asked)
    if earlier or release.manifest.target != manifest.target:
        store.replace(asked, data, earlier.version if earlier else None)
    if store.create(key, data) or lookup.find_build(store, manifest.name, manifest.input_digest):
        return
    if there := store.read(key):
        store.replace(key, data, there.version)


def mark_verified(store: Store, release: Release, how: Verification) -> None:
    """Note that a release which was published unverified has been verified since; its manifest never changes."""
    key = keys.verified(release.manifest)
    data = json.dumps({"how": how}).encode()
    if store.create(key, data) or lookup.is_verified(store, release):
        return
    if there := store.read(key):
        store.replace(key, data, there.version)


def roll_back(store: Store, name: str, tag: str, *, by: str) -> tags.Tag | None:
    """Point a tag at the release that it pointed at before, and return the tag as it was; None if there is none.

    A second call undoes it. Raises UsageError when there was none before or it is gone, and Conflict when someone
    else moves the tag at the same time.
    """
    found = tags.read(store, name, tag)
    if found is None:
        return None
    earlier = tags.before_last(name, tag, found)
    release = lookup.at(store, name, earlier.digest)
    if release is None or store.size(keys.archive_key(release.manifest)) is None:
        raise UsageError(
            f"the earlier release of {name}:{tag}, {name}@{earlier.digest[: digest.SHORT]}, was removed",
            hint=f"choose a release that exists: `envpack tag --history {name}:{tag}`, then `envpack tag REF "
            f"{tag} --move`",
        )
    return tags.move(store, name, tag, earlier.digest, by=by, again=True, seen=found.digest)
