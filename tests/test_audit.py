"""`verify`: every way a release in a store can be unsound is found and named, and the others are still checked."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envpack import digest
from envpack.releases import file_list, keys
from envpack.releases.manifest import Manifest
from envpack.releases.publish import publish
from envpack.stores import open_store
from tests.support.channel import Channel
from tests.support.command import Desk, desk_at
from tests.support.schemas import check
from tests.support.wheels import write_wheel


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, channel: Channel, warm_cache: Path) -> Desk:
    """A desk with two releases, `one` and `two`."""
    desk = desk_at(tmp_path_factory.mktemp("sound") / "a desk", channel, warm_cache)
    shelf = desk.home / "shelf"
    shelf.mkdir()
    write_wheel(shelf, "wheel-a", "1")
    for name in ("one", "two"):
        desk.write(f"{name}.txt", "--no-index", "--find-links shelf", "wheel-a", "greeter")
        desk.build(f"{name}.txt", "--no-verify")
    return desk


@pytest.fixture
def desk(original: Desk, tmp_path: Path) -> Desk:
    """A copy of it, to be spoilt."""
    home = tmp_path / "a desk"
    shutil.copytree(original.home, home)
    return Desk(home=home, channel=original.channel, environment=original.environment)


def test_a_sound_release_is_said_to_be_sound(original: Desk) -> None:
    ran = original.run("verify", "one")
    assert ran.code == 0, ran.out
    assert [line.split()[:2] for line in ran.out.splitlines()[:-1]] == [
        [name, "sound:"] for name in ("manifest", "lock", "beside", "bytes", "content", "imports")
    ]
    assert ran.out.splitlines()[-1].endswith("is sound")
    (release,) = check(original.run("verify", "one", "--quick", "--output", "json").json(), "verify")["releases"]
    assert release["sound"]
    assert [each["name"] for each in release["checks"]] == ["manifest", "lock", "beside", "bytes", "content"]


def folder_of(desk: Desk, name: str) -> Path:
    (path,) = desk.store.glob(f"{name}/*/manifest.json")
    return path.parent


def edit(path: Path, change: Callable[[Any], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def fewer_files(files: tuple[file_list.File, ...]) -> list[file_list.File]:
    return [file for file in files if file.owner != "pypi/wheel-a"]


def other_digest(files: tuple[file_list.File, ...]) -> list[file_list.File]:
    return [file._replace(content="0" * 16) if file.path.endswith("wheel_a.py") else file for file in files]


def vouched(folder: Path, name: str, content: bytes) -> None:
    """Write another content beside a manifest, and let the manifest vouch for it."""
    (folder / name).write_bytes(content)
    edit(folder / "manifest.json", lambda m: m["beside"].update({name: digest.of_bytes(content)}))


def with_files(change: Callable[[tuple[file_list.File, ...]], list[file_list.File]]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        files = file_list.loads((folder / file_list.FILE).read_bytes(), "")
        vouched(folder, file_list.FILE, file_list.dumps(change(files)))

    return spoil


DIFFERS = "the archive and files.json.gz differ in"

HARM: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a changed byte": (lambda folder: flip(next(folder.glob("*.tar.gz"))), "bytes", "SHA-256"),
    "no archive": (lambda folder: next(folder.glob("*.tar.gz")).unlink(), "bytes", "does not exist"),
    "no lock": (lambda folder: next(folder.glob("*.lock")).unlink(), "lock", "one.lock is not there"),
    "a lock that is none": (lambda folder: vouched(folder, "one.lock", b"x"), "lock", "did not write this lock"),
    "another package in the manifest": (
        lambda folder: edit(
            folder / "manifest.json",
            lambda m: next(p for p in m["packages"] if p["name"] == "wheel-a").update(version="9"),
        ),
        "lock",
        "the lock and the manifest differ in wheel-a",
    ),
    "another Python in the manifest": (
        lambda folder: edit(folder / "manifest.json", lambda m: m.update(python="3.9.1")),
        "manifest",
        "it says Python 3.9.1",
    ),
    "another digest in the manifest": (
        lambda folder: edit(folder / "manifest.json", lambda m: m["archive"].update(sha256="0" * 64)),
        "manifest",
        "its archive is called",
    ),
    "a need that is not there": (
        lambda folder: edit(folder / "manifest.json", lambda m: m["packages"][0].update(requires=["ghost"])),
        "manifest",
        "packages need ghost",
    ),
    "more members in the manifest": (
        lambda folder: edit(folder / "manifest.json", lambda m: m["archive"].update(members=10**6)),
        "content",
        "the manifest says 1000000",
    ),
    "fewer members in the manifest": (
        lambda folder: edit(folder / "manifest.json", lambda m: m["archive"].update(members=3)),
        "content",
        "has more than the allowed",
    ),
    "another digest in the list of files": (
        with_files(other_digest),
        "content",
        DIFFERS,
    ),
    "fewer files in their list": (with_files(fewer_files), "content", DIFFERS),
    "something requested that cannot be imported": (
        lambda folder: edit(folder / "manifest.json", lambda m: m.update(requested=["absent"])),
        "imports",
        "absent was requested but is not in the environment",
    ),
}


def rewritten(desk: Desk, tmp_path: Path, change: Callable[[str, bytes], bytes]) -> Desk:
    """Return a desk whose store has one release: `one` with other contents, and all that is beside it made anew."""
    folder = folder_of(desk, "one")
    was = Manifest.loads((folder / "manifest.json").read_bytes(), "")
    path = tmp_path / "changed.tar.gz"
    digests: dict[str, str] = {}
    with tarfile.open(folder / was.archive.file) as old, tarfile.open(path, "w:gz") as new:
        for info in old:
            content = old.extractfile(info) if info.isreg() else None
            data = change(info.name, content.read()) if content else b""
            digests[info.name] = digest.of_bytes(data)[:16]
            new.addfile(info, io.BytesIO(data) if content else None)
    sha256 = digest.of_file(path)
    archive = replace(was.archive, sha256=sha256, size=path.stat().st_size, file=f"one-{sha256[:16]}.tar.gz")
    files = [
        file if file.content.startswith("->") else file._replace(content=digests[file.path])
        for file in file_list.loads((folder / file_list.FILE).read_bytes(), "")
    ]
    beside = {"one.lock": (folder / "one.lock").read_bytes(), file_list.FILE: file_list.dumps(files)}
    shutil.rmtree(desk.store)
    publish(open_store(str(desk.store)), replace(was, archive=archive), path, beside)
    return desk


def swapped(name: str, data: bytes) -> bytes:
    """Return a module of the wheel with two letters in another order, and every other file as it is."""
    return data.replace(b"VERSION", b"VERSOIN") if name.endswith("wheel_a.py") else data


def relabelled(name: str, data: bytes) -> bytes:
    """Return conda's record of greeter with another digest of its module, and every other file as it is."""
    if not name.startswith("conda-meta/greeter"):
        return data
    return re.sub(rb'(greeter.py",\s+"path_type": "hardlink",\s+"sha256": ")(.{8})', rb"\g<1>00000000", data)


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (swapped, "wheel_a-1.dist-info/RECORD is false of lib/python"),
        pytest.param(relabelled, "conda-meta/greeter-2.0-", marks=pytest.mark.acceptance),
    ],
    ids=["a wheel's RECORD", "a record of conda's"],
)
def test_a_record_that_is_false_is_found_though_all_else_agrees(
    desk: Desk, tmp_path: Path, change: Callable[[str, bytes], bytes], words: str
) -> None:
    ran = rewritten(desk, tmp_path, change).run("verify", "--all", "--quick", "--output", "json")
    assert ran.code == 7, ran.out
    (one,) = ran.json()["releases"]
    problems = {each["name"]: each["problem"] for each in one["checks"] if each["problem"]}
    assert words in problems.pop("content")
    assert problems == {}


@pytest.mark.acceptance
def test_what_is_rewritten_without_a_change_is_sound(desk: Desk, tmp_path: Path) -> None:
    ran = rewritten(desk, tmp_path, lambda _, data: data).run("verify", "--all", "--quick")
    assert ran.code == 0, ran.out


@pytest.mark.acceptance
def test_two_wheels_that_bring_one_file_leave_records_that_are_true(
    channel: Channel, warm_cache: Path, tmp_path: Path
) -> None:
    desk = desk_at(tmp_path / "two", channel, warm_cache)
    for name in ("aa", "bb"):
        files = {
            f"{name}.py": "X = 1\n",
            "both/data.txt": f"of {name}\n",
            f"{name}-1.data/scripts/tool": "#!python\n",
        }
        write_wheel(desk.home, name, "1", files=files, scripts={"start": "aa:main"})
    pip = "- pip: ['--no-index', '--find-links .', aa, bb]"
    desk.write("r.yml", "dependencies:", "- greeter", "- placed", "- activated", pip)
    for kind in ("tar.gz", "zip"):
        desk.build("r.yml", "--no-verify", "--format", kind)
    ran = desk.run("verify", "--all", "--quick")
    assert ran.code == 0, ran.out


@pytest.mark.parametrize("harm", HARM)
def test_what_is_wrong_is_found_and_the_next_release_is_checked_all_the_same(desk: Desk, harm: str) -> None:
    spoil, name, words = HARM[harm]
    spoil(folder_of(desk, "one"))
    ran = desk.run("verify", "--all", "--output", "json", *([] if name == "imports" else ["--quick"]))
    assert ran.code == 7
    rows = check(ran.json(), "verify")["releases"]
    one, two = (next(row for row in rows if row["reference"].startswith(f"{each}@")) for each in ("one", "two"))
    problems = {each["name"]: each["problem"] for each in one["checks"] if each["problem"]}
    assert words in problems[name], problems
    assert two["sound"]


BESIDE = ("one.lock", keys.FILES, keys.SBOM, keys.PIECES, keys.PIECE_FACTS)


@pytest.mark.parametrize("harm", [flip, Path.unlink])
@pytest.mark.parametrize("name", BESIDE)
def test_whatever_lies_beside_a_release_is_found_when_it_is_altered(
    desk: Desk, name: str, harm: Callable[[Path], object]
) -> None:
    harm(folder_of(desk, "one") / name)
    ran = desk.run("verify", "--all", "one", "--quick")
    assert ran.code == 7
    assert f"{name}: not there, or not what was published" in ran.out


def test_nothing_else_lies_beside_a_release(original: Desk) -> None:
    folder = folder_of(original, "one")
    archive = next(folder.glob("*.tar.gz")).name
    assert {path.name for path in folder.iterdir()} == {*BESIDE, keys.MANIFEST, archive}


def test_a_list_of_files_that_was_altered_is_not_read(desk: Desk) -> None:
    flip(folder_of(desk, "one") / keys.FILES)
    ran = desk.run("diff", "one", "two", "--files")
    assert ran.code == 2
    assert "files.json.gz differs from what was published" in ran.err


def test_a_manifest_that_cannot_be_read_and_a_tag_that_leads_nowhere_are_rows_of_their_own(desk: Desk) -> None:
    (folder_of(desk, "one") / "manifest.json").write_text("{}")
    edit(desk.store / "two/tags/latest.json", lambda tag: tag.update(digest="0" * 64))
    ran = desk.run("verify", "--all", "--quick")
    assert ran.code == 7
    rows = {line.split()[1]: line for line in ran.out.splitlines()}
    assert [line.split()[0] for line in ran.out.splitlines()] == ["bad", "sound", "bad"]
    assert "is not a manifest" in next(line for reference, line in rows.items() if reference.startswith("one@"))
    assert f"it points at two@{'0' * 16}, which is not there" in rows["two:latest"]
    assert "3 checked, 2 of them bad" in ran.err


def test_all_can_be_kept_to_one_name(original: Desk) -> None:
    ran = original.run("verify", "--all", "two", "--quick")
    assert ran.code == 0
    assert [line.split()[1].partition("@")[0] for line in ran.out.splitlines()] == ["two"]


def test_which_release_is_asked(original: Desk) -> None:
    ran = original.run("verify")
    assert ran.code == 2
    assert "no release was given" in ran.err
