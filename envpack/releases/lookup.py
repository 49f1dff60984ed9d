"""Find a release: by its inputs, by its digest, by a tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from envpack import digest
from envpack.codec import Digest, Kind, Moment, Unreadable
from envpack.config.target import Target  # noqa: TC001 - the codec reads the types
from envpack.errors import UsageError, VerificationFailed
from envpack.releases import keys, tags
from envpack.releases.manifest import Manifest, Verification

if TYPE_CHECKING:
    from envpack.stores.base import Store


@dataclass(frozen=True, kw_only=True)
class Release:
    """A manifest with its own and its archive's place."""

    manifest: Manifest
    archive_uri: str
    manifest_uri: str


class BuildRecord(Struct, frozen=True, kw_only=True):
    """What was built from one input digest."""

    digest: Digest
    """The release's."""
    created: Moment
    target: Target | None = None
    """What the build asked for; the release's manifest has what the first build of these bytes asked for."""


class LaterVerification(Struct, frozen=True, kw_only=True):
    """How a release was verified after it was published."""

    how: Verification


BUILD_RECORD = Kind(
    what="a build record",
    type=BuildRecord,
    limit=64 << 10,
    schema=1,
    hint="remove the object: the next build writes it again",
)

LATER_VERIFICATION = Kind(
    what="a note of verification",
    type=LaterVerification,
    limit=64 << 10,
    hint="remove the object: the next build writes it again",
)


def read_beside(store: Store, release: Release, file: str) -> bytes | None:
    """Return a file that was published with a release, or None when there is none of that name.

    Raises Unreadable when its digest differs from the manifest's.
    """
    key = f"{keys.folder(release.manifest.name, release.manifest.digest)}/{file}"
    found = store.read(key)
    if found is None:
        return None
    wanted = release.manifest.beside.get(file)
    if wanted and digest.of_bytes(found.data) != wanted:
        raise Unreadable(
            f"{store.uri(key)} differs from what was published: the manifest has another SHA-256",
            hint="use another release: `envpack list`; the owner of that file shows who changed it",
        )
    return found.data


def is_verified(store: Store, release: Release) -> bool:
    """Return whether a release has been verified, before it was published or since.

    An unreadable note counts as none.
    """
    if release.manifest.verified is not Verification.NO:
        return True
    key = keys.verified(release.manifest)
    found = store.read(key)
    try:
        return found is not None and LATER_VERIFICATION.loads(found.data, store.uri(key)).how is not Verification.NO
    except Unreadable:
        return False


def is_whole(store: Store, release: Release) -> bool:
    """Return whether a release's archive is at its place and has its size, by the manifest. Nothing is read."""
    return store.size(keys.archive_key(release.manifest)) == release.manifest.archive.size


def check_there(store: Store, release: Release) -> Release:
    """Return a release if its archive is there with its size, by the manifest. Nothing is read.

    Raises UsageError when it is gone, VerificationFailed when another file is in its place.
    """
    size = store.size(keys.archive_key(release.manifest))
    if size is None:
        raise UsageError(
            f"{release.archive_uri} does not exist, so {release.manifest.reference} cannot be used",
            hint="run `envpack build FILE` with its lock, which restores the same archive, or choose another "
            "release: "
            "`envpack list`",
        )
    if size != release.manifest.archive.size:
        raise VerificationFailed(
            f"{release.archive_uri} is not the archive of {release.manifest.reference}: "
            f"it has {size:,} bytes, the manifest says {release.manifest.archive.size:,}",
            hint="delete it and run `envpack build FILE` with the release's lock, or choose another release: "
            "`envpack list`",
        )
    return release


def find_build(store: Store, name: str, input_digest: str) -> Release | None:
    """Return the release that was built from these inputs, if it exists with its archive, or None.

    A record that cannot be read counts as none; publishing writes it again.
    """
    key = keys.build_record(name, input_digest)
    record = store.read(key)
    try:
        sha256 = BUILD_RECORD.loads(record.data, store.uri(key)).digest if record else None
    except Unreadable:
        return None
    release = at(store, name, sha256) if sha256 else None
    return release if release and is_whole(store, release) else None


def asked_of(store: Store, release: Release) -> Target | None:
    """Return the requests of the newest build that produced an earlier build's release; None if there is none.

    A record that cannot be read counts as none.
    """
    key = keys.newest_record(release.manifest)
    found = store.read(key)
    try:
        record = BUILD_RECORD.loads(found.data, store.uri(key)) if found else None
    except Unreadable:
        return None
    return record.target if record and record.digest == release.manifest.digest else None


def tagged(store: Store, name: str, tag: str) -> Release | None:
    """Return the release that a tag points at, or None when there is no such tag."""
    found = tags.read(store, name, tag)
    return at(store, name, found.digest) if found else None


def at(store: Store, name: str, sha256: str) -> Release | None:
    """Return the release whose digest begins with these 16 digits or more; None if there is none.

    Raises Unreadable when the object there is no manifest, or another release's.
    """
    key = keys.manifest(name, sha256)
    found = store.read(key)
    if found is None:
        return None
    manifest = Manifest.loads(found.data, store.uri(key))
    if manifest.name != name or not manifest.digest.startswith(sha256):
        shown = f"{name}@{sha256 if len(sha256) > digest.SHORT else sha256[: digest.SHORT]}"
        raise Unreadable(
            f"{store.uri(key)} is the manifest of {manifest.name}@{manifest.digest}, not of {shown}",
            hint="use another release: `envpack list`; the owner of that file shows who changed it",
        )
    return Release(
        manifest=manifest,
        archive_uri=store.uri(keys.archive_key(manifest)),
        manifest_uri=store.uri(key),
    )


def digests(store: Store, name: str, beginning: str = "") -> list[str]:
    """Return the first 16 digits of the digest of each release of a name, sorted."""
    return [
        short
        for entry in store.list(f"{keys.check_name(name)}/{beginning}")
        if (short := keys.digest_of_key(entry.key))
    ]
