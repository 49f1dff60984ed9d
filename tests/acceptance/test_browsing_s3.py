"""Tags, the index and pulling on a second S3 server, which keeps conditional writes apart under races."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from envpack.config.config import Config
from envpack.errors import Conflict, VerificationFailed
from envpack.files.cache import Cache
from envpack.pull import pull
from envpack.releases import index, references, tags
from envpack.stores import open_store
from envpack.stores.base import Store
from tests.support.archives import Entry, link, write_archive
from tests.support.many_releases import fill, names
from tests.support.releases import all_releases
from tests.support.s3 import S3Server
from tests.test_index import digests, truth
from tests.test_pull import published

pytestmark = pytest.mark.acceptance

COUNT = 45


@pytest.fixture
def store(real_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    real_s3.prepare(monkeypatch)
    return open_store(f"s3://{real_s3.new_bucket()}/envs")


def test_the_index_says_what_the_manifests_say_and_notices_what_is_new_and_gone(
    store: Store, tmp_path: Path
) -> None:
    fill(store, COUNT)
    assert digests(index.read(store, tmp_path / "copies")) == truth(store)
    assert index.rebuild(store) == ()
    found = index.read(store, tmp_path / "new machine")
    assert digests(found) == truth(store)
    newest, *_, oldest = found[0].newest_first()
    store.delete(f"{newest.name}/{newest.digest[:16]}/manifest.json")
    tags.move(store, oldest.name, "latest", oldest.digest, by="jane", again=True)
    assert index.refresh(store, oldest.name)
    (again,) = index.read(store, tmp_path / "new machine", oldest.name)
    assert newest.digest not in digests((again,))
    assert "latest" in again.tags_of(oldest.digest)


def test_of_people_who_move_a_tag_at_once_one_wins_and_the_others_are_told(store: Store) -> None:
    tags.move(store, "udf", "prod", "0" * 64, by="jane", again=True)
    start = Barrier(6)

    def move(number: int) -> str:
        start.wait()
        try:
            tags.move(store, "udf", "prod", f"{number}" * 64, by=f"person {number}", again=True, seen="0" * 64)
        except Conflict as error:
            return error.message
        return ""

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(move, range(1, 7)))
    won = [not message for message in told]
    assert won.count(True) == 1
    assert all("udf:prod points at udf@" in message for message in told if message)
    found = tags.read(store, "udf", "prod")
    assert found is not None
    assert [each.digest[0] for each in found.moves] == [str(won.index(True) + 1), "0"]


def test_a_release_is_pulled_and_a_hostile_one_is_not(store: Store, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    python = Entry(name="bin/python", data=b"#!/bin/sh\n", mode=0o755)
    good = published(store, write_archive(tmp_path / "good.tar.gz", [python, link("bin/python3", "python")]))
    pull.pull(store, good, tmp_path / "good", cache=cache)
    assert (tmp_path / "good/bin/python3").read_bytes() == b"#!/bin/sh\n"
    evil = published(store, write_archive(tmp_path / "evil.tar.gz", [python, link("out", "../../etc")]))
    with pytest.raises(VerificationFailed, match="leads out"):
        pull.pull(store, evil, tmp_path / "evil", cache=cache)
    assert not (tmp_path / "evil").exists()


def test_an_address_as_hadoop_spells_it_names_the_release(store: Store) -> None:
    fill(store, 2)
    release = next(all_releases(store, names(2)[0]))
    address = release.archive_uri.replace("s3://", "s3a://") + "#environment"
    assert references.find(address, Config()).release == release
