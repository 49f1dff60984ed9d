"""Keys of a store: where everything of a release lies.

<store>/<name>/<digest 16>/<name>-<digest 16>.tar.gz   the archive (digest 16: its first 16 hex digits)
<store>/<name>/<digest 16>/manifest.json               written last: a release exists when its manifest does
<store>/<name>/<digest 16>/...                         the lock, and what else belongs to the release
<store>/<name>/builds/<input digest>.json              what was built from these inputs
<store>/<name>/tags/<tag>.json                         the only thing that changes
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack import digest
from envpack.errors import UsageError

if TYPE_CHECKING:
    from envpack.releases.manifest import Manifest
    from envpack.stores.base import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_MANIFEST_KEY = re.compile(r"(?P<name>[^/]+)/(?P<digest>[0-9a-f]{16})/manifest\.json")


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


def digest_of_key(key: str) -> str | None:
    """Return the first 16 digits of the digest of the release whose manifest has this key, or None."""
    match = _MANIFEST_KEY.fullmatch(key)
    return match["digest"] if match else None


def archive_key(manifest: Manifest) -> str:
    """Return the key of a release's archive."""
    return f"{folder(manifest.name, manifest.digest)}/{manifest.archive.file}"


def archive_uri(store: Store, name: str, sha256: str, format: str) -> str:
    """Return the address of a release's archive."""
    return store.uri(f"{folder(name, sha256)}/{archive_file(name, sha256, format)}")


def manifest_uri(store: Store, name: str, sha256: str) -> str:
    """Return the address of a release's manifest."""
    return store.uri(f"{folder(name, sha256)}/manifest.json")


def folder(name: str, sha256: str) -> str:
    """Return the folder of a release: `<name>/<digest 16>`."""
    return f"{name}/{sha256[: digest.SHORT]}"


def verified(manifest: Manifest) -> str:
    """Return the key of the note that a release was verified after it was published."""
    return f"{folder(manifest.name, manifest.digest)}/verified.json"


def build_record(name: str, input_digest: str) -> str:
    """Return the key of the record of what was built from these inputs."""
    return f"{name}/builds/{input_digest}.json"
