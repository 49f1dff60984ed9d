"""Tags: what moves them, who is told, what they remember."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import pytest

from envpack.errors import Conflict, UsageError
from envpack.releases import tags
from envpack.stores import open_store
from envpack.stores.base import Object, Store
from envpack.stores.local import LocalStore
from tests.support.command import Desk, Ran
from tests.support.many_releases import fill
from tests.support.releases import all_releases, publish
from tests.support.s3 import S3Server

SCHEMA = json.loads((Path(__file__).parent.parent / "docs/tag.schema.json").read_text("utf-8"))
ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


@pytest.fixture(params=["directory", "moto"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = str(tmp_path / "a store") if request.param == "directory" else request.getfixturevalue("s3_store_url")
    return open_store(url)


def move(
    store: Store, sha256: str, *, by: str = "jane", again: bool = True, seen: str | None = None
) -> tags.Tag | None:
    return tags.move(store, "udf", "prod", sha256, by=by, again=again, seen=seen)


def test_a_tag_remembers_who_moved_it_from_where(store: Store) -> None:
    assert move(store, ONE, again=False) is None
    before = move(store, TWO, by="joe")
    assert before is not None
    assert before.digest == ONE
    tag = tags.read(store, "udf", "prod")
    assert tag is not None
    assert [(each.digest, each.by) for each in tag.moves] == [(TWO, "joe"), (ONE, "jane")]


def test_a_tag_that_is_there_is_moved_only_when_that_is_asked_for(store: Store) -> None:
    move(store, ONE, again=False)
    move(store, ONE, again=False)
    with pytest.raises(Conflict, match=f"udf:prod points at udf@{ONE[:16]}, moved there at .* by jane") as caught:
        move(store, TWO, again=False)
    assert "--move" in str(caught.value.hint)
    found = tags.read(store, "udf", "prod")
    assert found is not None
    assert found.digest == ONE


def test_a_move_from_what_someone_saw_is_refused_when_it_points_elsewhere(store: Store) -> None:
    move(store, ONE)
    move(store, TWO, seen=ONE[:8])
    with pytest.raises(Conflict, match=f"points at udf@{TWO[:16]}.*not udf@{ONE[:16]}"):
        move(store, THREE, seen=ONE)
    with pytest.raises(Conflict, match="there is no udf:new"):
        tags.move(store, "udf", "new", ONE, by="jane", again=True, seen=ONE)


class Overtaken(LocalStore):
    """A store in which someone else is quicker, once."""

    rival: str | None = TWO

    def read(self, key: str, known: Object | None = None) -> Object | None:
        found = super().read(key, known)
        if self.rival and key.endswith("/prod.json"):
            rival, self.rival = self.rival, None
            tags.move(self, "udf", "prod", rival, by="joe", again=True)
        return found


@pytest.mark.parametrize("there_before", [True, False])
def test_who_is_overtaken_while_moving_is_told_by_whom_and_changes_nothing(
    tmp_path: Path, there_before: bool
) -> None:
    if there_before:
        move(open_store(str(tmp_path)), ONE)
    with pytest.raises(Conflict, match=f"at the same time: udf:prod points at udf@{TWO[:16]}.*by joe"):
        move(Overtaken(str(tmp_path)), THREE)
    found = tags.read(open_store(str(tmp_path)), "udf", "prod")
    assert found is not None
    assert found.digest == TWO


def test_builds_that_move_a_tag_at_once_all_succeed_and_all_are_remembered(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: tags.advance(store, "udf", "latest", f"{n}" * 64, by="ci"), range(4)))
    found = tags.read(store, "udf", "latest")
    assert found is not None
    assert {each.digest for each in found.moves} == {f"{n}" * 64 for n in range(4)}


def test_a_long_history_is_cut_at_its_old_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "REMEMBERED", 3)
    store = open_store(str(tmp_path))
    for number in range(5):
        move(store, f"{number}" * 64)
    found = tags.read(store, "udf", "prod")
    assert found is not None
    assert [each.digest[0] for each in found.moves] == ["4", "3", "2"]


@pytest.mark.parametrize("name", ["", "a b", "-x", "a/b", "a:b", "../x", ".x"])
def test_a_name_that_would_break_keys_or_references_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        tags.move(open_store(str(tmp_path)), "udf", name, ONE, by="jane", again=True)


def test_a_tag_that_is_not_one_is_named(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.create("udf/tags/prod.json", b"[]")
    with pytest.raises(UsageError, match=r"prod\.json is not a tag"):
        tags.read(store, "udf", "prod")


def test_a_tag_of_before_movers_were_kept_is_read(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    old = {
        "schema": 1,
        "digest": TWO,
        "moved": "2025-01-02T00:00:00Z",
        "history": [{"digest": ONE, "moved": "2025-01-01T00:00:00Z"}],
    }
    store.create("udf/tags/prod.json", json.dumps(old).encode())
    found = tags.read(store, "udf", "prod")
    assert found is not None
    assert [each.digest for each in found.moves] == [TWO, ONE]


@pytest.fixture
def shelf(desk: Desk) -> tuple[str, list[str]]:
    """The desk's store with an environment of 20 releases: its name, its digests."""
    store = open_store(str(desk.store))
    fill(store, 20)
    (name,) = store.folders()
    return name, [release.manifest.digest for release in all_releases(store, name)]


def told(ran: Ran) -> object:
    assert ran.code == 0, ran.err
    value = ran.json()
    jsonschema.validate(value, SCHEMA)
    return value["digest"]


def test_a_person_moves_a_tag_sees_its_history_and_rolls_it_back(desk: Desk, shelf: tuple[str, list[str]]) -> None:
    name, (one, two, *_) = shelf
    assert told(desk.run("tag", f"{name}@{one}", "canary", "--output", "json")) == one
    refused = desk.run("tag", f"{name}@{two[:8]}", "canary")
    assert refused.code == 10
    assert f"points at {name}@{one[:16]}" in refused.err
    moved = desk.run("tag", f"{name}@{two[:8]}", "canary", "--move")
    assert moved.out.startswith(f"{name}:canary points at {name}@{two[:16]}; before, since ")
    assert moved.out.rstrip().endswith(f"at {name}@{one[:16]}")
    history = desk.run("tag", "--history", f"{name}:canary")
    assert [line.split()[1] for line in history.out.splitlines()] == [f"{name}@{d[:16]}" for d in (two, one)]
    assert told(desk.run("tag", "--rollback", f"{name}:canary", "--output", "json")) == one
    assert len(desk.run("tag", "--history", f"{name}:canary", "--output", "json").json()["moves"]) == 3
    again = desk.run("tag", f"{name}@{one}", "canary")
    assert "already" in again.out


def test_rolling_back_to_a_release_that_is_gone_is_refused(desk: Desk, shelf: tuple[str, list[str]]) -> None:
    name, (one, two, *_) = shelf
    desk.run("tag", f"{name}@{one}", "canary")
    desk.run("tag", f"{name}@{two}", "canary", "--move")
    (desk.store / name / one[:16] / "manifest.json").unlink()
    ran = desk.run("tag", "--rollback", f"{name}:canary")
    assert ran.code == 2
    assert f"the earlier release of {name}:canary, {name}@{one[:16]}, was removed" in ran.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["NAME"], "no tag was given"),
        (["NAME", "prod", "--history"], "unexpected argument 'prod'"),
        (["NAME", "--history", "--rollback"], "cannot be given together"),
        (["NAME@1234", "--rollback"], "is not a tag"),
        (["NAME:none", "--history"], "has no NAME:none"),
        (["NAME:once", "--rollback"], "has no earlier release"),
    ],
)
def test_what_makes_no_sense_is_said(
    desk: Desk, shelf: tuple[str, list[str]], arguments: list[str], reason: str
) -> None:
    name, digests = shelf
    desk.run("tag", f"{name}@{digests[0]}", "once")
    ran = desk.run("tag", *(argument.replace("NAME", name) for argument in arguments))
    assert ran.code == 2
    assert reason.replace("NAME", name) in ran.err


@pytest.mark.parametrize("kind", ["directory", "moto"])
def test_of_people_who_move_a_tag_at_once_from_the_same_release_one_wins(
    desk: Desk, moto_s3: S3Server, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto_s3.prepare(monkeypatch)
    url = str(desk.store) if kind == "directory" else f"s3://{moto_s3.new_bucket()}/envs"
    store = open_store(url)
    name = "fraud"
    start, *others = [publish(store, f"archive {number}", name).digest for number in range(5)]
    tags.move(store, name, "prod", start, by="jane", again=True)
    variables = {**moto_s3.variables(), "ENVPACK_STORE": url}
    racers = {
        wanted: desk.start("tag", f"{name}@{wanted}", "prod", "--move", "--from", start, **variables)
        for wanted in others
    }
    ended = {wanted: (racer.communicate(timeout=120), racer.returncode) for wanted, racer in racers.items()}
    winners = [wanted for wanted, (_, code) in ended.items() if code == 0]
    found = tags.read(store, name, "prod")
    assert found is not None
    assert [each.digest for each in found.moves] == [*winners, start]
    assert len(winners) == 1
    for (_, err), code in ended.values():
        assert code == 0 or (code == 10 and f"{name}:prod points at {name}@{winners[0][:16]}" in err), err
