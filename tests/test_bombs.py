"""Wheels of an index that are small on the wire and huge on the disk: stopped while they are unpacked."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from envpack.config.target import Target
from envpack.errors import BrokenPackage
from envpack.files import wheel as wheels
from envpack.files.cache import Cache
from envpack.lock.lock import Wheel
from envpack.prefix.link import Login, link_wheels
from envpack.requirements.names import ProjectName
from envpack.tools import uv, uv_bounds, uv_runs
from envpack.tools.uv_access import access
from tests.support.on_disk import on_disk
from tests.support.private import PASSWORD, USER, private_index
from tests.support.wheels import member, write_odd_wheel

MEGABYTE = 1 << 20


@dataclass
class Bench:
    """A shelf of wheels that an index serves, and a prefix to install one of them into."""

    home: Path
    shelf: Path
    host: str

    def install(self, path: Path) -> Path:
        name, version = path.name.split("-")[:2]
        data = path.read_bytes()
        prefix = Path(tempfile.mkdtemp(prefix="prefix-", dir=self.home))
        (prefix / "bin").mkdir(parents=True)
        scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=self.home))
        locked = Wheel(
            name=ProjectName(name),
            version=version,
            url=f"http://{self.host}/files/{path.name}",
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            by_index=True,
        )
        link_wheels(
            [locked],
            prefix,
            python=Path(sys.executable),
            version="3.11.7",
            target=Target(),
            login=Login(indexes=access(index_url=f"http://{USER}:{PASSWORD}@{self.host}/simple")),
            cache=Cache(self.home / "cache"),
            scratch=scratch,
        )
        return prefix / "lib/python3.11/site-packages"

    def left(self) -> list[Path]:
        """Return the large files that are left."""
        return [path for path in self.home.rglob("*") if path.is_file() and path.stat().st_size > MEGABYTE]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in which files take the time that a look needs: in memory, 8,000 are made between two."""
    with on_disk(tmp_path) as directory:
        yield directory


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(wheels, "SAFE_SIZE", 2 * MEGABYTE)
    monkeypatch.setattr(wheels, "MOST_GROWTH", 2)
    monkeypatch.setattr(uv_bounds, "_LOOK", 0.005)
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with private_index(shelf) as host:
        yield Bench(tmp_path, shelf, host)


def bomb(shelf: Path, count: int, size: int) -> Path:
    """Write a wheel whose files of zeros are far larger than itself."""
    path = write_odd_wheel(shelf, "bomb", files={f"bomb/{n}.bin": bytes(size) for n in range(count)})
    packed = path.with_name("packed")
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as dense:
        for info in plain.infolist():
            dense.writestr(member(info.filename), plain.read(info), zipfile.ZIP_DEFLATED)
    packed.replace(path)
    return path


def one_large(shelf: Path) -> Path:
    return bomb(shelf, 1, 64 * MEGABYTE)


def many_small(shelf: Path) -> Path:
    return bomb(shelf, 1500, MEGABYTE // 8)


def many_empty(shelf: Path) -> Path:
    return bomb(shelf, 8_000, 0)


@pytest.mark.parametrize("kind", [one_large, many_small, many_empty])
def test_a_bomb_of_an_index_is_stopped_while_it_is_unpacked(bench: Bench, kind: Callable[[Path], Path]) -> None:
    with pytest.raises(BrokenPackage, match="the limit for a wheel") as caught:
        bench.install(kind(bench.shelf))
    assert caught.value.hint
    bench.shelf.rename(bench.shelf.with_name("served"))
    assert [path for path in bench.left() if "served" not in path.parts] == []


def described(shelf: Path, size: int) -> None:
    """Write a wheel whose METADATA has so many bytes, and nearly none when packed."""
    with zipfile.ZipFile(shelf / "wordy-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        text = "Metadata-Version: 2.1\nName: wordy\nVersion: 1\n\n"
        packed.writestr(member("wordy-1.dist-info/METADATA"), text + "x" * size, zipfile.ZIP_DEFLATED)
        packed.writestr(member("wordy-1.dist-info/WHEEL"), "Wheel-Version: 1.0\nTag: py3-none-any\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of another process")
@pytest.mark.parametrize(("size", "held"), [(60 * MEGABYTE, False), (MEGABYTE, True)])
def test_a_description_that_is_a_bomb_is_stopped_while_it_is_read(
    tmp_path: Path, size: int, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uv_bounds, "MEMORY", 64 * MEGABYTE)
    described(tmp_path, size)
    (tmp_path / "r.txt").write_text("wordy\n")
    arguments = ["pip", "compile", "r.txt", "--no-index", "--find-links", ".", "--python", sys.executable]
    with nullcontext() if held else pytest.raises(BrokenPackage, match="of memory") as caught:
        uv.run([*arguments, "--output-file", "out.txt"], cache=tmp_path / "cache", workdir=tmp_path)
    assert held or (caught and caught.value.hint)


@dataclass
class Floor:
    """A server of wheels whose downloads wait at a gate, and a cache that all runs of uv share."""

    home: Path
    host: str
    waits: dict[str, threading.Event]

    def run(self, wheel: Path, most: int) -> None:
        place = self.home / wheel.stem
        place.mkdir()
        arguments = ["pip", "install", "--target", str(place / "there"), "--no-deps", "--no-index"]
        address = f"http://{self.host}/{wheel.name}"
        uv.run(
            [*arguments, "--python", sys.executable, address], cache=self.home / "cache", workdir=place, most=most
        )


@pytest.fixture
def floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Floor]:
    monkeypatch.setattr(uv_bounds, "_LOOK", 0.005)
    waits: dict[str, threading.Event] = {}

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path in waits:
                waits[self.path].wait(60)
            with suppress(ConnectionError):  # of a run that was ended
                super().do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Floor(tmp_path, f"127.0.0.1:{server.server_port}", waits)
        server.shutdown()


def wheel_of(floor: Floor, name: str, count: int, *, waits: bool = False) -> Path:
    """Write a wheel of so many files of 16 KiB; whoever fetches one that waits gets it when its gate is opened."""
    files = {f"{name}/{n}.bin": bytes(1 << 14) for n in range(count)}
    path = write_odd_wheel(floor.home, name, files=files, compression=zipfile.ZIP_DEFLATED)
    if waits:
        floor.waits[f"/{path.name}"] = threading.Event()
    return path


def begun(floor: Floor, count: int) -> None:
    """Wait until so many runs of uv are registered."""
    for _ in range(6000):
        if len(uv_runs.Runs(floor.home / "cache/.envpack-runs", "", None).others()) == count:
            return
        time.sleep(0.01)
    raise AssertionError("the run did not begin")


def test_a_large_wheel_of_one_run_ends_no_other_run(floor: Floor) -> None:
    small, large = wheel_of(floor, "small", 1, waits=True), wheel_of(floor, "large", 1500)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(floor.run, small, MEGABYTE)
        begun(floor, 1)
        pool.submit(floor.run, large, 64 * MEGABYTE).result()
        floor.waits[f"/{small.name}"].set()
        first.result()
    assert len(list((floor.home / large.stem / "there/large").iterdir())) == 1500


def test_a_bomb_is_stopped_though_another_run_may_unpack_as_much(floor: Floor) -> None:
    honest, bad = wheel_of(floor, "honest", 1, waits=True), wheel_of(floor, "bad", 3000)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(floor.run, honest, 1 << 30)
        begun(floor, 1)
        with pytest.raises(BrokenPackage, match="the limit for a wheel"):
            floor.run(bad, MEGABYTE)
        floor.waits[f"/{honest.name}"].set()
        first.result()
    assert (floor.home / honest.stem / "there/honest/0.bin").exists()


def test_where_nobody_tells_whose_a_directory_is_it_must_not_grow_above_every_bound(tmp_path: Path) -> None:
    with (
        uv_runs.registered(tmp_path, 1000) as runs,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as process,
    ):
        bound = uv_bounds.Bound(process, tmp_path, 1000, runs)
        place = tmp_path / ".tmpX"
        place.mkdir()
        with uv_runs.registered(tmp_path, 5000):
            (place / "file").write_bytes(bytes(4000))
            assert not bound.is_too_large(place)
        assert not bound.is_too_large(place), "what a run that was killed left is taken for a bomb"
        growing = range(5000, 5020)
        for size in growing:
            (place / "file").write_bytes(bytes(size))
            if bound.is_too_large(place):
                break
        else:
            raise AssertionError("a directory that keeps growing is held to no bound")
        assert size > growing[0]


def test_a_killed_run_is_no_longer_registered_and_a_cache_that_cannot_be_written_breaks_nothing(
    tmp_path: Path,
) -> None:
    code = "import sys; from pathlib import Path; from envpack.tools.uv_runs import registered\n"
    code += "with registered(Path(sys.argv[1]), 7): print(flush=True); sys.stdin.read()"
    with uv_runs.registered(tmp_path, 5) as runs:
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            process.stdout.readline()
            assert runs.others() == [7]
            process.kill()
        assert runs.others() == []
        assert [path.name for path in runs.place.iterdir()] == [runs.own]
    (tmp_path / "file").touch()
    with uv_runs.registered(tmp_path / "file", 5) as runs:
        assert (runs.held, runs.others()) == (None, [])


def test_an_honest_wheel_of_an_index_is_installed(bench: Bench) -> None:
    path = write_odd_wheel(bench.shelf, "fine", files={"fine/__init__.py": b"1", "fine/data.bin": bytes(MEGABYTE)})
    assert (bench.install(path) / "fine/data.bin").stat().st_size == MEGABYTE
