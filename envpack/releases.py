"""Releases in a store: publish one, find one by what it was built from, name one, move a tag.

<store>/<name>/<digest 16>/<name>-<digest 16>.tar.gz   the archive
<store>/<name>/<digest 16>/manifest.json               written last: a release exists when its manifest does
<store>/<name>/<digest 16>/...                         the lock, and what else belongs to the release
<store>/<name>/builds/<input digest>.json              what was built from these inputs
<store>/<name>/tags/<tag>.json                         the only thing that ever changes
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from envpack import digest
from envpack.errors import Conflict, UsageError
from envpack.manifest import Manifest
from envpack.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from envpack.stores.base import Store

LATEST = "latest"
"""The tag of the newest published build."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REFERENCE = re.compile(r"(?P<name>[^:@]+)(?::(?P<tag>[^:@]+)|@(?P<digest>[0-9a-f]{4,64}))?")
_MANIFEST_KEY = re.compile(r"(?P<name>[^/]+)/(?P<digest>[0-9a-f]{16})/manifest\.json")
_TAG_TRIES = 20


@dataclass(frozen=True, kw_only=True)
class Release:
    """A manifest and where it and its archive lie."""

    manifest: Manifest
    archive_uri: str
    manifest_uri: str


@dataclass(frozen=True, kw_only=True)
class Tag:
    """What a tag points at, and since when."""

    digest: str
    """The release's full digest."""
    moved: str
    """When it was moved there, UTC, ISO 8601."""
    history: tuple[tuple[str, str], ...] = ()
    """Earlier digests with the time each was set, newest first."""


def check_name(name: str) -> str:
    """Return a release name that may stand in keys and file names, or raise UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a release", hint="use small letters, digits, '.', '_' and '-'; see --name"
        )
    return name


def archive_file(name: str, sha256: str, format: str) -> str:
    """Return an archive's file name; it carries the digest because YARN refuses two resources of one name."""
    return f"{name}-{sha256[: digest.SHORT]}.{format}"


def publish(
    store: Store, manifest: Manifest, archive: Path, beside: Mapping[str, bytes], progress: Progress = SILENT
) -> tuple[Release, bool]:
    """Put a release into the store and return it, with whether it had to be written.

    `beside` are small files that belong to the release. The manifest is written last, so a reader never sees a
    release that is not whole. When another builder published the same archive first, theirs is returned. Raises
    Conflict when something else lies under one of the keys.
    """
    folder = _folder(manifest.name, manifest.digest)
    with progress.step("upload", total=manifest.archive.size, unit="bytes") as step:
        store.upload(f"{folder}/{manifest.archive.file}", archive, manifest.digest, step)
        step.note(store.uri(folder))
    for file, data in beside.items():
        store.create(f"{folder}/{file}", data)
    written = store.create(f"{folder}/manifest.json", manifest.dumps())
    release = _release(store, folder)
    if release is None:
        raise Conflict(f"{store.uri(folder)} was removed while it was published", hint="publish again")
    store.create(_build_key(manifest.name, manifest.input_digest), _build_record(manifest))
    return release, written


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


def move_tag(store: Store, name: str, tag: str, sha256: str) -> Tag | None:
    """Point a tag at a release and return what it pointed at before, or None if it is new.

    Someone else moving it at the same time is noticed, and the move is made again from theirs.
    """
    if not _TAG.fullmatch(tag):
        raise UsageError(f"{tag!r} cannot be a tag", hint="use letters, digits, '.', '_' and '-'")
    key = f"{name}/tags/{tag}.json"
    for _ in range(_TAG_TRIES):
        found = store.read(key)
        before = _parse_tag(found.data) if found else None
        if before and before.digest == sha256:
            return before
        if store.replace(key, _dump_tag(before, sha256), found.version if found else None):
            return before
    raise Conflict(f"the tag {name}:{tag} is being moved by others", hint="try again in a minute")


def read_tag(store: Store, name: str, tag: str) -> Tag | None:
    """Return what a tag points at, or None when there is no such tag."""
    found = store.read(f"{name}/tags/{tag}.json")
    return _parse_tag(found.data) if found else None


def tagged(store: Store, name: str, tag: str) -> Release | None:
    """Return the release that a tag points at, or None when there is no such tag."""
    found = read_tag(store, name, tag)
    return _release(store, _folder(name, found.digest)) if found else None


def resolve(store: Store, reference: str) -> Release:
    """Return the release that `NAME`, `NAME:TAG` or `NAME@DIGEST` (a prefix will do) names.

    Raises UsageError for a reference that names nothing or more than one release, with the nearest names.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UsageError(f"{reference!r} is not a reference", hint="write NAME, NAME:TAG or NAME@DIGEST")
    name = check_name(match["name"])
    if match["digest"]:
        return _by_digest(store, name, match["digest"])
    tag = match["tag"] or LATEST
    release = tagged(store, name, tag)
    if release is None:
        raise UsageError(f"{store.url} has no {name}:{tag}", hint=_what_there_is(store, name))
    return release


def releases(store: Store, name: str | None = None) -> Iterator[Release]:
    """Yield the releases of one name, or of all, sorted by name."""
    prefix = f"{check_name(name)}/" if name else ""
    for entry in store.list(prefix):
        if match := _MANIFEST_KEY.fullmatch(entry.key):
            release = _release(store, _folder(match["name"], match["digest"]))
            if release:
                yield release


def tags(store: Store, name: str | None = None) -> dict[str, dict[str, str]]:
    """Return the tags of one name, or of all: release name to tag to full digest."""
    found: dict[str, dict[str, str]] = {}
    for entry in store.list(f"{name}/tags/" if name else ""):
        owner, middle, file = [*entry.key.split("/", 2), "", ""][:3]
        if middle == "tags" and file.endswith(".json"):
            tag = read_tag(store, owner, file.removesuffix(".json"))
            if tag:
                found.setdefault(owner, {})[file.removesuffix(".json")] = tag.digest
    return found


def _by_digest(store: Store, name: str, prefix: str) -> Release:
    wanted = prefix[: digest.SHORT]
    keys = [match for entry in store.list(f"{name}/{wanted}") if (match := _MANIFEST_KEY.fullmatch(entry.key))]
    found = [release for key in keys if (release := _release(store, _folder(name, key["digest"])))]
    found = [release for release in found if release.manifest.digest.startswith(prefix)]
    if len(found) > 1:
        several = ", ".join(release.manifest.reference for release in found)
        raise UsageError(f"{name}@{prefix} names {len(found)} releases", hint=f"write more of one of {several}")
    if not found:
        raise UsageError(f"{store.url} has no {name}@{prefix}", hint=_what_there_is(store, name))
    return found[0]


def _what_there_is(store: Store, name: str) -> str:
    names = sorted({entry.key.split("/", 1)[0] for entry in store.list() if entry.key.count("/") >= 2})
    if name in names:
        known = ", ".join(sorted(tags(store, name).get(name, {}))) or "no tags"
        return f"{name} has {known}; `envpack list {name}` shows its releases"
    near = difflib.get_close_matches(name, names, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return (
        "`envpack list` shows what the store holds" if names else "the store is empty: publish with `envpack build`"
    )


def _release(store: Store, folder: str) -> Release | None:
    key = f"{folder}/manifest.json"
    found = store.read(key)
    if found is None:
        return None
    manifest = Manifest.loads(found.data, store.uri(key))
    return Release(
        manifest=manifest, archive_uri=store.uri(f"{folder}/{manifest.archive.file}"), manifest_uri=store.uri(key)
    )


def _folder(name: str, sha256: str) -> str:
    return f"{name}/{sha256[: digest.SHORT]}"


def _verified_key(release: Release) -> str:
    return f"{_folder(release.manifest.name, release.manifest.digest)}/verified.json"


def _build_key(name: str, input_digest: str) -> str:
    return f"{name}/builds/{input_digest}.json"


def _build_record(manifest: Manifest) -> bytes:
    return json.dumps({"schema": 1, "digest": manifest.digest, "created": manifest.created}).encode()


def _parse_tag(data: bytes) -> Tag:
    value: dict[str, Any] = json.loads(data)
    history = tuple((entry["digest"], entry["moved"]) for entry in value.get("history", ()))
    return Tag(digest=value["digest"], moved=value["moved"], history=history)


def _dump_tag(before: Tag | None, sha256: str) -> bytes:
    history = [(before.digest, before.moved), *before.history] if before else []
    value = {
        "schema": 1,
        "digest": sha256,
        "moved": now(),
        "history": [{"digest": old, "moved": moved} for old, moved in history],
    }
    return json.dumps(value, indent=1).encode()


def now() -> str:
    """Return the time, UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).replace(microsecond=0).isoformat().replace("+00:00", "Z")
