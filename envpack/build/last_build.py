"""Remember the result of a build, so that a repeated build sends the store only three small requests.

Does the tag still point at the release, is its manifest unchanged, does its archive exist. They are sent in
parallel. A conditional read of an unchanged object is answered without a body, and so is a HEAD.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from envpack import digest
from envpack.codec import Kind, Line, Text
from envpack.files.inside import inside
from envpack.releases import keys
from envpack.releases.lookup import Release, is_whole
from envpack.releases.manifest import Manifest, contradiction
from envpack.releases.tags import Tag
from envpack.stores.base import Object

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from envpack.stores.base import Store


_AT_ONCE = 4
"""Requests in parallel."""


class Remembered(Struct, frozen=True, kw_only=True):
    """The result of a build, as it is kept."""

    manifest: Manifest
    seen: dict[Line, tuple[Text, Line]]
    """The objects that prove it: key to content and version."""


STORED = Kind(
    what="a build's memory",
    type=Remembered,
    limit=64 << 20,
    hint="remove it: the next build asks the store",
    check=lambda remembered: contradiction(remembered.manifest),
)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The result of one build: the same store, name and inputs."""

    path: Path

    @classmethod
    def of(cls, directory: Path, store: Store, name: str, inputs: str) -> Memory:
        """Return the memory of a build; `directory` is where all are kept."""
        folder = digest.of_bytes(store.url.encode())
        return cls(path=inside(directory, f"{folder}/{name}-{inputs}.json"))

    def recall(self, store: Store, wanted: Sequence[str]) -> Release | None:
        """Return the release if all the wanted tags still point at it and it exists; None: ask the store more."""
        remembered = STORED.recall(self.path)
        if remembered is None:
            return None
        manifest = remembered.manifest
        release = Release(
            manifest=manifest,
            archive_uri=store.uri(keys.archive_key(manifest)),
            manifest_uri=store.uri(keys.manifest(manifest.name, manifest.digest)),
        )

        def is_as_it_was(key: str) -> bool:
            there = store.read(key, _object(remembered, key))
            if there is None:
                return False
            if keys.tag_of_key(key):
                return Tag.loads(there.data, store.uri(key)).digest == manifest.digest
            return Manifest.loads(there.data, store.uri(key)) == manifest

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            whole = pool.submit(is_whole, store, release)
            return release if all(pool.map(is_as_it_was, _keys(manifest, wanted))) and whole.result() else None

    def keep(self, store: Store, release: Release, wanted: Sequence[str]) -> None:
        """Remember a release that the wanted tags point at; a failure to write is ignored."""
        known = _keys(release.manifest, wanted)
        seen = {key: (there.data.decode(), there.version) for key in known if (there := store.read(key))}
        value = {"manifest": release.manifest.to_json(), "seen": seen}
        STORED.keep(self.path, value)


def _keys(manifest: Manifest, wanted: Sequence[str]) -> list[str]:
    tags = [keys.tag(manifest.name, tag) for tag in wanted]
    return [*tags, keys.manifest(manifest.name, manifest.digest)]


def _object(remembered: Remembered, key: str) -> Object | None:
    if key not in remembered.seen:
        return None
    text, version = remembered.seen[key]
    return Object(data=text.encode(), version=version)
