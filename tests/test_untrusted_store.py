"""A store that others may write to: nothing in it runs, is written elsewhere, steers a terminal, ends a command."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envpack import digest
from envpack.cli import run
from envpack.config.config import load
from envpack.doctor import target
from envpack.errors import Conflict, EnvpackError, UsageError, VerificationFailed
from envpack.files.remove import remove
from envpack.gc.collect import remove_orphan
from envpack.releases import keys, lookup, publish, references, tags
from envpack.stores import open_store
from tests.support.releases import age, archive_of, faults, manifest_of
from tests.support.stored import GONE, HOSTILE, changed, places, store_in

COMMANDS: dict[str, list[str]] = {
    "list": ["list"],
    "list a name": ["list", "udf", "--output", "json"],
    "show": ["show", "udf"],
    "show as json": ["show", "udf:prod", "--output", "json"],
    "sbom": ["show", "udf", "--output", "sbom"],
    "why": ["show", "udf", "--why", "six"],
    "settings": ["settings", "udf"],
    "settings for a shell": ["settings", "udf", "--launcher", "local", "--output", "env"],
    "settings for a file": ["settings", "udf", "--output", "conf"],
    "settings in a line": ["settings", "udf", "--output", "oneline"],
    "settings for connect": ["settings", "udf", "--launcher", "connect"],
    "history": ["tag", "--history", "udf:prod"],
    "search": ["search", "six"],
    "diff": ["diff", "udf", "udf:prod", "--files"],
    "gc": ["gc", "--keep-last", "1"],
    "pull": ["pull", "udf:prod", "there"],
    "run": ["run", "udf", "--", "true"],
    "verify": ["verify", "udf", "--quick"],
    "verify all": ["verify", "--all", "--quick"],
    "catalog": ["catalog", "there"],
    "doctor": ["doctor"],
}

FOR_A_SHELL = ("settings for a shell", "settings for connect", "pull")


@dataclass(frozen=True)
class World:
    """A directory with all that the commands may touch, and how it was."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def work(self) -> Path:
        return self.root / "work"

    def state(self) -> dict[str, str]:
        """Return every file that is neither in the cache nor where `pull` and `catalog` were told to write."""
        free = (self.root / "cache", self.work / "there")
        return {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not any(each in path.parents for each in free)
        }


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("good")
    store_in(root)
    return root / "store"


@pytest.fixture
def world(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    made.work.mkdir()
    shutil.copytree(good, made.store)
    for name in [name for name in os.environ if name.startswith(("ENVPACK_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ENVPACK_STORE", str(made.store))
    monkeypatch.setenv("ENVPACK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(made.work)

    def execute(file: str, arguments: Any, environ: Any) -> None:
        raise OSError(0, f"{file} would run")

    monkeypatch.setattr(os, "execvpe", execute)  # the test's own process must stay
    return made


def read(path: Path) -> Any:
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def write(path: Path, value: Any) -> None:
    """Write an object, and let the manifest beside it vouch for it."""
    data = json.dumps(value).encode()
    data = gzip.compress(data, 1) if path.suffix == ".gz" else data
    path.write_bytes(data)
    beside = path.with_name(keys.MANIFEST)
    if path != beside and beside.exists() and path.name in (manifest := read(beside)).get("beside", ()):
        manifest["beside"][path.name] = digest.of_bytes(data)
        beside.write_text(json.dumps(manifest))


def command(name: str) -> int:
    """Run a command; return its exit code. What is no expected error goes through as it is."""
    if name != "doctor":
        return run(COMMANDS[name])
    list(target.release("udf", load({}, os.environ, Path.cwd())))  # the rest of it asks channels
    return 0


def objects_of(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file() and path.name.endswith((".json", ".json.gz")))


def test_all_commands_work_on_a_good_store(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = world.state()
    for name in COMMANDS:
        shutil.rmtree(world.work / "there", ignore_errors=True)
        # `run` would have replaced this process; the archive is no environment.
        assert command(name) == {"run": 2, "verify": 7, "verify all": 7}.get(name, 0), (
            name,
            capsys.readouterr().err,
        )
    assert world.state() == before


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_hostile_value_in_any_field_does_nothing(
    world: World, good: Path, capsys: pytest.CaptureFixture[str], data: Any
) -> None:
    shutil.rmtree(world.store)
    shutil.copytree(good, world.store)
    shutil.rmtree(world.root / "cache", ignore_errors=True)
    shutil.rmtree(world.work / "there", ignore_errors=True)
    path = data.draw(st.sampled_from(objects_of(world.store)), label="object")
    value = read(path)
    place = data.draw(st.sampled_from([place for place in places(value) if place]), label="place")
    write(path, changed(value, place, data.draw(st.sampled_from([*HOSTILE, GONE]), label="value")))
    harmless(world, data.draw(st.sampled_from(sorted(COMMANDS)), label="command"), capsys)


@pytest.mark.acceptance
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_field_of_any_object_harms_a_command(
    world: World, good: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """The whole product of fields and commands; the hostile values take turns."""
    values = itertools.cycle([*HOSTILE, GONE])
    for _ in name:  # so that not every command meets the same value in the same field
        next(values)
    tried = 0
    for path in objects_of(world.store):
        value = read(path)
        for place in filter(None, places(value)):
            shutil.rmtree(world.root / "cache", ignore_errors=True)
            shutil.rmtree(world.work / "there", ignore_errors=True)
            write(path, changed(value, place, next(values)))
            harmless(world, name, capsys)
            tried += 1
        shutil.rmtree(world.store)
        shutil.copytree(good, world.store)
    assert tried > 140


@pytest.mark.parametrize("field", ["digest", "python", "size", "packages", "a tag"])
def test_a_forged_index_changes_nothing_that_is_set_up_pulled_or_run(
    world: World, capsys: pytest.CaptureFixture[str], field: str
) -> None:
    def said(name: str) -> tuple[int, str]:
        shutil.rmtree(world.work / "there", ignore_errors=True)
        return command(name), capsys.readouterr().out

    assert run(["list", "--rebuild-index"]) == 0  # the store was copied, and its index knows objects by their times
    capsys.readouterr()
    names = [name for name in COMMANDS if name.startswith(("settings", "pull", "run", "show", "list", "search"))]
    honest = {name: said(name) for name in names}
    path = world.store / "udf" / "index.json.gz"
    value = read(path)
    for row in value["releases"] if field != "a tag" else ():
        row[field] = {"digest": row["digest"][:16] + "0" * 48, "python": "3.9.1", "size": 1, "packages": []}[field]
    for pointer in value["tags"].values() if field == "a tag" else ():
        pointer["digest"] = "f" * 64
    write(path, value)
    remove(world.root / "cache")
    assert {name: said(name) for name in names} == honest
    remove(world.root / "cache")
    assert command("list") == 0
    assert "nothing of it is used" in capsys.readouterr().err


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_hostile_variables_do_nothing(
    world: World, good: Path, capsys: pytest.CaptureFixture[str], data: Any
) -> None:
    """They are what people put through a shell, so they are tried more often than their share."""
    shutil.rmtree(world.store)
    shutil.copytree(good, world.store)
    shutil.rmtree(world.root / "cache", ignore_errors=True)
    shutil.rmtree(world.work / "there", ignore_errors=True)
    (path,) = world.store.glob("udf/*/manifest.json")
    text = st.one_of(
        st.sampled_from([str(each) for each in HOSTILE if isinstance(each, str) and len(each) < 99]), st.text()
    )
    name = st.one_of(st.just("A_NAME"), text)
    write(path, {**read(path), "variables": data.draw(st.dictionaries(name, text, max_size=2))})
    harmless(world, data.draw(st.sampled_from(FOR_A_SHELL)), capsys)


def harmless(world: World, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    before = world.state()
    code = command(name)
    said = capsys.readouterr()
    assert code in (0, 2, 7, 10), said.err
    assert world.state() == before
    if name in FOR_A_SHELL and code == 0:
        lines = said.out.replace("start-connect-server.sh", "true")
        subprocess.run(["sh", "-c", f"eval {shlex.quote(lines)}"], cwd=world.work, check=False, capture_output=True)
        assert world.state() == before, said.out
    else:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said.out), said.out
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", re.sub("\x1b\\[[0-9;]*m", "", said.err))


@pytest.mark.parametrize("file", ["../../../caught", "/caught", "udf-0000000000000000.tar.gz"])
def test_an_archive_lies_nowhere_but_in_its_own_place(world: World, file: str) -> None:
    (path,) = world.store.glob("udf/*/manifest.json")
    write(path, changed(read(path), ("archive", "file"), file))
    for name in ("pull", "run", "verify"):
        assert command(name) == 2
    assert not list(world.root.rglob("caught"))


def test_another_releases_manifest_is_not_shown_as_this_one(world: World) -> None:
    store = open_store(str(world.store))
    (path,) = world.store.glob("udf/*/manifest.json")
    other = manifest_of("another")
    path.write_bytes(other.dumps())
    with pytest.raises(UsageError, match="is the manifest of"):
        references.resolve(store, f"udf@{path.parent.name}")
    with pytest.raises(UsageError, match="is the manifest of"):
        references.resolve(store, "udf:latest")


def test_a_tag_leads_to_the_whole_digest_it_names(world: World) -> None:
    store = open_store(str(world.store))
    (path,) = world.store.glob("udf/*/manifest.json")
    manifest = lookup.at(store, "udf", path.parent.name)
    assert manifest
    tag = world.store / "udf" / "tags" / "prod.json"
    forged = manifest.manifest.short_digest + "0" * 48
    write(tag, {**read(tag), "digest": forged})
    with pytest.raises(UsageError, match="is the manifest of"):
        references.resolve(store, "udf:prod")


class Dying:
    """A store whose user ends right before or right after its n-th write."""

    def __init__(self, store: Any, left: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, left, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in ("create", "replace", "upload", "delete"):
            return method

        def call(*arguments: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Ended
            answer = method(*arguments)
            if self._left == 0:
                raise Ended
            return answer

        return call


class Ended(Exception):
    pass


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_writer_that_ends_anywhere_leaves_no_release_without_its_archive(tmp_path: Path, after: bool) -> None:
    manifest, archive = archive_of(tmp_path, "one")
    beside = {keys.FILES: b"1", keys.lock_file("udf"): b"2"}
    for left in range(1, 20):
        store = open_store(str(tmp_path / str(left)))
        try:
            publish.publish(Dying(store, left, after=after), manifest, archive, beside)
        except Ended:
            assert faults(store) == []
            written = {entry.key.rpartition("/")[2] for entry in store.list(f"{manifest.folder}/")}
            assert keys.MANIFEST not in written or written >= {manifest.archive.file, *beside}
            publish.publish(store, manifest, archive, beside)
            assert faults(store) == []
        else:
            break
    else:
        pytest.fail("it never came to its end")
    assert left > 3


def test_other_bytes_in_the_place_of_an_archive_never_become_a_release(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    manifest, archive = archive_of(tmp_path, "one")
    store.create(keys.archive_key(manifest), b"two")
    with pytest.raises(publish.Orphan, match="belongs to no release") as orphan:
        publish.publish(store, manifest, archive, {})
    assert orphan.value.exit_code == Conflict.exit_code
    assert lookup.at(store, "udf", manifest.digest) is None
    assert not remove_orphan(store, orphan.value.folder, 3600.0), "its writer may still be at it"
    age(store, "udf/", 2)
    assert remove_orphan(store, orphan.value.folder, 3600.0)
    release, written = publish.publish(store, manifest, archive, {})
    assert written
    assert lookup.is_whole(store, release)
    assert not remove_orphan(store, orphan.value.folder, 0.0), "it is a release now"


def test_files_that_a_killed_writer_left_beside_are_not_taken_for_the_releases(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    manifest, archive = archive_of(tmp_path, "one")
    key = f"{manifest.folder}/{keys.FILES}"
    store.create(key, b"left over")
    publish.publish(store, manifest, archive, {keys.FILES: b"ours"})
    publish.publish(store, manifest, archive, {keys.FILES: b"another build's"})
    found = store.read(key)
    assert found
    assert found.data == b"ours"


@pytest.mark.parametrize("gone", ["archive", "manifest", "folder"])
def test_a_release_that_is_gone_is_not_what_was_built(tmp_path: Path, gone: str) -> None:
    store = open_store(str(tmp_path / "store"))
    manifest, archive = archive_of(tmp_path, "one")
    publish.publish(store, manifest, archive, {})
    tags.advance(store, "udf", "latest", manifest.digest, by="jane")
    assert lookup.find_build(store, "udf", manifest.input_digest)
    if gone in ("archive", "folder"):
        store.delete(keys.archive_key(manifest))
    if gone in ("manifest", "folder"):
        store.delete(keys.manifest("udf", manifest.digest))
    assert lookup.find_build(store, "udf", manifest.input_digest) is None
    with pytest.raises(EnvpackError) as said:
        lookup.check_there(store, references.resolve(store, "udf"))
    assert said.value.hint
    release, _ = publish.publish(store, manifest, archive, {})
    assert lookup.find_build(store, "udf", manifest.input_digest) == release
    assert faults(store) == []


@pytest.mark.parametrize("instead", [b"", b"on", b"one and more"])
def test_a_release_with_another_file_in_place_of_its_archive_is_not_used(tmp_path: Path, instead: bytes) -> None:
    store = open_store(str(tmp_path / "store"))
    manifest, archive = archive_of(tmp_path, "one")
    publish.publish(store, manifest, archive, {})
    store.delete(keys.archive_key(manifest))
    store.create(keys.archive_key(manifest), instead)
    assert lookup.find_build(store, "udf", manifest.input_digest) is None
    with pytest.raises(VerificationFailed, match="is not the archive of") as said:
        lookup.check_there(store, references.resolve(store, manifest.reference))
    assert said.value.hint


def test_a_record_that_cannot_be_read_or_leads_nowhere_is_written_anew(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    manifest, archive = archive_of(tmp_path, "one")
    key = keys.build_record("udf", manifest.input_digest)
    lost = json.dumps({"schema": 1, "digest": "f" * 64, "created": "2026-01-02T03:04:05Z"}).encode()
    for data in (b"[]", b'{"schema": 1', lost):
        store.delete(key)
        store.create(key, data)
        assert lookup.find_build(store, "udf", manifest.input_digest) is None
        release, _ = publish.publish(store, manifest, archive, {})
        assert lookup.find_build(store, "udf", manifest.input_digest) == release


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_store_that_is_a_file_is_no_empty_store(
    world: World, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (world.work / "file").write_bytes(b"")
    for arguments in (["list"], ["list", "udf"], ["gc"], ["search", "six"], ["settings", "udf"]):
        assert run([*arguments, "--store", where]) == 8
        assert "hint:" in capsys.readouterr().err
