"""What was made before is not made again, and nobody can see the difference."""

from __future__ import annotations

import json
import random
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envpack import digest
from envpack.archive.packing import assemble
from envpack.archive.pieces import Pieces
from envpack.build import shared_pieces
from envpack.build.recipes import Recipes
from envpack.stores import open_store
from envpack.stores.s3.options import SMALLEST_PART
from tests.support.channel import Channel
from tests.support.chosen import quickly
from tests.support.command import Desk, Ran, copy_of, desk_at
from tests.support.s3 import Gate, S3Server
from tests.support.wheels import write_wheel

WORK = {"link", "compile", "verify"}


@pytest.fixture
def fresh(tmp_path: Path, channel: Channel, seed: Path) -> Desk:
    """A desk whose cache nobody else uses, with a requirements file of a conda package and two wheels."""
    desk = desk_at(tmp_path / "a desk", channel, copy_of(seed, tmp_path / "a cache"))
    shelf = desk.home / "shelf"
    shelf.mkdir()
    for name, version in (("alpha", "1.0"), ("beta", "1.0"), ("beta", "2.0")):
        write_wheel(shelf, name, version)
    write(desk)
    return desk


def write(desk: Desk, beta: str = "1.0") -> None:
    desk.write("r.txt", "--no-index", "--find-links shelf", "greeter", "alpha", f"beta=={beta}")


def build(desk: Desk, *arguments: str) -> tuple[Any, Ran]:
    ran = desk.run("build", "r.txt", "--output", "json", *arguments)
    assert ran.code == 0, ran.err
    return ran.json(), ran


def make(desk: Desk, *arguments: str) -> tuple[Any, Ran]:
    """Build without a trial, for what is not about it."""
    return build(desk, "--no-verify", *arguments)


def steps(ran: Ran) -> set[str]:
    return {line.split()[0] for line in ran.err.splitlines()}


def manifest(desk: Desk, name: str) -> Any:
    (path,) = desk.store.glob(f"{name}/*/manifest.json")
    return json.loads(path.read_text())


def test_an_environment_that_was_tried_before_is_published_under_another_name_at_once(fresh: Desk) -> None:
    first, ran = build(fresh, "--name", "one")
    assert steps(ran) >= WORK
    second, ran = build(fresh, "--name", "other")
    assert not steps(ran) & WORK
    assert (second["digest"], second["reused"]) == (first["digest"], False)
    one, other = manifest(fresh, "one"), manifest(fresh, "other")
    assert other["archive"]["file"] == f"other-{first['digest'][:16]}.tar.gz"
    for same in ("packages", "variables", "verified", "warnings", "requested", "input_digest"):
        assert other[same] == one[same]
    archive = fresh.store / "other" / first["digest"][:16] / other["archive"]["file"]
    assert digest.of_file(archive) == first["digest"]


@pytest.mark.acceptance
def test_what_was_not_tried_is_tried_when_it_is_to_be(fresh: Desk) -> None:
    build(fresh, "--name", "one", "--no-verify")
    _, ran = build(fresh, "--name", "two", "--no-verify")
    assert not steps(ran) & WORK
    _, ran = build(fresh, "--name", "three")
    assert "verify" in steps(ran)
    assert manifest(fresh, "three")["verified"] == "run"
    _, ran = build(fresh, "--name", "four", "--no-verify")
    assert manifest(fresh, "four")["verified"] == "run"


@pytest.mark.parametrize("lost", quickly(["pieces", "recipes"], "pieces"))
def test_a_lost_cache_costs_only_time(fresh: Desk, lost: str) -> None:
    first, _ = build(fresh, "--name", "one")
    for path in sorted((fresh.cache / lost).rglob("*")):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    second, ran = build(fresh, "--name", "other")
    assert second["digest"] == first["digest"]
    assert steps(ran) >= WORK


def test_only_a_changed_package_is_compressed_again(fresh: Desk) -> None:
    make(fresh)
    write(fresh, beta="2.0")
    _, ran = make(fresh)
    (packed,) = [line for line in ran.err.splitlines() if line.startswith("pack ")]
    assert packed.endswith(", 3 of 4 packages packed before")
    (compiled,) = [line for line in ran.err.splitlines() if line.startswith("compile ")]
    assert compiled.split(maxsplit=3)[-1] == "2 modules"  # its own and the start-up file


@pytest.mark.acceptance
def test_the_archive_of_kept_pieces_is_that_of_an_empty_cache(fresh: Desk, tmp_path: Path) -> None:
    make(fresh)
    write(fresh, beta="2.0")
    warm, _ = make(fresh)
    other = desk_at(tmp_path / "another desk", fresh.channel, tmp_path / "another cache")
    (fresh.home / "shelf").rename(other.home / "shelf")
    write(other, beta="2.0")
    cold, _ = make(other)
    assert cold["digest"] == warm["digest"]


def test_a_store_is_asked_for_what_it_holds_of_a_new_archive(fresh: Desk, tmp_path: Path) -> None:
    make(fresh)
    store = open_store(str(fresh.store))
    write(fresh, beta="2.0")
    # The archive is made without a word to the store in which its older sister is.
    changed, _ = make(fresh, "--store", str(tmp_path / "another store"))
    (recipe,) = [
        recipe
        for path in (fresh.cache / "recipes").glob("*.json")
        if (recipe := Recipes(path.parent).load(path.stem)) and recipe.sha256 == changed["digest"]
    ]
    pieces = Pieces(fresh.cache / "pieces", limit=1 << 30)
    packed = assemble(recipe.pieces, pieces, tmp_path / "new.tar.gz")
    assert packed
    unknown = shared_pieces.PublishedPieces(path=tmp_path / "nothing.json", releases={})
    held = shared_pieces.held_by(store, "r", packed.pieces, unknown)
    assert sum(part.size for part in held) > 0.95 * packed.size
    new = packed.path.read_bytes()
    for part in held:
        old = (fresh.store / part.key).read_bytes()
        assert old[part.start : part.start + part.size] == new[part.offset : part.offset + part.size]
    # Under a name that has no release yet, what this machine has published is asked.
    known = shared_pieces.PublishedPieces.load(fresh.cache / "published", store)
    assert shared_pieces.held_by(store, "new-name", packed.pieces, known) == held
    assert shared_pieces.held_by(store, "new-name", packed.pieces, unknown) == ()


@pytest.mark.acceptance
def test_a_changed_package_costs_its_own_bytes_on_s3(fresh: Desk, moto_s3: S3Server) -> None:
    # What stays the same is copied in parts of 5 MiB or more.
    files = {"alpha.py": "", "alpha.txt": random.Random(0).randbytes(8 << 20).hex()}
    write_wheel(fresh.home / "shelf", "alpha", "1.0", files=files)
    gate = Gate(moto_s3)
    variables = {**moto_s3.variables(), "AWS_ENDPOINT_URL_S3": gate.endpoint}
    on_s3 = replace(fresh, environment={**fresh.environment, **variables})
    store = f"s3://{moto_s3.new_bucket()}/envs"
    first, _ = make(on_s3, "--store", store)
    assert gate.received() > first["archive"]["size"]
    gate.asked.clear()
    write(fresh, beta="2.0")
    second, _ = make(on_s3, "--store", store)
    assert second["digest"] != first["digest"]
    assert gate.received() < 0.02 * second["archive"]["size"] + SMALLEST_PART
    ran = on_s3.run("pull", second["reference"], "here", "--store", store)
    assert ran.code == 0, ran.err
    gate.close()


@pytest.mark.acceptance
def test_a_pieces_file_that_says_nonsense_is_no_reason_to_fail(fresh: Desk) -> None:
    make(fresh)
    for path in fresh.store.glob("r/*/pieces.json"):
        path.chmod(0o644)
        path.write_text('{"pieces": [{"sha256": 7}]}')
    write(fresh, beta="2.0")
    result, _ = make(fresh)
    assert result["reused"] is False


def test_a_slim_archive_leaves_out_what_the_manifest_says(fresh: Desk) -> None:
    files = {"beta/__init__.py": "", "beta/c.pyi": "", "beta/tests/__init__.py": "", "beta/tests/test_beta.py": ""}
    write_wheel(fresh.home / "shelf", "beta", "3.0", files=files)
    write(fresh, beta="3.0")
    full, _ = make(fresh, "--name", "full")
    slim, ran = make(fresh, "--name", "slim", "--slim")
    assert "slim" not in full
    saved = {saving["rule"]: saving for saving in slim["slim"]}
    assert saved["tests"]["files"] == 2
    assert saved["stubs"]["files"] == 1
    assert manifest(fresh, "slim")["slim"] == slim["slim"]
    assert "slim" not in manifest(fresh, "full")
    told = [line for line in ran.err.splitlines() if line.startswith("left out")]
    assert len(told) == 1

    def held(name: str) -> dict[str, int]:
        (archive,) = fresh.store.glob(f"{name}/*/*.tar.gz")
        with tarfile.open(archive) as tar:
            return {info.name: info.size for info in tar if not info.isdir() and not info.name.endswith(".pyc")}

    gone = held("full").keys() - held("slim").keys()
    assert len(gone) == sum(saving["files"] for saving in saved.values())
    assert sum(held("full")[path] for path in gone) == sum(saving["size"] for saving in saved.values())
    assert held("slim").keys() <= held("full").keys()
    # What was kept is remembered with what was left out.
    again, _ = make(fresh, "--name", "again", "--slim")
    assert again["slim"] == slim["slim"]


def test_an_unchanged_build_asks_the_store_small_questions_at_once(fresh: Desk, moto_s3: S3Server) -> None:
    """Does the tag point at it still, is its manifest as it was, is its archive there."""
    bucket = moto_s3.new_bucket()
    on_s3 = replace(fresh, environment={**fresh.environment, **moto_s3.variables()})
    first, _ = build(on_s3, "--store", f"s3://{bucket}/envs")
    root, folder = f"/{bucket}/envs/r", first["digest"][:16]
    release = {f"GET {root}/{folder}/manifest.json", f"HEAD {root}/{folder}/r-{folder}.tar.gz"}
    for arguments, tags in (((), {f"GET {root}/tags/latest.json"}), (("--no-latest",), set[str]())):
        build(on_s3, "--store", f"s3://{bucket}/envs", *arguments)
        moto_s3.requests.clear()
        again, ran = build(on_s3, "--store", f"s3://{bucket}/envs", *arguments)
        assert sorted(moto_s3.requests) == sorted(release | tags)
        assert (again["reused"], again["digest"], again["settings"]) == (True, first["digest"], first["settings"])
        assert not steps(ran) & WORK


@pytest.mark.acceptance
def test_a_tag_that_was_moved_meanwhile_is_moved_back_by_the_next_build(fresh: Desk) -> None:
    one, _ = make(fresh)
    write(fresh, beta="2.0")
    two, _ = make(fresh)
    write(fresh, beta="1.0")
    for _ in range(2):
        again, _ = make(fresh)
        assert (again["reused"], again["digest"]) == (True, one["digest"])
        assert json.loads((fresh.store / "r/tags/latest.json").read_text())["digest"] == one["digest"]
        assert two["digest"] != one["digest"]


def test_a_release_that_is_gone_is_made_again(fresh: Desk) -> None:
    make(fresh)
    shutil.rmtree(fresh.store)
    again, _ = make(fresh)
    assert again["reused"] is False
    assert len(fresh.releases()) == 1


def test_an_unknown_compression_and_a_limit_that_is_no_size_are_refused(fresh: Desk) -> None:
    fresh.write("envpack.yaml", "store: s", "compression: most")
    ran = fresh.run("build", "r.txt")
    assert (ran.code, "unknown compression 'most'" in ran.err) == (2, True)
    ran = fresh.run("build", "r.txt", "--compression", "fast", "--cache-limit", "much")
    assert (ran.code, "--cache-limit: must be a size such as 20 GB or 500 MB, not 'much'" in ran.err) == (2, True)
