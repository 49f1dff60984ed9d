"""An archive made of kept pieces is the archive that is made without them."""

from __future__ import annotations

import json
import marshal
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envpack import digest
from envpack.archive import guard, plan, selection
from envpack.archive.bytecode import Compiler
from envpack.archive.fingerprint import fingerprint
from envpack.archive.formats import FORMATS
from envpack.archive.packing import assemble, pack
from envpack.archive.pieces import Kept, Pieces
from envpack.errors import PackingFailed
from tests.support.archives import first_difference, members
from tests.support.laid_prefix import Package, lay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envpack.archive.formats import FormatName
    from envpack.archive.packing import Packed
    from envpack.archive.selection import Listing, PrefixContent
    from tests.support.channel import Channel
    from tests.support.command import Desk

LIMIT = 1 << 30

every_format = pytest.mark.parametrize("kind", FORMATS)

# --- any set of packages ----------------------------------------------------------------------------------------


Both = tuple[list[Package], list[Package]]

NAMES = ("alpha", "beta", "gamma", "delta")

CONTENT = st.one_of(
    st.binary(max_size=600),
    st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 9), st.integers(0, 3 << 20)),
    st.builds(lambda word, times: word * times, st.binary(min_size=1, max_size=9), st.integers(0, 300_000)),
)

FILE_NAMES = st.sampled_from(
    ["a", "b.txt", "c.py", "deep/er/d.so", "mit leer zeichen", "ümlaut", "long" * 40, "n" * 120 + "/x"]
)


@st.composite
def package(draw: st.DrawFn, name: str) -> Package:
    own = {f"share/{name}/{path}": draw(CONTENT) for path in draw(st.sets(FILE_NAMES, max_size=4))}
    shared = {f"share/common/{path}": draw(CONTENT) for path in draw(st.sets(st.sampled_from("xyz"), max_size=2))}
    tools = {f"bin/{name}-tool": b"#!/usr/bin/env python\nprint(1)\n"} if draw(st.booleans()) else {}
    files = {**own, **shared, **tools}
    links = {}
    targets = [path.removeprefix(f"share/{name}/") for path in own]
    if draw(st.booleans()) and targets:
        links[f"share/{name}/link"] = draw(st.sampled_from(targets))
    if draw(st.booleans()):
        other = draw(st.sampled_from(NAMES))
        links[f"share/{name}/elsewhere"] = draw(st.sampled_from([f"../{other}/a", f"../{other}"]))
    return Package(
        name,
        files,
        {path: target for path, target in links.items() if target != f"../{name}"},
        (f"share/{name}/empty",) if draw(st.booleans()) else (),
        prefixed=draw(st.booleans()),
    )


@st.composite
def environments(draw: st.DrawFn) -> list[Package]:
    chosen = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    return [draw(package(name)) for name in chosen]


def kept(pieces: Pieces, packages: Sequence[Package]) -> Kept:
    identities = {f"conda/{package.name}": package.identity for package in packages}
    return Kept(pieces=pieces, identify=lambda _: identities)


def refused(prefix: Path, out: Path, kind: FormatName) -> bool:
    """Say whether the plain writer refuses a prefix: links in a circle, a directory in itself."""
    try:
        pack(prefix, out, format=kind)
    except PackingFailed:
        return True
    return False


ANY = given(both=st.tuples(environments(), environments()), order=st.randoms(), gone=st.sets(st.integers(0, 9)))


@every_format
def test_any_packages_in_any_order_with_any_pieces_kept_give_the_bytes_of_the_plain_writer(
    kind: FormatName, tmp_path: Path
) -> None:
    @settings(max_examples=8 if kind == "tar.gz" else 3, deadline=None)
    @ANY
    def check(both: Both, order: random.Random, gone: set[int]) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as home:
            assert_same_bytes(both, order, gone, kind, Path(home))

    check()


@pytest.mark.acceptance
@every_format
def test_many_packages_in_any_order_give_the_bytes_of_the_plain_writer(kind: FormatName, tmp_path: Path) -> None:
    @settings(max_examples=150, deadline=None)
    @ANY
    def check(both: Both, order: random.Random, gone: set[int]) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as home:
            assert_same_bytes(both, order, gone, kind, Path(home))

    check()


def assert_same_bytes(both: Both, order: random.Random, gone: set[int], kind: FormatName, home: Path) -> None:
    """Pack two environments one after another with one cache, and each without, in an empty directory."""
    first, second = both
    pieces = Pieces(home / "pieces", limit=LIMIT)
    # Another environment was packed before, which leaves pieces of packages that this one has too.
    lay(home / "one", first)
    if not refused(home / "one", home / f"one.{kind}", kind):
        pack(home / "one", home / f"kept.{kind}", format=kind, kept=kept(pieces, first))
        assert first_difference(home / f"one.{kind}", home / f"kept.{kind}") is None
    shared = {package.name: package for package in first}
    mixed = [shared.get(package.name, package) if order.random() < 0.7 else package for package in second]
    lay(home / "other", mixed)
    if refused(home / "other", home / f"plain.{kind}", kind):
        return
    for number, piece in enumerate(sorted((home / "pieces").glob("??/*"))):
        if number in gone:
            piece.unlink()
    for attempt in ("some", "all"):
        out = home / f"{attempt}.{kind}"
        made = pack(home / "other", out, format=kind, kept=kept(pieces, mixed), threads=order.randint(1, 4))
        assert first_difference(home / f"plain.{kind}", out) is None
        assert_facts(made, out)
    keys = [piece.key for piece in made.pieces]
    again = assemble([key for key in keys if key], pieces, home / f"again.{kind}", format=kind)
    assert again
    assert again.sha256 == made.sha256
    assert_round_trip(home / f"again.{kind}", home / "tree")


def assert_facts(packed: Packed, path: Path) -> None:
    """What is told of an archive is what it is, and its pieces lie where they are said to."""
    data = path.read_bytes()
    held = members(path)
    assert packed.sha256 == digest.of_bytes(data)
    assert packed.size == len(data)
    assert packed.members == len(held)
    assert packed.unpacked_size == sum(len(content) for _, content in held.values())
    for piece in packed.pieces:
        end = piece.start + piece.facts.length
        assert digest.of_bytes(data[piece.start : end]) == piece.facts.sha256


def assert_round_trip(archive: Path, tree: Path) -> None:
    """The system's own tools, or Python's where it has none, read the archive and unpack just what it holds."""
    tree.mkdir()
    if archive.suffix == ".zip" and shutil.which("unzip"):
        subprocess.run(["unzip", "-q", archive, "-d", tree], check=True)
    elif archive.suffix == ".zip":
        subprocess.run([sys.executable, "-m", "zipfile", "-e", archive, tree], check=True)
    else:
        if archive.suffix == ".gz":
            subprocess.run(["gzip", "-t", archive], check=True)
        subprocess.run(["tar", "-xf", archive, "-C", tree], check=True)
    for path, (_, content) in members(archive).items():
        there = tree / path
        if there.is_symlink() or there.is_dir():
            continue
        assert there.read_bytes() == content


# --- a real environment -----------------------------------------------------------------------------------------


PACKAGES = ("linked", "activated", "clobber-a", "clobber-b")


@pytest.fixture
def prefix(tmp_path: Path, channel: Channel) -> Path:
    """Real packages: links, two with one file, scripts. There is no Python, which takes long to pack."""
    made = tmp_path / "prefix"
    channel.link(made, *PACKAGES, "scripted", cache=tmp_path / "pk")
    return made


@pytest.fixture
def with_python(tmp_path: Path, channel: Channel) -> Path:
    """The same with Python, and with placeholders."""
    made = tmp_path / "with python"
    channel.link(made, *PACKAGES, "greeter", "placed", cache=tmp_path / "pk")
    return made


def owners(prefix: Path) -> dict[str, str]:
    records = [json.loads(path.read_text()) for path in prefix.glob("conda-meta/*.json")]
    return {f"conda/{record['name']}": str(record["sha256"]) for record in records}


def keeping(pieces: Pieces, identities: Mapping[str, str]) -> Kept:
    return Kept(pieces=pieces, identify=lambda _: identities)


def compiler(prefix: Path) -> Compiler:
    return Compiler(python=prefix / "bin/python", into=prefix)


@pytest.mark.parametrize(
    "kind", [kind if kind == "tar.gz" else pytest.param(kind, marks=pytest.mark.acceptance) for kind in FORMATS]
)
def test_only_what_no_piece_has_is_compiled_and_compressed(
    with_python: Path, tmp_path: Path, channel: Channel, kind: FormatName
) -> None:
    pieces = Pieces(tmp_path / "pieces", limit=LIMIT)
    identities = owners(with_python)
    kept = keeping(pieces, identities)
    first = pack(with_python, tmp_path / f"1.{kind}", format=kind, compiler=compiler(with_python), kept=kept)
    for cached in with_python.rglob("__pycache__"):
        shutil.rmtree(cached)
    changed = keeping(pieces, {**identities, "conda/greeter": "another"})
    second = pack(with_python, tmp_path / f"2.{kind}", format=kind, compiler=compiler(with_python), kept=changed)
    assert first_difference(tmp_path / f"1.{kind}", tmp_path / f"2.{kind}") is None
    compiled = {path.name.split(".")[0] for path in with_python.rglob("*.pyc")}
    if kind == "tar.gz":
        assert compiled == {"greeter", guard.MODULE}
    shared = {piece.key for piece in first.pieces} & {piece.key for piece in second.pieces}
    assert len(first.pieces) - len(shared) == 1


def test_a_damaged_piece_is_made_again_and_never_shipped(prefix: Path, tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "pieces", limit=LIMIT)
    kept = keeping(pieces, owners(prefix))
    first = pack(prefix, tmp_path / "1.tar.gz", kept=kept)
    for path in sorted((tmp_path / "pieces").glob("??/*")):
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.write_bytes(data)
        second = pack(prefix, tmp_path / "2.tar.gz", kept=kept)
        assert second.sha256 == first.sha256
        path.write_bytes(path.read_bytes()[:-40])
        assert assemble([str(piece.key) for piece in first.pieces], pieces, tmp_path / "3.tar.gz") is None
        assert pack(prefix, tmp_path / "2.tar.gz", kept=kept).sha256 == first.sha256


def test_however_many_pieces_are_damaged_the_archive_is_right(prefix: Path, tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "pieces", limit=LIMIT)
    kept = keeping(pieces, owners(prefix))
    first = pack(prefix, tmp_path / "1.tar.gz", kept=kept)
    keys = [str(piece.key) for piece in first.pieces]
    for path in (tmp_path / "pieces").glob("??/*"):
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert set(pieces.find(keys)) == set(keys)
    assert assemble(keys, pieces, tmp_path / "2.tar.gz") is None
    assert not (tmp_path / "2.tar.gz").exists()
    assert pack(prefix, tmp_path / "2.tar.gz", kept=kept).sha256 == first.sha256


def test_a_piece_of_other_options_is_not_taken(prefix: Path, tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "pieces", limit=LIMIT)
    kept = keeping(pieces, owners(prefix))
    for level in (2, 9):
        made = pack(prefix, tmp_path / f"{level}.tar.gz", level=level, kept=kept)
        assert made.sha256 == pack(prefix, tmp_path / "plain.tar.gz", level=level).sha256


def test_a_cache_that_cannot_be_written_costs_only_time(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "pieces").write_text("a file where the directory should be")
    kept = keeping(Pieces(tmp_path / "pieces", limit=LIMIT), owners(prefix))
    made = pack(prefix, tmp_path / "1.tar.gz", kept=kept)
    assert made.sha256 == pack(prefix, tmp_path / "2.tar.gz").sha256


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "pieces", limit=LIMIT)
    packages = [Package(name, {f"share/{name}": random.Random(name).randbytes(100_000)}) for name in NAMES]
    lay(tmp_path / "prefix", packages)
    made = pack(tmp_path / "prefix", tmp_path / "1.tar.gz", kept=kept(pieces, packages))
    by_owner = {piece.facts.entries[-1].path.split("/")[-1]: piece.key for piece in made.pieces}
    day = 86400
    for age, name in enumerate(NAMES, start=1):
        key = str(by_owner[name])
        os.utime(tmp_path / "pieces" / key[:2] / key, (time.time() - age * day,) * 2)
    small = Pieces(tmp_path / "pieces", limit=250_000)
    small.shrink()
    left = [name for name in NAMES if small.find([str(by_owner[name])])]
    assert left == ["alpha", "beta"]


def test_what_was_used_within_the_hour_stays_whatever_the_limit(prefix: Path, tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "pieces", limit=1)
    made = pack(prefix, tmp_path / "1.tar.gz", kept=keeping(pieces, owners(prefix)))
    assert len(pieces.find([str(piece.key) for piece in made.pieces])) == len(made.pieces)


def test_many_processes_share_the_pieces(prefix: Path, tmp_path: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path\n"
        "from envpack.archive.packing import pack; from envpack.archive.pieces import Kept, Pieces\n"
        "pieces = Pieces(Path(sys.argv[3]), limit=1 << 30); identities = json.loads(sys.argv[4])\n"
        "kept = Kept(pieces=pieces, identify=lambda _: identities)\n"
        "print([pack(Path(sys.argv[1]), Path(sys.argv[2]), kept=kept).sha256 for _ in range(3)])"
    )

    def run(number: int) -> str:
        out = tmp_path / f"{number}.tar.gz"
        command: list[Any] = [sys.executable, "-c", program, prefix, out, tmp_path / "pieces"]
        return subprocess.run(
            [*command, json.dumps(owners(prefix))], check=True, capture_output=True, text=True
        ).stdout

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(run, range(4)))
    plain = pack(prefix, tmp_path / "plain.tar.gz").sha256
    assert answers == {f"{[plain] * 3}\n"}
    assert not list((tmp_path / "pieces/new").iterdir())


# --- the look of a prefix ---------------------------------------------------------------------------------------


def settled(prefix: Path) -> Any:
    time.sleep(0.15)
    look = fingerprint(prefix)
    assert look
    return look


def test_a_prefix_that_was_not_touched_looks_the_same(prefix: Path) -> None:
    assert settled(prefix).whole == settled(prefix).whole


def test_a_changed_file_shows_even_with_its_old_size_and_time(prefix: Path) -> None:
    before = settled(prefix)
    file = prefix / "share/activated/data.txt"
    status = file.stat()
    copy = file.read_bytes()
    file.unlink()
    file.write_bytes(bytes(reversed(copy)))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert settled(prefix).whole != before.whole


def test_linking_the_same_package_into_another_prefix_is_no_change(prefix: Path, tmp_path: Path) -> None:
    file = prefix / "share/activated/data.txt"
    (tmp_path / "cache").hardlink_to(file)
    before = settled(prefix)
    (tmp_path / "other prefix").hardlink_to(file)
    assert settled(prefix).whole == before.whole


def test_nothing_is_said_of_a_prefix_that_is_being_changed(prefix: Path) -> None:
    (prefix / "share/new").write_text("just now")
    assert fingerprint(prefix) is None


def test_links_and_zip_members_of_other_packages_are_still_right(prefix: Path, tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "pieces", limit=LIMIT)
    kept = keeping(pieces, owners(prefix))
    for _ in range(2):
        pack(prefix, tmp_path / "one.zip", format="zip", kept=kept)
        pack(prefix, tmp_path / "one.tar.gz", kept=kept)
    with zipfile.ZipFile(tmp_path / "one.zip") as file:
        assert file.testzip() is None
        assert file.read("share/linked-inner/inner.txt") == b"inner\n"
    with tarfile.open(tmp_path / "one.tar.gz") as tar:
        assert tar.getmember("share/linked-inner").linkname == "linked/inner"


# --- an environment of whatever origin --------------------------------------------------------------------------


def test_an_environment_that_was_packed_before_is_not_read_again(
    desk: Desk, with_python: Path, tmp_path: Path
) -> None:
    def packed() -> tuple[Any, str]:
        time.sleep(0.15)
        ran = desk.run("pack", str(with_python), str(tmp_path / "out.tar.gz"), "--force", "--output", "json")
        assert ran.code == 0, ran.err
        return ran.json(), ran.err

    first, told = packed()
    assert "packages packed before" not in told
    again, told = packed()
    assert again == first
    assert "all packed before" in told
    assert "compile" not in told
    data = with_python / "share/activated/data.txt"
    data.unlink()
    data.write_text("edited\n")
    edited, told = packed()
    assert "6 of 7 packages packed before" in told
    assert members(tmp_path / "out.tar.gz")["share/activated/data.txt"][1] == b"edited\n"
    desk.forget_pieces()
    anew, _ = packed()
    assert anew["sha256"] == edited["sha256"] != first["sha256"]


@every_format
def test_a_link_that_led_nowhere_leads_to_what_another_package_brings(tmp_path: Path, kind: FormatName) -> None:
    pieces = Pieces(tmp_path / "pieces", limit=LIMIT)
    linking = Package("gamma", {"share/gamma/own": b"own"}, {"share/gamma/elsewhere": "../alpha/a"})
    linked = Package("alpha", {"share/alpha/a": b"a"})
    for number, packages in enumerate([[linking], [linking, linked]]):
        prefix = tmp_path / f"prefix {number}"
        lay(prefix, packages)
        pack(prefix, tmp_path / f"plain.{kind}", format=kind)
        pack(prefix, tmp_path / f"kept.{kind}", format=kind, kept=kept(pieces, packages))
        assert first_difference(tmp_path / f"plain.{kind}", tmp_path / f"kept.{kind}") is None
    assert "share/gamma/elsewhere" in members(tmp_path / f"kept.{kind}")


def without_unneeded(prefix: Path) -> None:
    """Take away half of a library, as if it had never been there: all the others are compiled at each packing."""
    (record,) = (prefix / "conda-meta").glob("python-*.json")
    data = json.loads(record.read_text())
    gone = {path for path in data["files"] if {"asyncio", "email", "multiprocessing"} & set(path.split("/"))}
    data["files"] = [path for path in data["files"] if path not in gone]
    data["paths_data"]["paths"] = [one for one in data["paths_data"]["paths"] if one["_path"] not in gone]
    record.write_text(json.dumps(data))
    for path in gone:
        (prefix / path).unlink()


def test_the_files_are_listed_while_modules_are_compiled(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = threading.Event()

    def listed(content: PrefixContent, *, proven: bool) -> Listing:
        listing.set()
        return selection.listed(content, proven=proven)

    def compile_prefix(*_: object, **__: object) -> int:
        assert listing.wait(60)
        return 0

    pack(prefix, tmp_path / "one after the other.tar.gz")
    monkeypatch.setattr(plan, "listed", listed)
    monkeypatch.setattr(plan, "compile_prefix", compile_prefix)
    pack(prefix, tmp_path / "at once.tar.gz", compiler=Compiler(python=prefix / "bin/python", into=prefix))
    assert not first_difference(tmp_path / "one after the other.tar.gz", tmp_path / "at once.tar.gz")


@pytest.mark.acceptance
def test_the_bytecode_that_a_conda_package_brought_is_read_and_not_compiled(
    with_python: Path, tmp_path: Path
) -> None:
    without_unneeded(with_python)
    module = next((with_python / "lib").glob("python3*/argparse.py"))
    name = subprocess.run(
        [with_python / "bin/python", "-c", f"import py_compile; print(py_compile.compile({str(module)!r}))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    brought, path = Path(name), Path(name).relative_to(with_python).as_posix()
    aside = Compiler(python=with_python / "bin/python", into=tmp_path / "aside")
    aside.into.mkdir()

    def list_it() -> None:
        (record,) = (with_python / "conda-meta").glob("python-*.json")
        data = json.loads(record.read_text())
        data["files"] = [*data["files"], path]
        entry = {"_path": path, "path_type": "hardlink", "sha256": digest.of_file(brought)}
        data["paths_data"]["paths"] = [one for one in data["paths_data"]["paths"] if one["_path"] != path] + [entry]
        record.write_text(json.dumps(data))

    def packed() -> bytes:
        pack(with_python, tmp_path / "1.tar.gz", compiler=aside)
        with tarfile.open(tmp_path / "1.tar.gz") as archive:
            member = archive.extractfile(path)
            assert member
            return member.read()

    by_compiling = packed()
    list_it()
    assert packed() == by_compiling
    other = marshal.dumps(compile("BROUGHT = 'read, not compiled'", "argparse.py", "exec"))
    brought.write_bytes(brought.read_bytes()[:16] + other)
    assert packed() == by_compiling  # it is not the package's any more
    list_it()
    assert b"read, not compiled" in packed()
