"""Releases in a store: publish one, find one by what it was built from, by its digest or by a tag.

<store>/<name>/<digest 16>/<name>-<digest 16>.tar.gz   the archive
<store>/<name>/<digest 16>/manifest.json               written last: a release exists when its manifest does
<store>/<name>/<digest 16>/...                         the lock, and what else belongs to the release
<store>/<name>/builds/<input digest>.json              what was built from these inputs
<store>/<name>/tags/<tag>.json                         see envpack/tags.py
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack import digest, notice, tags
from envpack.errors import Gone, UsageError
from envpack.manifest import Manifest
from envpack.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from envpack.stores.base import Held, Store

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_MANIFEST_KEY = re.compile(r"(?P<name>[^/]+)/(?P<digest>[0-9a-f]{16})/manifest\.json")


@dataclass(frozen=True, kw_only=True)
class Release:
    """A manifest and where it and its archive lie."""

    manifest: Manifest
    archive_uri: str
    manifest_uri: str


def check_name(name: str) -> str:
    """Return a release name that may stand in keys and file names, or raise UsageError."""
    if not is_name(name):
        raise UsageError(
            f"{name!r} cannot name a release", hint="use small letters, digits, '.', '_' and '-'; see --name"
        )
    return name


def is_name(text: str) -> bool:
    """Return whether a text can name a release."""
    return _NAME.fullmatch(text) is not None


def archive_file(name: str, sha256: str, format: str) -> str:
    """Return an archive's file name; it carries the digest because YARN refuses two resources of one name."""
    return f"{name}-{sha256[: digest.SHORT]}.{format}"


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
    folder = _folder(manifest.name, manifest.digest)
    written: list[bool] = []

    def put(_: bool) -> None:
        with progress.step("upload", total=manifest.archive.size, unit="bytes") as step:
            store.upload(f"{folder}/{manifest.archive.file}", archive, manifest.digest, step, held)
            step.note(store.uri(folder))
        for file, data in beside.items():
            store.create(f"{folder}/{file}", data)
        written.append(store.create(f"{folder}/manifest.json", manifest.dumps()))

    notice.beside_removals(store, folder, put)
    release = _release(store, folder)
    if release is None:
        raise Gone(f"{store.uri(folder)} was removed while it was published", hint="publish again")
    store.create(_build_key(manifest.name, manifest.input_digest), _build_record(manifest))
    return release, any(written)


def read_beside(store: Store, release: Release, file: str) -> bytes | None:
    """Return a file that was published with a release, or None when there is none of that name."""
    found = store.read(f"{_folder(release.manifest.name, release.manifest.digest)}/{file}")
    return found.data if found else None


def mark_verified(store: Store, release: Release, how: str) -> None:
    """Note that a release which was published unverified has been verified since; its manifest never changes."""
    store.create(_verified_key(release), json.dumps({"how": how}).encode())


def is_verified(store: Store, release: Release) -> bool:
    """Return whether a release has been verified, before it was published or since."""
    return release.manifest.verified != "no" or store.read(_verified_key(release)) is not None


def find_build(store: Store, name: str, input_digest: str) -> Release | None:
    """Return the release that was built from these inputs, or None."""
    record = store.read(_build_key(name, input_digest))
    if record is None:
        return None
    return _release(store, _folder(name, json.loads(record.data)["digest"]))


def tagged(store: Store, name: str, tag: str) -> Release | None:
    """Return the release that a tag points at, or None when there is no such tag."""
    found = tags.read(store, name, tag)
    return _release(store, _folder(name, found.digest)) if found else None


def roll_back(store: Store, name: str, tag: str, *, by: str) -> tags.Tag | None:
    """Point a tag at the release that it pointed at before, and return the tag as it was; None if there is none.

    Done twice, it is undone. Raises UsageError when there was none before or it is gone, and Conflict when someone
    else moves the tag at the same time.
    """
    found = tags.read(store, name, tag)
    if found is None:
        return None
    earlier = tags.before_last(name, tag, found)
    if at(store, name, earlier.digest) is None:
        raise UsageError(
            f"{name}:{tag} pointed at {name}@{earlier.digest[: digest.SHORT]} before, which is gone",
            hint=f"choose one that is: `envpack tag --history {name}:{tag}`, then `envpack tag REF {tag} --move`",
        )
    return tags.move(store, name, tag, earlier.digest, by=by, again=True, seen=found.digest)


def at(store: Store, name: str, sha256: str) -> Release | None:
    """Return the release with a digest, of which the first 16 digits are looked at, or None."""
    return _release(store, _folder(name, sha256))


def digest_of_key(key: str) -> str | None:
    """Return the first 16 digits of the digest of the release whose manifest has this key, or None."""
    match = _MANIFEST_KEY.fullmatch(key)
    return match["digest"] if match else None


def digests(store: Store, name: str, beginning: str = "") -> list[str]:
    """Return the first 16 digits of the digest of each release of a name, sorted."""
    return [short for entry in store.list(f"{name}/{beginning}") if (short := digest_of_key(entry.key))]


def releases(store: Store, name: str | None = None) -> Iterator[Release]:
    """Yield the releases of one name, or of all, sorted by name."""
    prefix = f"{check_name(name)}/" if name else ""
    for entry in store.list(prefix):
        if match := _MANIFEST_KEY.fullmatch(entry.key):
            release = _release(store, _folder(match["name"], match["digest"]))
            if release:
                yield release


def _release(store: Store, folder: str) -> Release | None:
    key = f"{folder}/manifest.json"
    found = store.read(key)
    if found is None:
        return None
    manifest = Manifest.loads(found.data, store.uri(key))
    return Release(
        manifest=manifest, archive_uri=store.uri(f"{folder}/{manifest.archive.file}"), manifest_uri=store.uri(key)
    )


def archive_key(manifest: Manifest) -> str:
    """Return the key of a release's archive."""
    return f"{_folder(manifest.name, manifest.digest)}/{manifest.archive.file}"


def archive_uri(store: Store, name: str, sha256: str, format: str) -> str:
    """Return the address of a release's archive."""
    return store.uri(f"{_folder(name, sha256)}/{archive_file(name, sha256, format)}")


def manifest_uri(store: Store, name: str, sha256: str) -> str:
    """Return the address of a release's manifest."""
    return store.uri(f"{_folder(name, sha256)}/manifest.json")


def _folder(name: str, sha256: str) -> str:
    return f"{name}/{sha256[: digest.SHORT]}"


def _verified_key(release: Release) -> str:
    return f"{_folder(release.manifest.name, release.manifest.digest)}/verified.json"


def _build_key(name: str, input_digest: str) -> str:
    return f"{name}/builds/{input_digest}.json"


def _build_record(manifest: Manifest) -> bytes:
    return json.dumps({"schema": 1, "digest": manifest.digest, "created": manifest.created}).encode()
