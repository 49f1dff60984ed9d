"""Pieces of releases in the store are fetched, not made again; the archive has the same bytes either way."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from envpack import digest
from envpack.archive.formats import FORMATS
from envpack.archive.packing import pack
from envpack.archive.pieces import Kept, Pieces
from envpack.build import shared_pieces, store_reuse
from envpack.build.store_reuse import Reuse, StoreReuse
from envpack.releases import keys, tags
from envpack.releases.publish import publish
from envpack.stores import open_store
from envpack.stores.s3.options import S3Options
from tests.support.laid_prefix import Package, lay
from tests.support.releases import manifest_of
from tests.support.s3 import Answer, Asked, Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from envpack.archive.formats import FormatName
    from envpack.archive.packing import Packed
    from envpack.releases.manifest import Manifest
    from envpack.stores.base import Store
    from tests.support.command import Desk
    from tests.support.s3 import S3Server

LIMIT = 1 << 30

COMMON = [
    Package(name, {f"share/{name}/data": random.Random(name).randbytes(size)})
    for name, size in (("alpha", 200_000), ("beta", 3), ("gamma", 1_500_000), ("delta", 70_000))
]
OLD = [*COMMON, Package("omega", {"share/omega/version": b"1"})]
NEW = [*COMMON, Package("omega", {"share/omega/version": b"2"})]


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A machine that builds, with a cache of its own."""

    home: Path
    format: FormatName = "tar.gz"

    @property
    def pieces(self) -> Pieces:
        return Pieces(self.home / "pieces", limit=LIMIT)

    def pack(self, packages: list[Package], fetch: StoreReuse | None = None) -> Packed:
        prefix = self.home / "prefix"
        shutil.rmtree(prefix, ignore_errors=True)
        lay(prefix, packages)
        identities: Mapping[str, str] = {f"conda/{package.name}": package.identity for package in packages}
        kept = Kept(pieces=self.pieces, identify=lambda _: identities, fetch=fetch.fetch if fetch else None)
        return pack(prefix, self.home / f"out.{self.format}", format=self.format, kept=kept)

    def fetching(self, store: Store, whose: Reuse = Reuse.STORE, name: str = "udf") -> StoreReuse:
        return StoreReuse(store=store, name=name, whose=whose, pieces=self.pieces)

    def publish(self, store: Store, packages: list[Package], name: str = "udf") -> Manifest:
        """Publish a release as a build does."""
        packed = self.pack(packages)
        manifest = manifest_of(packed.sha256, name)
        facts = store_reuse.dump(packed.pieces)
        file = keys.archive_file(name, packed.sha256, self.format)
        listed = shared_pieces.dump(file, packed.pieces, digest.of_bytes(facts))
        archive = replace(manifest.archive, file=file, format=self.format, sha256=packed.sha256, size=packed.size)
        manifest = replace(manifest, archive=archive)
        publish(store, manifest, packed.path, {keys.PIECES: listed, keys.PIECE_FACTS: facts})
        tags.advance(store, name, tags.LATEST, packed.sha256, by="a test")
        return manifest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"), S3Options())


@pytest.fixture
def first(tmp_path: Path) -> Agent:
    return Agent(home=tmp_path / "first")


@pytest.fixture
def second(tmp_path: Path) -> Agent:
    return Agent(home=tmp_path / "second")


def fetched(packed: Packed) -> set[str]:
    return {piece.facts.owner for piece in packed.pieces if piece.reused}


EVERY_ONE = {f"conda/{package.name}" for package in COMMON}


@pytest.mark.parametrize("format", FORMATS)
def test_what_another_machine_packed_is_fetched_and_the_archive_is_the_same(
    store: Store, first: Agent, second: Agent, format: FormatName, tmp_path: Path
) -> None:
    first, second = replace(first, format=format), replace(second, format=format)
    first.publish(store, OLD)
    made = Agent(home=tmp_path / "third", format=format).pack(NEW)
    packed = second.pack(NEW, second.fetching(store))
    assert (packed.sha256, fetched(packed)) == (made.sha256, EVERY_ONE)
    assert fetched(second.pack(NEW)) == {*EVERY_ONE, "conda/omega"}


@pytest.mark.parametrize(("whose", "expected"), [("name", set()), ("store", EVERY_ONE), ("off", set())])
def test_whose_releases_are_used_is_what_was_asked_for(
    store: Store, first: Agent, second: Agent, whose: str, expected: set[str]
) -> None:
    first.publish(store, OLD, name="another-team")
    assert fetched(second.pack(NEW, second.fetching(store, Reuse(whose)))) == expected


def change_a_byte(folder: Path, manifest: Manifest) -> None:
    path = folder / manifest.archive.file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_the_archive(folder: Path, manifest: Manifest) -> None:
    path = folder / manifest.archive.file
    path.write_bytes(path.read_bytes()[: manifest.archive.size // 2])


def remove_the_archive(folder: Path, manifest: Manifest) -> None:
    (folder / manifest.archive.file).unlink()


def remove_the_list(folder: Path, _: Manifest) -> None:
    (folder / keys.PIECES).unlink()


def remove_the_facts(folder: Path, _: Manifest) -> None:
    (folder / keys.PIECE_FACTS).unlink()


def write_other_facts(folder: Path, _: Manifest) -> None:
    (folder / keys.PIECE_FACTS).write_bytes(b"{}")


def list_other_pieces(folder: Path, _: Manifest) -> None:
    """Say of each piece what is true of another, consistently, as somebody would who writes the list alone."""
    value = json.loads((folder / keys.PIECES).read_bytes())
    places = [(row["sha256"], row["start"], row["size"]) for row in value["pieces"]]
    for row, place in zip(value["pieces"], reversed(places), strict=True):
        row["sha256"], row["start"], row["size"] = place
    (folder / keys.PIECES).write_text(json.dumps(value))


def write_no_json(folder: Path, _: Manifest) -> None:
    (folder / keys.PIECES).write_bytes(b"[" * 100_000)


def forget_the_digest(folder: Path, _: Manifest) -> None:
    value = json.loads((folder / keys.MANIFEST).read_bytes())
    del value["beside"]
    (folder / keys.MANIFEST).write_text(json.dumps(value))


def damage_the_manifest(folder: Path, _: Manifest) -> None:
    (folder / keys.MANIFEST).write_bytes(b"{")


def remove_the_release(folder: Path, _: Manifest) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "spoil",
    [
        *(change_a_byte, cut_the_archive, remove_the_archive, remove_the_list, remove_the_facts, write_other_facts),
        *(list_other_pieces, write_no_json, forget_the_digest, damage_the_manifest, remove_the_release),
    ],
)
def test_what_is_missing_or_wrong_in_the_store_is_made_anew_and_never_shipped(
    store: Store, first: Agent, second: Agent, tmp_path: Path, spoil: Callable[[Path, Manifest], None]
) -> None:
    manifest = first.publish(store, OLD)
    spoil(tmp_path / "store" / manifest.folder, manifest)
    packed = second.pack(NEW, second.fetching(store))
    assert packed.sha256 == Agent(home=tmp_path / "third").pack(NEW).sha256
    assert fetched(packed) < EVERY_ONE


def test_one_release_that_cannot_be_read_does_not_hide_the_others(
    store: Store, first: Agent, second: Agent, tmp_path: Path
) -> None:
    manifest = first.publish(store, OLD)
    Agent(home=tmp_path / "third").publish(store, OLD, name="another-name")
    damage_the_manifest(tmp_path / "store" / manifest.folder, manifest)
    assert fetched(second.pack(NEW, second.fetching(store))) == EVERY_ONE


@pytest.fixture
def gate(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Gate:
    moto_s3.prepare(monkeypatch)
    return Gate(moto_s3)


def test_from_s3_neighbours_come_by_one_request_for_a_part(
    moto_s3: S3Server, gate: Gate, first: Agent, second: Agent
) -> None:
    store = open_store(f"s3://{moto_s3.new_bucket()}/envs", S3Options(endpoint=gate.endpoint, addressing="path"))
    manifest = first.publish(store, OLD)
    gate.asked.clear()
    assert fetched(second.pack(NEW, second.fetching(store))) == EVERY_ONE
    ranges = [asked for asked in gate.asked if "range" in asked.headers]
    assert len(ranges) == 1
    assert ranges[0].target.split("?")[0].endswith(manifest.archive.file)
    gate.close()


def test_a_server_without_ranges_is_no_reason_to_fail(
    moto_s3: S3Server, gate: Gate, first: Agent, second: Agent
) -> None:
    def without_ranges(asked: Asked) -> Answer:
        headers = {name: value for name, value in asked.headers.items() if name != "range"}
        return gate.forward(replace(asked, headers=headers))

    gate.serve = without_ranges
    store = open_store(f"s3://{moto_s3.new_bucket()}/envs", S3Options(endpoint=gate.endpoint, addressing="path"))
    first.publish(store, OLD)
    packed = second.pack(NEW, second.fetching(store))
    assert (packed.sha256, fetched(packed)) == (first.pack(NEW).sha256, set())
    gate.close()


def test_a_build_on_an_empty_machine_packs_only_what_is_new(desk: Desk, seed: Path) -> None:
    desk.write("r.txt", "greeter")
    desk.build("r.txt", "--no-verify")
    desk.write("r.txt", "greeter", "placed")
    desk.forget_pieces(but=seed)
    alone = desk.build("r.txt", "--name", "alone", "--no-verify", ENVPACK_REUSE="off")
    desk.forget_pieces()
    ran = desk.run("build", "r.txt", "--output", "json")
    assert ran.code == 0, ran.err
    assert ran.json()["digest"] == alone["digest"]
    assert " packed for " in ran.err
