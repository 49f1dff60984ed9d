"""Remember what a build came to, so that the same build again asks the store one question.

The question is whether the tag still points at the release: what a tag points at is never removed. The answer to
a conditional read of a tag that has not moved has no body.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack import digest
from envpack.errors import UsageError
from envpack.releases import tags
from envpack.releases.keys import archive_uri, manifest_uri
from envpack.releases.lookup import Release
from envpack.releases.manifest import Manifest
from envpack.stores.base import Object

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from envpack.stores.base import Store


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What one build came to: the same store, name and inputs."""

    path: Path

    @classmethod
    def of(cls, directory: Path, store: Store, name: str, inputs: str) -> Memory:
        """Return the memory of a build; `directory` is where all are kept."""
        return cls(path=directory / digest.of_bytes(store.url.encode()) / f"{name}-{inputs}.json")

    def recall(self, store: Store, wanted: Sequence[str]) -> Release | None:
        """Return the release if all the wanted tags still point at it; None if the store must be asked more.

        Without wanted tags the manifest itself must still be there.
        """
        try:
            value = json.loads(self.path.read_bytes())
            manifest = Manifest.loads(json.dumps(value["manifest"]).encode(), str(self.path))
            known = {
                key: Object(data=text.encode(), version=version) for key, (text, version) in value["seen"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
            return None
        for key in _keys(manifest, wanted):
            there = store.read(key, known.get(key))
            if there is None or (wanted and tags.Tag.loads(there.data, store.uri(key)).digest != manifest.digest):
                return None
        return Release(
            manifest=manifest,
            archive_uri=archive_uri(store, manifest.name, manifest.digest, manifest.archive.format),
            manifest_uri=manifest_uri(store, manifest.name, manifest.digest),
        )

    def keep(self, store: Store, release: Release, wanted: Sequence[str]) -> None:
        """Remember a release that the wanted tags point at; that it cannot be written is no reason to fail."""
        keys = _keys(release.manifest, wanted)
        seen = {key: (there.data.decode(), there.version) for key in keys if (there := store.read(key))}
        value = {"manifest": release.manifest.to_json(), "seen": seen}
        part = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(value), "utf-8")
            part.replace(self.path)


def _keys(manifest: Manifest, wanted: Sequence[str]) -> list[str]:
    return [tags.key_of(manifest.name, tag) for tag in wanted] or [f"{manifest.folder}/manifest.json"]
