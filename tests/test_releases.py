from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from envpack import digest, releases
from envpack.errors import Conflict, UsageError
from envpack.manifest import ArchiveFacts, Manifest
from envpack.progress import Step
from envpack.stores import open_store
from envpack.stores.base import Store
from envpack.target import Target


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "a store"))


def manifest_of(archive: Path, name: str = "udf", inputs: str = "i" * 64) -> Manifest:
    sha256 = digest.of_file(archive)
    return Manifest(
        name=name,
        archive=ArchiveFacts(
            file=releases.archive_file(name, sha256, "tar.gz"),
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
        created=releases.now(),
        envpack="0",
        verified="run",
    )


def archive_with(tmp_path: Path, content: str) -> Path:
    path = tmp_path / f"{content}.tar.gz"
    path.write_text(content)
    return path


def test_a_published_release_is_found_by_its_inputs_its_digest_and_its_tag(store: Store, tmp_path: Path) -> None:
    manifest = manifest_of(archive_with(tmp_path, "one"))
    release, written = releases.publish(store, manifest, tmp_path / "one.tar.gz", {"udf.lock": b"lock"})
    releases.move_tag(store, "udf", "prod", manifest.digest)
    assert written
    assert release.manifest == manifest
    assert releases.find_build(store, "udf", "i" * 64) == release
    assert releases.resolve(store, manifest.reference) == release
    assert releases.resolve(store, f"udf@{manifest.digest[:6]}") == release
    assert releases.resolve(store, "udf:prod") == release
    assert Path(release.archive_uri.removeprefix("file://").replace("%20", " ")).read_text() == "one"


def test_a_release_exists_only_when_its_manifest_does(store: Store, tmp_path: Path) -> None:
    archive = archive_with(tmp_path, "one")
    manifest = manifest_of(archive)
    store.upload(f"udf/{manifest.short_digest}/{manifest.archive.file}", archive, manifest.digest, Step())
    assert list(releases.releases(store)) == []
    assert releases.find_build(store, "udf", "i" * 64) is None


def test_publishing_the_same_archive_twice_keeps_the_first_release(store: Store, tmp_path: Path) -> None:
    archive = archive_with(tmp_path, "one")
    first, _ = releases.publish(store, manifest_of(archive), archive, {})
    second, written = releases.publish(store, replace(manifest_of(archive), created="later"), archive, {})
    assert (second, written) == (first, False)


def test_an_archive_is_never_overwritten_by_another(store: Store, tmp_path: Path) -> None:
    archive = archive_with(tmp_path, "one")
    manifest = manifest_of(archive)
    store.create(f"udf/{manifest.short_digest}/{manifest.archive.file}", b"something else of another size")
    with pytest.raises(Conflict):
        releases.publish(store, manifest, archive, {})


def test_of_many_who_publish_at_once_one_writes_and_all_have_the_release(store: Store, tmp_path: Path) -> None:
    archive = archive_with(tmp_path, "one")
    manifest = manifest_of(archive)
    start = threading.Barrier(8)

    def publish(number: int) -> tuple[str, bool]:
        start.wait()
        release, written = releases.publish(store, replace(manifest, created=str(number)), archive, {})
        return release.manifest.created, written

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(publish, range(8)))
    assert sum(written for _, written in results) == 1
    assert len({created for created, _ in results}) == 1


def test_a_tag_moved_by_many_at_once_keeps_every_move_in_its_history(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: releases.move_tag(store, "udf", "prod", f"{n}" * 64), range(4)))
    tag = releases.read_tag(store, "udf", "prod")
    assert tag is not None
    assert {tag.digest, *(old for old, _ in tag.history)} == {f"{n}" * 64 for n in range(4)}


def test_moving_a_tag_tells_where_it_was(store: Store) -> None:
    assert releases.move_tag(store, "udf", "prod", "1" * 64) is None
    before = releases.move_tag(store, "udf", "prod", "2" * 64)
    assert before is not None
    assert before.digest == "1" * 64


def test_an_unknown_reference_offers_what_there_is(store: Store, tmp_path: Path) -> None:
    archive = archive_with(tmp_path, "one")
    manifest = manifest_of(archive, name="pandas-udf")
    releases.publish(store, manifest, archive, {})
    releases.move_tag(store, "pandas-udf", "prod", manifest.digest)
    for reference, hint in [
        ("panda-udf", "did you mean pandas-udf?"),
        ("pandas-udf:pro", "pandas-udf has prod"),
        ("pandas-udf@0000", "pandas-udf has prod"),
        ("zzz", "envpack list"),
    ]:
        with pytest.raises(UsageError) as caught:
            releases.resolve(store, reference)
        assert hint in str(caught.value.hint), reference


def test_a_digest_prefix_of_two_releases_is_refused(store: Store, tmp_path: Path) -> None:
    for sha256 in ("abcd1" + "0" * 59, "abcd2" + "0" * 59):
        facts = replace(manifest_of(archive_with(tmp_path, "one")).archive, sha256=sha256)
        manifest = replace(manifest_of(tmp_path / "one.tar.gz"), archive=facts)
        store.create(f"udf/{manifest.short_digest}/manifest.json", manifest.dumps())
    with pytest.raises(UsageError, match="names 2 releases"):
        releases.resolve(store, "udf@abcd")
    assert releases.resolve(store, "udf@abcd1").manifest.digest.startswith("abcd1")


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "-x", "a/b", "a:b", "ä", ".x"])
def test_a_name_that_would_break_keys_or_submissions_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        releases.check_name(name)


def test_listing_yields_every_release_and_no_other_object(store: Store, tmp_path: Path) -> None:
    for name, content in (("a", "one"), ("a", "two"), ("b", "one")):
        archive = archive_with(tmp_path, content)
        manifest = manifest_of(archive, name=name, inputs=content)
        releases.publish(store, manifest, archive, {"x.lock": b""})
        releases.move_tag(store, name, "latest", manifest.digest)
    assert [release.manifest.name for release in releases.releases(store)] == ["a", "a", "b"]
    assert len(list(releases.releases(store, "a"))) == 2
    assert set(releases.tags(store)) == {"a", "b"}
