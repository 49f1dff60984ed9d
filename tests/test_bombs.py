"""Wheels of an index that are small on the wire and huge on the disk: stopped while they are unpacked."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from envpack.config.target import Target
from envpack.errors import BrokenPackage
from envpack.files import wheel as wheels
from envpack.files.cache import Cache
from envpack.lock.lock import Wheel
from envpack.prefix.link import Login, link_wheels
from envpack.requirements.names import ProjectName
from envpack.tools import uv, uv_bounds
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
    with pytest.raises(BrokenPackage, match="no honest wheel") as caught:
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


def test_an_honest_wheel_of_an_index_is_installed(bench: Bench) -> None:
    path = write_odd_wheel(bench.shelf, "fine", files={"fine/__init__.py": b"1", "fine/data.bin": bytes(MEGABYTE)})
    assert (bench.install(path) / "fine/data.bin").stat().st_size == MEGABYTE
