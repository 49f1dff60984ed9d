"""Find a release: by what it was built from, by its digest, by a tag."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack.releases import keys, tags
from envpack.releases.manifest import Manifest

if TYPE_CHECKING:
    from envpack.stores.base import Store


@dataclass(frozen=True, kw_only=True)
class Release:
    """A manifest and where it and its archive lie."""

    manifest: Manifest
    archive_uri: str
    manifest_uri: str


def read_beside(store: Store, release: Release, file: str) -> bytes | None:
    """Return a file that was published with a release, or None when there is none of that name."""
    found = store.read(f"{keys.folder(release.manifest.name, release.manifest.digest)}/{file}")
    return found.data if found else None


def is_verified(store: Store, release: Release) -> bool:
    """Return whether a release has been verified, before it was published or since."""
    return release.manifest.verified != "no" or store.read(keys.verified(release.manifest)) is not None


def find_build(store: Store, name: str, input_digest: str) -> Release | None:
    """Return the release that was built from these inputs, or None."""
    record = store.read(keys.build_record(name, input_digest))
    if record is None:
        return None
    return _release(store, keys.folder(name, json.loads(record.data)["digest"]))


def tagged(store: Store, name: str, tag: str) -> Release | None:
    """Return the release that a tag points at, or None when there is no such tag."""
    found = tags.read(store, name, tag)
    return _release(store, keys.folder(name, found.digest)) if found else None


def at(store: Store, name: str, sha256: str) -> Release | None:
    """Return the release with a digest, of which the first 16 digits are looked at, or None."""
    return _release(store, keys.folder(name, sha256))


def digests(store: Store, name: str, beginning: str = "") -> list[str]:
    """Return the first 16 digits of the digest of each release of a name, sorted."""
    return [short for entry in store.list(f"{name}/{beginning}") if (short := keys.digest_of_key(entry.key))]


def _release(store: Store, folder: str) -> Release | None:
    key = f"{folder}/manifest.json"
    found = store.read(key)
    if found is None:
        return None
    manifest = Manifest.loads(found.data, store.uri(key))
    return Release(
        manifest=manifest, archive_uri=store.uri(f"{folder}/{manifest.archive.file}"), manifest_uri=store.uri(key)
    )
