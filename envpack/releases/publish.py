"""Publish a release, note that it was verified, point a tag back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from envpack import digest
from envpack.errors import Gone, UsageError
from envpack.progress import SILENT, Progress
from envpack.releases import keys, lookup, removal_notice, tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from envpack.releases.lookup import Release
    from envpack.releases.manifest import Manifest
    from envpack.stores.base import Held, Store


def publish(
    store: Store,
    manifest: Manifest,
    archive: Path,
    beside: Mapping[str, bytes],
    *,
    held: Sequence[Held] = (),
    progress: Progress = SILENT,
) -> tuple[Release, bool]:
    """Put a release into the store and return it, with whether it had to be written.

    `beside` are small files that belong to the release; `held` are bytes of the archive that the store already has
    in other objects, and need not be sent. The manifest is written last, so a reader never sees a
    release that is not whole. When another builder published the same archive first, theirs is returned. Raises
    Conflict when something else lies under one of the keys.
    """
    folder = keys.folder(manifest.name, manifest.digest)
    written: list[bool] = []

    def put(_: bool) -> None:
        with progress.step("upload", total=manifest.archive.size, unit="bytes") as step:
            store.upload(f"{folder}/{manifest.archive.file}", archive, manifest.digest, step, held)
            step.note(store.uri(folder))
        for file, data in beside.items():
            store.create(f"{folder}/{file}", data)
        written.append(store.create(f"{folder}/manifest.json", manifest.dumps()))

    removal_notice.beside_removals(store, folder, put)
    release = lookup.at(store, manifest.name, manifest.digest)
    if release is None:
        raise Gone(f"{store.uri(folder)} was removed while it was published", hint="publish again")
    store.create(keys.build_record(manifest.name, manifest.input_digest), _build_record(manifest))
    return release, any(written)


def mark_verified(store: Store, release: Release, how: str) -> None:
    """Note that a release which was published unverified has been verified since; its manifest never changes."""
    store.create(keys.verified(release.manifest), json.dumps({"how": how}).encode())


def roll_back(store: Store, name: str, tag: str, *, by: str) -> tags.Tag | None:
    """Point a tag at the release that it pointed at before, and return the tag as it was; None if there is none.

    Done twice, it is undone. Raises UsageError when there was none before or it is gone, and Conflict when someone
    else moves the tag at the same time.
    """
    found = tags.read(store, name, tag)
    if found is None:
        return None
    earlier = tags.before_last(name, tag, found)
    if lookup.at(store, name, earlier.digest) is None:
        raise UsageError(
            f"{name}:{tag} pointed at {name}@{earlier.digest[: digest.SHORT]} before, which is gone",
            hint=f"choose one that is: `envpack tag --history {name}:{tag}`, then `envpack tag REF {tag} --move`",
        )
    return tags.move(store, name, tag, earlier.digest, by=by, again=True, seen=found.digest)


def _build_record(manifest: Manifest) -> bytes:
    return json.dumps({"schema": 1, "digest": manifest.digest, "created": manifest.created}).encode()
