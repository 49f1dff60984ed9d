"""`pull` and `run`: a release that was really built, brought to another directory and used there."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envpack import digest, units
from envpack.archive import unpack
from envpack.config.target import Target
from envpack.errors import EnvpackError, UsageError, VerificationFailed
from envpack.files.cache import Cache
from envpack.pull import pull, shared
from envpack.releases import keys, publish
from envpack.releases.keys import archive_file
from envpack.releases.lookup import Release
from envpack.releases.manifest import ArchiveFacts, Manifest
from envpack.stores import open_store
from envpack.stores.base import Store
from envpack.stores.local import LocalStore
from tests.support.archives import Entry, hard_link, link, write_archive
from tests.support.channel import Channel
from tests.support.chosen import quickly
from tests.support.command import Desk, desk_at
from tests.support.s3 import S3Server
from tests.support.schemas import check
from tests.support.umask import UMASKS, umask_of
from tests.support.wheels import write_wheel

TELL = "import os, sys, json; print(json.dumps([sys.executable, sys.argv[1:], dict(os.environ)]))"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, channel: Channel, warm_cache: Path) -> Desk:
    """A desk with one release, `e`, of which an executable, a variable and a module are known."""
    desk = desk_at(tmp_path_factory.mktemp("built") / "a desk", channel, warm_cache)
    shelf = desk.home / "shelf"
    shelf.mkdir()
    write_wheel(
        shelf, "tool", "1", scripts={"tool": "tool:main"}, files={"tool.py": "def main(): print('the tool ran')\n"}
    )
    desk.write(
        "e.yml",
        "name: e",
        "dependencies: [python, greeter, activated, {pip: [--no-index, --find-links shelf, tool]}]",
    )
    desk.build("e.yml", "--no-verify")
    # Whoever is root may write everywhere, and so does Python then for a module without bytecode.
    return replace(desk, environment={**desk.environment, "PYTHONDONTWRITEBYTECODE": "1"})


def run_in(built: Desk, *command: str, **variables: str) -> Any:
    ran = built.run("run", "e", "--", *command, **variables)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_a_pulled_release_runs_where_it_is(built: Desk, tmp_path: Path) -> None:
    there = tmp_path / "some where"
    ran = built.run("pull", "e", str(there))
    assert ran.code == 0, ran.err
    for step in ("download", "unpack"):
        assert step in ran.err
    lines = f"{ran.out}\ntool && python -c 'import sys; print(sys.executable)' && env"
    shell = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True)
    assert shell.stdout.splitlines()[:2] == ["the tool ran", f"{there}/bin/python"]
    assert f"ACTIVATED_HOME={there}/share/activated" in shell.stdout
    assert f"PYSPARK_PYTHON={there}/bin/python" in shell.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["some where"]


def test_what_pull_says_as_json_is_what_it_says_it_is(built: Desk, tmp_path: Path) -> None:
    value = check(built.run("pull", "e:latest", str(tmp_path / "here"), "--output", "json").json(), "pull")
    subprocess.run([value["python"], "-c", "import greeter, tool"], check=True, env=value["env"])


def modes_below(directory: Path) -> set[tuple[bool, int]]:
    """Return every mode in a tree, each with whether it is a directory's."""
    paths = [path for path in (directory, *directory.rglob("*")) if not path.is_symlink()]
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}


@pytest.mark.parametrize("mask", UMASKS)
def test_modes_come_from_the_archive_and_never_from_the_umask(tmp_path: Path, mask: int) -> None:
    entries = [Entry(name="bin/python", data=b"#!", mode=0o755), Entry(name="deep/er/text", data=b"x")]
    archive = write_archive(tmp_path / "e.tar.gz", entries)
    release = published(LocalStore(tmp_path / "store"), archive)
    with umask_of(mask):
        cache = Cache(tmp_path / "cache")
        pull.pull(LocalStore(tmp_path / "store"), release, tmp_path / "there", cache=cache)
        ready = shared.prepare(LocalStore(tmp_path / "store"), release, cache=cache)
    assert modes_below(tmp_path / "there") == {(True, 0o755), (False, 0o755), (False, 0o644)}
    assert modes_below(ready) == {(True, 0o555), (False, 0o555), (False, 0o444)}


def test_a_command_has_the_umask_of_the_person_and_the_caches_are_not_for_all_to_write(
    built: Desk, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    command = built.command("run", "e", "--", "python", "-c", "import os; print(os.umask(0))")
    environ = {**built.environment, "ENVPACK_CACHE_DIR": str(cache)}
    ran = subprocess.run(command, cwd=built.home, env=environ, umask=0, capture_output=True, text=True, check=False)
    assert ran.stdout == "0\n", ran.stderr
    assert cache.is_dir()
    assert not [mode for _, mode in modes_below(cache) if mode & 0o002]


@pytest.mark.parametrize("content", ["a file in it", "a file in its place"])
def test_nothing_is_overwritten_and_nothing_downloaded_first(built: Desk, tmp_path: Path, content: str) -> None:
    there = tmp_path / "there"
    if content == "a file in it":
        there.mkdir()
        (there / "mine").write_text("mine")
    else:
        there.write_text("mine")
    ran = built.run("pull", "e", str(there))
    assert ran.code == 2
    assert "download" not in ran.err
    assert (there / "mine" if there.is_dir() else there).read_text() == "mine"


def test_an_empty_directory_is_filled(built: Desk, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert built.run("pull", "e", str(tmp_path / "there")).code == 0
    assert (tmp_path / "there/bin/python").exists()


def published(store: Store, archive: Path, *, size: int = 1 << 20, members: int = 100, **facts: Any) -> Release:
    """Publish any file as a release, as someone who means ill could; it may hold so many bytes and members."""
    sha256 = digest.of_file(archive)
    format = "zip" if archive.suffix == ".zip" else "tar.gz"
    manifest = Manifest(
        name="evil",
        archive=ArchiveFacts(
            file=archive_file("evil", sha256, format),
            format=format,  # type: ignore[arg-type]
            size=archive.stat().st_size,
            sha256=sha256,
            unpacked_size=size,
            members=members,
        ),
        python="3.11.7",
        target=Target(),
        packages=(),
        created=units.now(),
        **facts,
    )
    release, _ = publish.publish(store, manifest, archive, {})
    return release


OUTSIDE = Path(tempfile.gettempdir(), "envpack-outside")

HOSTILE = {
    "a name that goes up": [Entry(name="../outside", data=b"x")],
    "an absolute name": [Entry(name=str(OUTSIDE), data=b"x")],
    "a link that leads out, and a file behind it": [link("a", "../.."), Entry(name="a/outside", data=b"x")],
    "a link that leads out": [link("passwd", "/etc/passwd")],
    "a link that leads out by way of another": [
        Entry(name="x/y/z/file"),
        link("x/y/z/top", "../../.."),
        link("x/out", "y/z/top/../.."),
    ],
    "a link that stays inside by the name of the tree alone": [link("a", "../tree/bin")],
    "a file behind a link": [link("a", "bin"), Entry(name="a/outside", data=b"x")],
    "a file that is there twice": [Entry(name="a", data=b"x"), Entry(name="a", data=b"y")],
    "a hard link that leads out": [hard_link("a", "../../secret")],
    "a device": [Entry(name="null", type=tarfile.CHRTYPE)],
    "a pipe": [Entry(name="pipe", type=tarfile.FIFOTYPE)],
    "a setuid program": [Entry(name="bin/su", mode=0o4755)],
    "a name that is too long": [Entry(name="a" * 256)],
    "a path that is too long": [Entry(name="a/" * 20_000 + "x")],
    "a link that is too long": [link("a", "b" * 5_000)],
    "a link to nothing": [link("a", "")],
    "a sparse file": [Entry(name="a", type=tarfile.GNUTYPE_SPARSE)],
}


@pytest.mark.parametrize("kind", quickly(["directory", "moto"], "directory"))
@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    tmp_path: Path, entries: list[Entry], kind: str, request: pytest.FixtureRequest
) -> None:
    url = str(tmp_path / "store") if kind == "directory" else request.getfixturevalue("s3_store_url")
    store = open_store(url)
    archive = write_archive(tmp_path / "evil.tar.gz", [*entries, Entry(name="bin/python", data=b"#!", mode=0o755)])
    release = published(store, archive)
    room = tmp_path / "room"
    with pytest.raises(VerificationFailed):
        pull.pull(store, release, room / "deep" / "there", cache=Cache(tmp_path / "cache"))
    assert [path for path in room.rglob("*") if path.name != "deep"] == []
    assert not (tmp_path / "outside").exists()
    assert not OUTSIDE.exists()


def extended(records: dict[bytes, bytes], kind: bytes = b"0", content: bytes = b"") -> bytes:
    """Return a tar whose one member has these records in its extended header (POSIX.1-2001, pax)."""
    lines = b""
    for key, value in records.items():
        line = b" " + key + b"=" + value + b"\n"
        length = len(line) + 1
        while len(str(length)) + len(line) != length:
            length = len(str(length)) + len(line)
        lines += str(length).encode() + line
    return header("x", tarfile.XHDTYPE, lines) + header("f", kind, content) + bytes(1024)


def header(name: str, kind: bytes, content: bytes, size: int | None = None) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size = kind, 0o644, len(content) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


SPARSE = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"1000000000000"}

HEADERS = {
    "a NUL in a name": extended({b"path": b"a\0b"}),
    "a NUL in a link": extended({b"linkpath": b"a\0b"}, tarfile.SYMTYPE),
    "no time": extended({b"mtime": b"nan"}),
    "an endless time": extended({b"mtime": b"inf"}),
    "a far time": extended({b"mtime": b"1e300"}),
    "less than no bytes": extended({b"size": b"-5"}),
    "more bytes than there are": extended({b"size": b"9" * 20}),
    "a deep path": extended({b"path": b"a/" * 20_000 + b"x"}),
    "a sparse file of this time": extended(SPARSE, content=b"1\n0\n1\n" + b"x" * 600),
    "a sparse file of earlier times": extended({b"GNU.sparse.map": b"0,1", b"GNU.sparse.size": b"9" * 12}),
    "an endless header": header("x", tarfile.XHDTYPE, bytes(1 << 21), size=3 << 30),
    "an endless name": header("././@LongLink", tarfile.GNUTYPE_LONGNAME, bytes(1 << 21), size=3 << 30),
    "nothing": b"",
    "noise": b"\xff" * 5_000,
}


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME], ids=repr)
def test_a_long_header_is_refused_by_its_length_alone(tmp_path: Path, kind: bytes) -> None:
    """It is there as a whole, and would be read to memory."""
    archive = tmp_path / "evil.tar.gz"
    archive.write_bytes(gzip.compress(header("././@LongLink", kind, bytes(2 << 20)), 1))
    with pytest.raises(VerificationFailed, match="a header of 2,097,152 bytes"):
        unpack.unpack(archive, tmp_path / "there")


@pytest.mark.parametrize("data", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_nobody_writes_is_refused_in_little_memory(tmp_path: Path, data: bytes) -> None:
    store = LocalStore(tmp_path / "store")
    archive = tmp_path / "evil.tar.gz"
    archive.write_bytes(gzip.compress(data, 1))
    tracemalloc.start()
    with pytest.raises((VerificationFailed, UsageError)):
        pull.pull(store, published(store, archive), tmp_path / "there", cache=Cache(tmp_path / "cache"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 80 << 20, "the reader of gzip has 64 MB"
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
@pytest.mark.parametrize(("size", "members"), [(99, 10), (1000, 1)])
def test_an_archive_that_holds_more_than_its_manifest_says_is_refused(
    tmp_path: Path, suffix: str, size: int, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "_SPARE", 0)
    store = LocalStore(tmp_path / "store")
    entries = [Entry(name=f"{n}", data=b"x" * 20) for n in range(5)]
    archive = write_archive(tmp_path / f"e{suffix}", entries)
    release = published(store, archive, size=size, members=members)
    with pytest.raises(VerificationFailed, match="has more than the allowed"):
        pull.pull(store, release, tmp_path / "there", cache=Cache(tmp_path / "cache"))
    assert not (tmp_path / "there").exists()
    release = published(LocalStore(tmp_path / "honest"), archive, size=100, members=5)
    pull.pull(LocalStore(tmp_path / "honest"), release, tmp_path / "there", cache=Cache(tmp_path / "cache"))


def test_an_archive_that_has_no_room_is_not_begun(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    release = published(store, write_archive(tmp_path / "e.tar.gz", [Entry(name="a")]), size=1 << 52)
    with pytest.raises(UsageError, match="not enough disk space"):
        pull.pull(store, release, tmp_path / "there", cache=Cache(tmp_path / "cache"))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), suffix=st.sampled_from([".tar.gz", ".zip"]))
def test_a_damaged_archive_is_refused_or_unpacked_and_never_a_traceback(data: Any, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        entries = [Entry(name="d/a", data=b"hello" * 50), Entry(name="b", data=b"y")]
        entries += [link("l", "d/a"), hard_link("h", "d/a")] if suffix != ".zip" else []
        archive = write_archive(Path(folder, f"e{suffix}"), entries)
        plain = archive.read_bytes() if suffix == ".zip" else gzip.decompress(archive.read_bytes())
        spoilt = bytearray(plain)
        for place in data.draw(st.lists(st.integers(0, min(len(plain), 3_000) - 1), min_size=1, max_size=5)):
            spoilt[place] = data.draw(st.integers(0, 255))
        if suffix != ".zip":
            for start in range(0, 3_000, 512):  # else nothing but the checksums of headers would be tried
                if spoilt[start + 257 : start + 262] == b"ustar":
                    spoilt[start + 148 : start + 156] = b" " * 8
                    spoilt[start + 148 : start + 156] = b"%06o\0 " % sum(spoilt[start : start + 512])
        archive.write_bytes(bytes(spoilt) if suffix == ".zip" else gzip.compress(bytes(spoilt), 1))
        with suppress(VerificationFailed, UsageError):
            unpack.unpack(archive, Path(folder, "there"), extent=unpack.Extent(size=1 << 20, members=100))


@pytest.mark.parametrize("harm", ["a changed byte", "a byte more"])
def test_an_archive_that_is_not_the_manifests_is_refused_before_it_is_unpacked(tmp_path: Path, harm: str) -> None:
    store = LocalStore(tmp_path / "store")
    release = published(store, write_archive(tmp_path / "e.tar.gz", [Entry(name="a", data=b"x" * 100)]))
    path = tmp_path / "store" / keys.archive_key(release.manifest)
    data = path.read_bytes()
    path.write_bytes(data + b"x" if harm == "a byte more" else data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(
        VerificationFailed, match="not " + ("[0-9]+$" if harm == "a byte more" else "[0-9a-f]{64}$")
    ):
        pull.pull(store, release, tmp_path / "there", cache=Cache(tmp_path / "cache"))
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("what", ["a pipe", "a device"])
def test_an_archive_that_is_no_file_is_not_waited_for(tmp_path: Path, what: str) -> None:
    store = LocalStore(tmp_path / "store")
    release = published(store, write_archive(tmp_path / "e.tar.gz", [Entry(name="a")]))
    path = tmp_path / "store" / keys.archive_key(release.manifest)
    path.unlink()
    if what == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(EnvpackError):
        pull.pull(store, release, tmp_path / "there", cache=Cache(tmp_path / "cache"))
    assert not (tmp_path / "there").exists()


def test_an_archive_of_another_size_is_not_downloaded(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    release = published(store, write_archive(tmp_path / "e.tar.gz", [Entry(name="a")]))
    path = tmp_path / "store" / keys.archive_key(release.manifest)
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # sparse: to copy it would take days
    with pytest.raises(VerificationFailed, match=r"it has 1099511627776 bytes, not \d+"):
        pull.pull(store, release, tmp_path / "there", cache=Cache(tmp_path / "cache"))


def test_an_archive_that_is_gone_is_said(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    release = published(store, write_archive(tmp_path / "e.tar.gz", [Entry(name="a")]))
    store.delete(keys.archive_key(release.manifest))
    with pytest.raises(UsageError, match="does not exist"):
        pull.pull(store, release, tmp_path / "there", cache=Cache(tmp_path / "cache"))


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_pull_that_is_killed_leaves_nothing_that_looks_ready_and_the_next_succeeds(
    built: Desk, tmp_path: Path, number: int
) -> None:
    there = tmp_path / "there"
    pull = built.start("pull", "e", str(there))
    wait_for(lambda: any(path.is_file() and path.name != ".held" for path in tmp_path.glob(".there.part-*/**/*")))
    pull.send_signal(number)
    pull.communicate(timeout=30)
    assert pull.returncode != 0
    assert not there.exists()
    assert built.run("pull", "e", str(there)).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    subprocess.run([there / "bin/python", "-c", "import greeter"], check=True)


def test_a_command_runs_in_a_release_with_its_python_first_and_its_variables(built: Desk) -> None:
    python, arguments, environ = run_in(built, "python", "-c", TELL, "--help", "a b", VIRTUAL_ENV="/nowhere")
    root = Path(python).parent.parent
    assert root.parent == built.cache / "environments"
    assert arguments == ["--help", "a b"]
    assert environ["PATH"].startswith(f"{root}/bin:")
    assert environ["ACTIVATED_HOME"] == f"{root}/share/activated"
    assert environ["PYSPARK_PYTHON"] == environ["PYSPARK_DRIVER_PYTHON"] == python
    assert "VIRTUAL_ENV" not in environ
    assert built.run("run", "e", "tool").out == "the tool ran\n"


def test_a_release_is_pulled_once_and_nobody_can_write_into_it(built: Desk) -> None:
    python, _, _ = run_in(built, "python", "-c", TELL)
    before = Path(python).stat().st_ino
    ran = built.run("run", "e", "--", "python", "-c", TELL)
    assert "download" not in ran.err
    assert Path(json.loads(ran.out)[0]).stat().st_ino == before
    root = Path(python).parent.parent
    assert not [path for path in (root, *root.rglob("*")) if not path.is_symlink() and path.stat().st_mode & 0o222]


def test_with_a_client_launcher_the_driver_is_here_and_the_workers_on_the_cluster(built: Desk) -> None:
    ran = built.run("run", "--launcher", "yarn-client", "e", "--", "python", "-c", TELL)
    assert ran.code == 0, ran.err
    python, _, environ = json.loads(ran.out)
    assert environ["PYSPARK_PYTHON"] == "./environment/bin/python"
    assert environ["PYSPARK_DRIVER_PYTHON"] == python
    assert "#environment" in environ["PYSPARK_SUBMIT_ARGS"]
    assert environ["ACTIVATED_HOME"] == f"{Path(python).parent.parent}/share/activated"
    refused = built.run("run", "--launcher", "yarn-cluster", "e", "--", "python")
    assert refused.code == 2
    assert "does not run on this machine" in refused.err
    assert run_in(built, "python", "-c", TELL, ENVPACK_LAUNCHER="yarn-cluster")[0] == python


def test_exit_codes_and_signals_are_the_commands(built: Desk) -> None:
    assert built.run("run", "e", "--", "python", "-c", "raise SystemExit(41)").code == 41
    script = "import signal, time; signal.signal(15, lambda *_: exit(7)); print('on', flush=True); time.sleep(60)"
    running = built.start("run", "e", "--", "python", "-c", script)
    assert running.stdout is not None
    assert running.stdout.readline() == "on\n"
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 7
    running.communicate()
    assert built.run("run", "e", "--", "bash", "-c", "kill -PIPE $$; echo survived").out == ""


@pytest.mark.parametrize(("command", "reason"), [([], "no command"), (["no-such-program"], "no such command")])
def test_a_command_that_is_none_is_said(built: Desk, command: list[str], reason: str) -> None:
    ran = built.run("run", "e", "--", *command)
    assert ran.code == 2
    assert reason in ran.err


def test_of_many_who_run_a_new_release_at_once_one_pulls_it(built: Desk, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    running = [
        built.start("run", "e", "--", "python", "-c", "import greeter; print('ran')", ENVPACK_CACHE_DIR=cache)
        for _ in range(3)
    ]
    ended = [each.communicate(timeout=240) for each in running]
    assert [out for out, _ in ended] == ["ran\n"] * 3, ended
    assert sum("download" in err for _, err in ended) == 1
    assert len([path for path in (tmp_path / "cache/environments").iterdir() if path.is_dir()]) == 1


def some_releases(store: Store, tmp_path: Path, count: int) -> list[Release]:
    made = []
    for number in range(count):
        archive = write_archive(tmp_path / f"{number}.tar.gz", [Entry(name="a", data=str(number).encode())])
        made.append(published(store, archive))
    return made


def test_the_environments_that_were_not_used_for_longest_make_room_unless_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "KEPT", 2)
    store, cache = LocalStore(tmp_path / "store"), Cache(tmp_path / "cache")
    first, second, third, fourth = some_releases(store, tmp_path, 4)

    def prepare(release: Release, used: float) -> Path:
        """Prepare in another process, which lets go of it, and say when it was last used."""
        script = (
            "import sys; from pathlib import Path; from envpack.pull import shared; "
            "from envpack.releases import references; "
            "from envpack.files.cache import Cache; from envpack.stores import open_store; "
            "shared.KEPT = 2; store = open_store(sys.argv[1]); cache = Cache(Path(sys.argv[3])); "
            "print(shared.prepare(store, references.resolve(store, sys.argv[2]), cache=cache))"
        )
        words = [sys.executable, "-c", script, store.url, release.manifest.reference, str(cache.root)]
        path = Path(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
        os.utime(path.with_name(f".{path.name}.lock"), (used, used))
        return path

    one, two = prepare(first, 1), prepare(second, 2)
    holder = os.open(one.with_name(f".{one.name}.lock"), os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_SH)
    three = prepare(third, 3)
    assert (one.exists(), two.exists(), three.exists()) == (True, True, True), (
        "one is in use, two is among the last"
    )
    os.close(holder)
    four = prepare(fourth, 4)
    assert (one.exists(), two.exists(), three.exists(), four.exists()) == (False, False, True, True)
    assert not list(cache.environments.glob(".removed-*"))


@pytest.mark.acceptance
def test_pulling_from_s3_is_pulling(built: Desk, moto_s3: S3Server, tmp_path: Path) -> None:
    variables = {**moto_s3.variables(), "ENVPACK_STORE": f"s3://{moto_s3.new_bucket()}/envs"}
    on_s3 = replace(built, environment={**built.environment, **variables})
    on_s3.build("e.yml", "--no-verify")
    there = tmp_path / "there"
    uri = on_s3.run("list", "--output", "json").json()["releases"][0]["archive"]["uri"]
    ran = on_s3.run("pull", uri.replace("s3://", "s3a://") + "#environment", str(there))
    assert ran.code == 0, ran.err
    subprocess.run([there / "bin/python", "-c", "import greeter"], check=True)
