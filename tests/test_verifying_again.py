"""Verification looks at what is new, and finds what it would have found by looking at all of it."""

from __future__ import annotations

import errno
import os
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpack import verify
from envpack.archive.composing import Laid
from envpack.archive.members import Entry
from envpack.archive.packing import pack
from envpack.archive.pieces import Facts
from envpack.archive.unpack import unpack
from envpack.build import pipeline
from envpack.config.config import load
from envpack.progress import Lines, Step
from envpack.verify import earlier
from envpack.verify.earlier import Content, Imported, Records, SeenPiece, VerificationRecord
from envpack.verify.stand import Stand
from tests.support.command import Desk, copy_of, desk_at
from tests.support.projects import write_source
from tests.support.wheels import write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.channel import Channel
    from tests.support.command import Ran

OLD_MODULE = """
import base
from importlib.metadata import entry_points
try:
    import extra
except ImportError:
    pass
else:
    extra.promise()
for plugin in entry_points(group="old.plugins"):
    plugin.load()
"""

BROKEN = "raise RuntimeError('broken on purpose')\n"

VERIFICATION_FAILED = 7


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, channel: Channel, seed: Path) -> Desk:
    """An environment that was built and published."""
    home = tmp_path_factory.mktemp("built")
    desk = desk_at(home / "desk", channel, copy_of(seed, home / "cache"))
    shelf = desk.home / "shelf"
    shelf.mkdir()
    write_wheel(shelf, "old", "1.0", files={"old.py": OLD_MODULE}, requires=["base"])
    write_wheel(shelf, "base", "1.0")
    write_wheel(shelf, "base", "2.0", files={"base.py": BROKEN})
    write_wheel(shelf, "fine", "1.0")
    write_wheel(shelf, "wrong", "1.0", files={"wrong.py": BROKEN})
    write_wheel(shelf, "extra", "1.0", files={"extra.py": ""})
    plugin = {"plugin.py": "", "plugin-1.0.dist-info/entry_points.txt": "[old.plugins]\none = plugin:nowhere\n"}
    write_wheel(shelf, "plugin", "1.0", files=plugin)
    write_wheel(shelf, "starter", "1.0", files={"starter.py": "", "starter.pth": "import sys; sys.exit(3)\n"})
    write_wheel(shelf, "pair", "1.0", files={"pair.py": "", "spare.py": BROKEN})
    write_wheel(shelf, "lonely", "1.0", files={"lonely.py": "import nowhere_to_be_found\n"})
    requirements(desk, "old", "base==1.0")
    desk.build("r.txt")
    return desk


@pytest.fixture
def desk(built: Desk, channel: Channel, tmp_path: Path) -> Desk:
    """A copy of it, which may be changed."""
    copy = desk_at(tmp_path / "desk", channel, copy_of(built.cache, tmp_path / "cache"))
    for name in ("shelf", "r.txt", "r.txt.lock", built.store.name):
        source = built.home / name
        if source.is_dir():
            shutil.copytree(source, copy.home / name, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy(source, copy.home / name)
    return copy


def requirements(desk: Desk, *lines: str) -> None:
    desk.write("r.txt", "--no-index", "--find-links shelf", *lines)


def verified(ran: Ran) -> str:
    """Return what a build says of its verification."""
    (line,) = [line for line in ran.err.splitlines() if line.startswith("verify ")]
    return line


def test_what_is_new_is_imported_and_the_rest_is_as_it_was_found_before(desk: Desk) -> None:
    requirements(desk, "old", "base==1.0", "fine")
    ran = desk.run_as_ordinary_user("build", "r.txt")
    assert ran.code == 0, ran.err
    assert "1 module imported, 2 as before in r@" in verified(ran)


slow = partial(pytest.param, marks=pytest.mark.acceptance)
"""Of one kind with others that are quick enough."""


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        slow(("old", "base==1.0", "wrong"), "wrong cannot be imported: RuntimeError: broken on purpose"),
        (("old", "base==2.0"), "old cannot be imported: RuntimeError: broken on purpose"),
        (("old", "base==1.0", "extra"), "old cannot be imported: AttributeError"),
        slow(("old", "base==1.0", "plugin"), "old cannot be imported: AttributeError"),
        slow(("old", "base==1.0", "lonely"), "No module named 'nowhere_to_be_found'"),
        slow(("old", "base==1.0", "starter"), "bin/python does not start"),
    ],
    ids=["new", "a dependency", "what was missing", "a plugin", "incomplete", "the start"],
)
def test_what_a_change_breaks_is_not_published(desk: Desk, lines: tuple[str, ...], told: str) -> None:
    requirements(desk, *lines)
    ran = desk.run("build", "r.txt")
    assert ran.code == VERIFICATION_FAILED, ran.err
    assert told in ran.err
    assert len(desk.releases()) == 1


def damage_a_note(desk: Desk) -> None:
    for path in desk.cache.glob("verified/**/*.json"):
        path.write_bytes(path.read_bytes()[:-1])


def forget(desk: Desk) -> None:
    shutil.rmtree(desk.cache / "verified")


def test_the_first_change_of_a_project_imports_nothing_but_the_project(
    desk: Desk, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "cores", lambda: 1)
    project = write_source(desk.home / "features", "features")
    requirements(desk, "old", "base==1.0", "fine", "features @ ./features")
    given = {"channels": (channel.url,), "glibc": channel.glibc, "cache_dir": str(desk.cache)}
    told: list[str] = []
    for text in ("import fine\n", "import fine\nCHANGED = True\n"):
        (project / "features.py").write_text(text)
        config = load({**given, "store": str(desk.store)}, {}, desk.home)
        pipeline.build(desk.home / "r.txt", config=config, progress=Lines(told.append))
    first, second = [line for line in told if line.startswith("verify ")]
    assert "2 modules imported, 2 as before in r@" in first
    assert "1 module imported, 3 as before in r@" in second


@pytest.mark.acceptance
@pytest.mark.parametrize("lose", [damage_a_note, forget])
def test_without_notes_all_is_looked_at(desk: Desk, lose: Callable[[Desk], None]) -> None:
    lose(desk)
    requirements(desk, "old", "base==1.0", "fine")
    ran = desk.run("build", "r.txt")
    assert ran.code == 0, ran.err
    assert verified(ran).endswith("3 modules imported")


def test_an_empty_machine_takes_over_what_the_release_was_found_to_be(
    desk: Desk, channel: Channel, seed: Path, tmp_path: Path
) -> None:
    empty = desk_at(desk.home, channel, copy_of(seed, tmp_path / "another cache"))
    requirements(empty, "old", "base==1.0", "fine")
    ran = empty.run("build", "r.txt")
    assert ran.code == 0, ran.err
    assert "1 module imported, 2 as before in r@" in verified(ran)


@pytest.mark.acceptance
def test_what_is_published_of_a_verification_tells_neither_of_processes_nor_of_what_was_known(
    desk: Desk, channel: Channel, seed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (write_source(desk.home / "features", "features") / "features.py").write_text("import fine\n")
    requirements(desk, "old", "base==1.0", "fine", "features @ ./features")
    ways = {1: copy_of(seed, tmp_path / "one"), 3: copy_of(seed, tmp_path / "three"), 2: desk.cache}
    published = []
    for processes, cache in ways.items():
        monkeypatch.setattr(verify, "cores", lambda processes=processes: processes)
        store = desk.home / f"store {processes}"
        given = {"channels": (channel.url,), "glibc": channel.glibc, "cache_dir": str(cache), "store": str(store)}
        pipeline.build(desk.home / "r.txt", config=load(given, {}, desk.home))
        (release,) = store.glob("r/*/manifest.json")
        beside = {path.name: path.read_bytes() for path in release.parent.iterdir() if path != release}
        published.append({name: data for name, data in beside.items() if "lock" not in name})
    assert "verification.json.gz" in published[0]
    assert published[0] == published[1] == published[2]


@pytest.mark.acceptance
def test_what_a_release_was_found_to_be_is_believed_only_as_its_manifest_has_it(
    desk: Desk, channel: Channel, seed: Path, tmp_path: Path
) -> None:
    (record,) = desk.store.glob("r/*/verification.json.gz")
    record.write_bytes(record.read_bytes()[:-1] + b"x")
    empty = desk_at(desk.home, channel, copy_of(seed, tmp_path / "another cache"))
    requirements(empty, "old", "base==1.0", "fine")
    ran = empty.run("build", "r.txt")
    assert ran.code == 0, ran.err
    assert verified(ran).endswith("3 modules imported")


@pytest.mark.acceptance
def test_a_failed_import_is_tried_again_though_it_was_only_a_note(desk: Desk) -> None:
    requirements(desk, "old", "base==1.0", "pair")
    first = desk.run("build", "r.txt")
    requirements(desk, "old", "base==1.0", "pair", "fine")
    second = desk.run("build", "r.txt")
    assert "1 module imported, 3 as before in r@" in verified(second)
    for ran in (first, second):
        assert "spare (of pair) cannot be imported: RuntimeError: broken on purpose" in ran.err


@pytest.mark.acceptance
def test_an_empty_machine_imports_of_a_changed_project_nothing_but_the_project(
    desk: Desk, channel: Channel, seed: Path, tmp_path: Path
) -> None:
    project = write_source(desk.home / "features", "features")
    (project / "features.py").write_text("import fine\n")
    requirements(desk, "old", "base==1.0", "fine", "features @ ./features")
    desk.build("r.txt")
    (project / "features.py").write_text("import fine\nCHANGED = True\n")
    ran = desk_at(desk.home, channel, copy_of(seed, tmp_path / "another cache")).run("build", "r.txt")
    assert "1 module imported, 3 as before in r@" in verified(ran)


def test_what_is_published_has_apart_what_does_not_depend_on_a_project() -> None:
    a, features = {"pypi/a": "a" * 64}, {"pypi/features": "f" * 64}
    imports = (
        Imported(modules=("features",), owners={**a, **features}, release="x@1"),
        Imported(modules=("a",), owners=a, release="x@1"),
    )
    record = VerificationRecord(start="0" * 64, imports=imports, pieces={})
    stored = earlier.RECORD.loads(earlier.dump(record, "x@2", {"pypi/features"}), "a record")
    assert [(each.modules, each.owners) for each in stored.imports] == [
        (("a",), a),
        (("a", "features"), {**a, **features}),
    ]
    alone = VerificationRecord(start="0" * 64, imports=imports[1:], pieces={})
    assert len(earlier.RECORD.loads(earlier.dump(alone, "x@2"), "a record").imports) == 1


def record(*, start: str = "a" * 64, piece: str = "b" * 64) -> VerificationRecord:
    imports = Imported(modules=("a",), owners={}, release="a@1")
    return VerificationRecord(start=start, imports=(imports,), pieces={piece: SeenPiece()})


def test_a_damaged_note_is_written_again(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.keep(record())
    for path in tmp_path.rglob("*.json"):
        path.write_bytes(path.read_bytes()[:-1])
    assert (records.seen("b" * 64), records.imports("a" * 64)) == (None, ())
    records.keep(record())
    assert records.seen("b" * 64) == SeenPiece()
    assert records.imports("a" * 64) == record().imports


def test_notes_that_were_not_used_for_long_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(tmp_path)
    for digit in "0123":
        records.keep(record(start=digit * 64, piece=digit * 64), archive=digit * 64)
    for path in tmp_path.rglob("*.json"):
        os.utime(path, (1, 1))
    assert records.imports("1" * 64), "is used now"
    assert records.seen("1" * 64)
    assert records.of_archive("1" * 64)
    monkeypatch.setattr(earlier, "_LIMIT", 1)
    records.keep(record(start="4" * 64, piece="4" * 64))
    left = {digit for digit in "01234" if records.imports(digit * 64) and records.seen(digit * 64)}
    assert left == {"1", "4"}
    assert [digit for digit in "0123" if records.of_archive(digit * 64)] == ["1"]


def test_what_no_process_has_loaded_before_is_compared_by_its_size_and_when_it_is_loaded(
    channel: Channel, tmp_path: Path
) -> None:
    channel.link(tmp_path / "prefix", "python")
    packed = pack(tmp_path / "prefix", tmp_path / "e.tar.gz")
    content = Content(packed.pieces)
    unpack(packed.path, tmp_path / "environment")
    sizes = {
        path: entry.size
        for path, entry in content.entries.items()
        if path.startswith("lib/") and path.endswith(".py")
    }
    expected, unexpected, cut, untouched = sorted(path for path, size in sizes.items() if size)[:4]
    for path in (expected, unexpected, cut):
        file = tmp_path / "environment" / path
        file.write_bytes((b"\0" + file.read_bytes()[1:])[: -1 if path == cut else None])
    stand = Stand(packed.path, content, tmp_path / "environment", Step())
    assert stand.make_exact({content.owners[expected]}, {expected}) == []
    assert stand.is_exact([expected, cut, untouched])
    assert not stand.is_exact([unexpected])


def test_files_below_a_directory_that_was_made_unreadable_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = tuple(
        Entry(path=f"data/{name}/rows.bin", kind="file", size=4, link="", executable=False) for name in "ab"
    )
    facts = Facts(owner="conda/data", length=1, sha256="0" * 64, size=1, entries=entries)
    for entry in entries:
        (tmp_path / entry.path).parent.mkdir(parents=True)
        (tmp_path / entry.path).write_bytes(b"rows")
    laid = Laid(facts=facts, start=0, key=None, reused=True)
    stand = Stand(tmp_path / "env.tar.gz", Content([laid]), tmp_path, Step())
    stand.close()
    assert stand.gone() == []
    scandir = os.scandir

    def scandir_of_no_root(path: str) -> Iterator[os.DirEntry[str]]:
        if not Path(path).stat().st_mode & 0o400:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", scandir_of_no_root)
    (tmp_path / "data" / "a").chmod(0)
    assert stand.gone() == ["data/a/rows.bin"]
    (tmp_path / "data" / "a").chmod(0o755)
