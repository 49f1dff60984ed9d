"""The index: it spares reading, and is never believed against the listing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envpack.errors import StoreRefused
from envpack.progress import Progress
from envpack.releases import index, keys, lookup, tags
from envpack.releases.listed import NameIndex
from envpack.stores import open_store
from envpack.stores.base import Object, Store
from envpack.stores.local import LocalStore
from tests.support.chosen import quickly
from tests.support.many_releases import fill, fill_directory, names
from tests.support.releases import all_releases
from tests.support.s3 import S3Server

COUNT = 24


@pytest.fixture(params=quickly(["directory", "moto"], "directory"))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = str(tmp_path / "a store") if request.param == "directory" else request.getfixturevalue("s3_store_url")
    store = open_store(url)
    fill(store, COUNT)
    return store


def digests(found: tuple[NameIndex, ...]) -> set[str]:
    return {listed.digest for each in found for _, listed in each.releases.values()}


def truth(store: Store) -> set[str]:
    return {release.manifest.digest for release in all_releases(store)}


def test_the_index_says_what_the_manifests_and_the_tags_say(store: Store, tmp_path: Path) -> None:
    found = index.read(store, tmp_path / "copies")
    assert [each.name for each in found] == sorted(names(COUNT))
    assert digests(found) == truth(store)
    for each in found:
        assert {tag: pointed for tag, (_, pointed) in each.tags.items()} == {
            tag: one.digest for tag, one in tags.of_name(store, each.name).items()
        }
    listed = found[0].newest_first()[0]
    release = lookup.at(store, found[0].name, listed.digest)
    assert release is not None
    manifest = release.manifest
    assert manifest.provenance is not None
    assert (listed.created, listed.python, listed.target, listed.size, listed.commit) == (
        manifest.created,
        manifest.python,
        manifest.target,
        manifest.archive.size,
        manifest.provenance.commit,
    )
    assert [(p.name, p.version) for p in listed.packages] == [(p.name, p.version) for p in manifest.packages]
    created = [one.created for one in found[0].newest_first()]
    assert created == sorted(created, reverse=True)


def requests_for(moto_s3: S3Server, method: str, end: str) -> list[str]:
    return [request for request in moto_s3.requests if request.startswith(method) and request.endswith(end)]


def test_what_was_read_before_is_not_read_again(s3_store_url: str, moto_s3: S3Server, tmp_path: Path) -> None:
    store = open_store(s3_store_url)
    fill(store, COUNT)
    first = index.read(store, tmp_path / "copies")
    moto_s3.requests.clear()
    assert index.read(store, tmp_path / "copies") == first
    assert all("list-type" in request for request in moto_s3.requests)
    assert len(moto_s3.requests) == 1 + len(names(COUNT))


def test_with_the_stores_index_few_manifests_are_read_on_a_new_machine(
    s3_store_url: str, moto_s3: S3Server, tmp_path: Path
) -> None:
    store = open_store(s3_store_url)
    fill(store, COUNT)
    assert index.rebuild(store) == ()
    moto_s3.requests.clear()
    found = index.read(store, tmp_path / "copies")
    read = list(moto_s3.requests)
    assert digests(found) == truth(store)
    few = 2 * index._SAMPLE * len(names(COUNT))
    assert len([request for request in read if request.endswith(("manifest.json", "prod.json"))]) <= few


@pytest.mark.parametrize("field", ["digest", "created", "python", "size", "verified", "by", "packages", "a tag"])
def test_an_index_that_says_other_than_the_manifests_is_not_used(tmp_path: Path, field: str) -> None:
    store = open_store(str(tmp_path / "store"))
    fill(store, 3)
    index.rebuild(store)
    name = store.folders()[0]
    true = index.read(store, tmp_path / "honest", name)
    forge(tmp_path / "store" / keys.index(name), field)
    heard = Heard()
    assert index.read(store, tmp_path / "copies", name, progress=heard) == true
    assert [text for text in heard.warnings if "nothing of it is used" in text]
    forge(tmp_path / "store" / keys.index(name), field)
    assert index.read(store, tmp_path / "copies", name) == true, "what this machine has read it keeps"


def forge(path: Path, field: str) -> None:
    """Have an index say something else of all its releases, or of its tags."""
    value = json.loads(gzip.decompress(path.read_bytes()))
    lies: dict[str, Any] = {
        "created": "2030-01-01T00:00:00Z",
        "python": "3.99.1",
        "size": 7,
        "verified": "no",
        "by": "the boss",
        "packages": [],
    }
    for row in value["releases"]:
        row[field] = lies.get(field) if field != "digest" else row["digest"][:16] + "0" * 48
        if field == "a tag":
            del row[field]
    for pointer in value["tags"].values() if field == "a tag" else ():
        pointer["digest"] = "e" * 64
    path.write_bytes(gzip.compress(json.dumps(value).encode()))


class Heard(Progress):
    """Keeps the warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_a_new_release_and_a_moved_tag_are_seen_though_no_index_knows_them(store: Store, tmp_path: Path) -> None:
    index.rebuild(store)
    found = index.read(store, tmp_path / "copies")
    name = found[0].name
    oldest = found[0].newest_first()[-1]
    release = lookup.at(store, name, oldest.digest)
    assert release is not None
    value = release.manifest.to_json()
    value["archive"] |= {"sha256": "f" * 64, "file": f"{name}-{'f' * 16}.tar.gz"}
    store.create(f"{name}/{'f' * 16}/manifest.json", json.dumps(value).encode())
    tags.move(store, name, "latest", oldest.digest, by="jane", again=True)
    (again,) = index.read(store, tmp_path / "copies", name)
    assert "f" * 64 in digests((again,))
    assert "latest" in again.tags_of(oldest.digest)


def test_a_release_that_is_gone_is_no_longer_listed(store: Store, tmp_path: Path) -> None:
    index.rebuild(store)
    found = index.read(store, tmp_path / "copies")
    gone = found[0].newest_first()[3]
    store.delete(f"{gone.name}/{gone.digest[:16]}/manifest.json")
    for copies in ("copies", "other copies"):
        assert gone.digest not in digests(index.read(store, tmp_path / copies))


def test_a_manifest_that_was_written_anew_is_read_anew(store: Store, tmp_path: Path) -> None:
    index.rebuild(store)
    listed = index.read(store, tmp_path / "copies")[0].newest_first()[0]
    key = f"{listed.name}/{listed.digest[:16]}/manifest.json"
    release = lookup.at(store, listed.name, listed.digest)
    assert release is not None
    store.delete(key)
    store.create(key, json.dumps({**release.manifest.to_json(), "created": "2020-01-01T00:00:00Z"}).encode())
    (again,) = index.read(store, tmp_path / "copies", listed.name)
    assert again.releases[listed.digest[:16]][1].created == "2020-01-01T00:00:00Z"


DAMAGES = {
    "empty": b"",
    "no gzip": b"not gzip",
    "no JSON": gzip.compress(b"not JSON"),
    "a list": gzip.compress(b"[]"),
    "without facts": gzip.compress(
        b'{"schema": 1, "name": "fraud-features", "packages": [], "releases": [{}], "tags": {}}'
    ),
    "of a later version": gzip.compress(b'{"schema": 99, "name": "fraud-features"}'),
    "of another name": gzip.compress(b'{"schema": 1, "name": "another"}'),
}


@pytest.mark.parametrize(
    ("store", "damage"),
    [*(("directory", damage) for damage in DAMAGES), ("moto", "no JSON")],
    indirect=["store"],
)
def test_a_damaged_index_is_made_anew_from_the_manifests(store: Store, tmp_path: Path, damage: str) -> None:
    name = names(COUNT)[0]
    index.rebuild(store)
    good = store.read(f"{name}/index.json.gz")
    assert good is not None
    assert store.replace(f"{name}/index.json.gz", DAMAGES[damage], good.version)
    assert digests(index.read(store, tmp_path / "copies")) == truth(store)
    for path in (tmp_path / "copies").rglob(f"{name}.json.gz"):
        path.write_bytes(DAMAGES[damage])
    assert digests(index.read(store, tmp_path / "copies")) == truth(store)
    assert index.refresh(store, name)
    mended = store.read(f"{name}/index.json.gz")
    assert mended is not None
    assert mended.data == good.data


class Told(Progress):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_a_manifest_that_cannot_be_read_is_named_and_the_others_are_listed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "a store"))
    fill(store, 20)
    name = names(20)[0]
    store.create(f"{name}/{'0' * 16}/manifest.json", b"{}")
    store.create(f"{name}/tags/odd.json", b"{}")
    told = Told()
    assert len(digests(index.read(store, tmp_path / "copies", progress=told))) == 20
    assert [warning.split(" is not a ")[1].split(":")[0] for warning in told.warnings] == ["manifest", "tag"]


class ReadOnly(LocalStore):
    def create(self, key: str, data: bytes) -> bool:
        raise StoreRefused(f"{key} may not be written with {len(data)} bytes")


def test_a_store_that_refuses_the_index_stands_in_nobodys_way(tmp_path: Path) -> None:
    fill_directory(tmp_path / "a store", 20)
    assert not index.refresh(ReadOnly(tmp_path / "a store"), names(20)[0])


class Busy(LocalStore):
    """A store in which a release is published by someone else while the index is made."""

    rivals: Iterator[bytes] = iter(())

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        rival = next(self.rivals, None)
        if rival is not None:
            super().replace(key, rival, version)
        return super().replace(key, data, version)


def test_an_index_that_another_has_just_written_is_made_again_on_top(tmp_path: Path) -> None:
    fill_directory(tmp_path, 20)
    store, name = Busy(tmp_path), names(20)[0]
    store.rivals = iter([b"another's"])
    assert index.refresh(store, name)
    found = store.read(f"{name}/index.json.gz")
    assert isinstance(found, Object)
    assert len(NameIndex.loads(found.data, name).releases) == 20


def test_copies_that_cannot_be_kept_are_done_without(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "a store"))
    fill(store, 20)
    (tmp_path / "copies").write_text("a file")
    assert len(digests(index.read(store, tmp_path / "copies"))) == 20
