from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from envpack import digest, units
from envpack.config.target import Target
from envpack.errors import Conflict, StoreUnreachable, UsageError
from envpack.progress import Step
from envpack.redact import know
from envpack.releases import keys, lookup, publish, references, removal_notice, tags
from envpack.releases.manifest import ArchiveFacts, Manifest, Verification
from envpack.stores import open_store
from envpack.stores.base import Store
from tests.support.releases import all_releases


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "a store"))


def manifest_of(archive: Path, name: str = "udf", inputs: str = "1" * 64) -> Manifest:
    sha256 = digest.of_file(archive)
    return Manifest(
        name=name,
        archive=ArchiveFacts(
            file=keys.archive_file(name, sha256, "tar.gz"),
            format="tar.gz",
            size=archive.stat().st_size,
            sha256=sha256,
            unpacked_size=1,
            members=1,
        ),
        python="3.11.7",
        target=Target(),
        packages=(),
        input_digest=inputs,
        created=units.now(),
        envpack="0",
        verified=Verification.RUN,
    )


def archive_with(tmp_path: Path, content: str) -> Path:
    path = tmp_path / f"{content}.tar.gz"
    path.write_text(content)
    return path


def test_a_published_release_is_found_by_its_inputs_its_digest_and_its_tag(store: Store, tmp_path: Path) -> None:
    manifest = manifest_of(archive_with(tmp_path, "one"))
    release, written = publish.publish(store, manifest, tmp_path / "one.tar.gz", {"udf.lock": b"lock"})
    tags.advance(store, "udf", "prod", manifest.digest, by="jane")
    assert written
    assert release.manifest == replace(manifest, beside={"udf.lock": digest.of_bytes(b"lock")})
    assert lookup.find_build(store, "udf", "1" * 64) == release
    assert references.resolve(store, manifest.reference) == release
    assert references.resolve(store, f"udf@{manifest.digest[:6]}") == release
    assert references.resolve(store, "udf:prod") == release
    assert Path(release.archive_uri.removeprefix("file://").replace("%20", " ")).read_text() == "one"


def test_a_release_exists_only_when_its_manifest_does(store: Store, tmp_path: Path) -> None:
    archive = archive_with(tmp_path, "one")
    manifest = manifest_of(archive)
    store.upload(f"udf/{manifest.short_digest}/{manifest.archive.file}", archive, manifest.digest, Step())
    assert list(all_releases(store)) == []
    assert lookup.find_build(store, "udf", "1" * 64) is None


def test_who_comes_second_to_an_archive_puts_back_what_it_replaced(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two locks, one archive: the first has not written its manifest yet when the second writes its lock."""
    archive = archive_with(tmp_path, "one")
    manifest = manifest_of(archive)
    folder = f"udf/{manifest.short_digest}"
    store.upload(f"{folder}/{manifest.archive.file}", archive, manifest.digest, Step())
    store.create(f"{folder}/udf.lock", b"the first's")
    of_first = replace(manifest, beside={"udf.lock": digest.of_bytes(b"the first's")})
    create = type(store).create

    def just_before(self: Store, key: str, data: bytes) -> bool:
        if key.endswith(keys.MANIFEST):
            assert store.read(f"{folder}/udf.lock").data == b"the second's"  # type: ignore[union-attr]  # it is there
            create(self, key, of_first.dumps())
        return create(self, key, data)

    monkeypatch.setattr(type(store), "create", just_before)
    release, written = publish.publish(store, manifest, archive, {"udf.lock": b"the second's"})
    assert not written
    assert release.manifest == of_first
    assert lookup.read_beside(store, release, "udf.lock") == b"the first's"


def test_what_a_manifest_vouches_for_is_what_was_written_without_secrets(store: Store, tmp_path: Path) -> None:
    archive = archive_with(tmp_path, "one")
    know("Zq7-of-a-release")
    beside = {"udf.lock": b"Zq7-of-a-release", "x.json.gz": gzip.compress(b"Zq7-of-a-release")}
    release, written = publish.publish(store, manifest_of(archive), archive, beside)
    assert written
    for file in beside:
        found = lookup.read_beside(store, release, file)
        assert found
        assert b"Zq7" not in (gzip.decompress(found) if file.endswith(".gz") else found)


def test_publishing_the_same_archive_twice_keeps_the_first_release(store: Store, tmp_path: Path) -> None:
    archive = archive_with(tmp_path, "one")
    first, _ = publish.publish(store, manifest_of(archive), archive, {})
    second, written = publish.publish(
        store, replace(manifest_of(archive), created="2030-01-02T03:04:05Z"), archive, {}
    )
    assert (second, written) == (first, False)


@pytest.mark.parametrize("removed", [True, False])
def test_a_manifest_that_another_builder_wrote_after_a_removal_is_theirs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    archive = archive_with(tmp_path, "one")
    ours, theirs = manifest_of(archive), replace(manifest_of(archive), created="2030-01-02T03:04:05Z")
    manifest = tmp_path / "a store" / keys.manifest("udf", ours.digest)
    found = lookup.at

    def removed_and_published_again(store: Store, name: str, sha256: str) -> lookup.Release | None:
        manifest.write_bytes(theirs.dumps())
        return found(store, name, sha256)

    if removed:
        with removal_notice.collecting(store) as collector:
            collector.post([keys.folder("udf", ours.digest)])
    monkeypatch.setattr(lookup, "at", removed_and_published_again)
    if removed:
        release, written = publish.publish(store, ours, archive, {})
        assert (release.manifest.created, written) == (theirs.created, False)
    else:
        with pytest.raises(StoreUnreachable, match="a read returned other content"):
            publish.publish(store, ours, archive, {})


def test_an_archive_is_never_overwritten_by_another(store: Store, tmp_path: Path) -> None:
    archive = archive_with(tmp_path, "one")
    manifest = manifest_of(archive)
    store.create(f"udf/{manifest.short_digest}/{manifest.archive.file}", b"something else of another size")
    with pytest.raises(Conflict):
        publish.publish(store, manifest, archive, {})


def test_of_many_who_publish_at_once_one_writes_and_all_have_the_release(store: Store, tmp_path: Path) -> None:
    archive = archive_with(tmp_path, "one")
    manifest = manifest_of(archive)
    start = threading.Barrier(8)

    def publish_it(number: int) -> tuple[str, bool]:
        start.wait()
        release, written = publish.publish(
            store, replace(manifest, created=f"2030-01-02T03:04:0{number}Z"), archive, {}
        )
        return release.manifest.created, written

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(publish_it, range(8)))
    assert sum(written for _, written in results) == 1
    assert len({created for created, _ in results}) == 1


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "-x", "a/b", "a:b", "ä", ".x"])
def test_a_name_that_would_break_keys_or_submissions_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        keys.check_name(name)


def test_listing_yields_every_release_and_no_other_object(store: Store, tmp_path: Path) -> None:
    for name, content in (("a", "one"), ("a", "two"), ("b", "one")):
        archive = archive_with(tmp_path, content)
        manifest = manifest_of(archive, name=name, inputs=digest.of_bytes(content.encode()))
        publish.publish(store, manifest, archive, {"x.lock": b""})
        tags.advance(store, name, "latest", manifest.digest, by="jane")
    assert [release.manifest.name for release in all_releases(store)] == ["a", "a", "b"]
    assert len(list(all_releases(store, "a"))) == 2
