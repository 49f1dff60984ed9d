"""A cache in which a disk has changed a byte: the same archive or a clear error, and never another archive."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.channel import Channel
from tests.support.chosen import quickly
from tests.support.command import Desk, Ran, desk_at
from tests.support.wheels import write_wheel

WHOLE = (
    "dependencies:",
    "- greeter",
    "- placed",
    "- linked",
    "- activated",
    "- pip: ['--no-index', '--find-links ./shelf', party]",
    "variables: {GREETING: hello}",
)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A desk that has made a release, so that its cache is full."""

    desk: Desk
    digest: str

    def copy(self, home: Path) -> Made:
        """Return another one with a cache of its own."""
        desk = desk_at(home / "a desk", self.desk.channel, home / "cache")
        shutil.copytree(self.desk.cache, desk.cache, copy_function=os.link, symlinks=True)
        for path in self.desk.home.iterdir():
            if path != self.desk.store:
                (shutil.copytree if path.is_dir() else shutil.copy)(path, desk.home / path.name)
        return Made(desk=desk, digest=self.digest)

    def build(self) -> Ran:
        """Publish the same into a store where nothing is."""
        shutil.rmtree(self.desk.store, ignore_errors=True)
        return self.desk.run("build", "r.yml", "--no-verify", "--output", "json")

    def find(self, pattern: str) -> Path:
        return next(path for path in sorted(self.desk.cache.glob(pattern)) if path.is_file())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, channel: Channel) -> Made:
    home = tmp_path_factory.mktemp("a full cache")
    desk = desk_at(home / "a desk", channel, home / "cache")
    shelf = desk.home / "shelf"
    shelf.mkdir()
    write_wheel(
        shelf,
        "party",
        "1",
        scripts={"party": "party:main"},
        files={
            "party.py": '"""What is a party without music?"""\n\n\ndef main(): return 1\n',
            "party-1.data/scripts/raw": "#!python\nprint('raw')\n",
        },
    )
    desk.write("r.yml", *WHOLE)
    return Made(desk=desk, digest=str(desk.build("r.yml", "--no-verify")["digest"]))


@pytest.fixture
def made(original: Made, tmp_path: Path) -> Made:
    return original.copy(tmp_path)


def flip(path: Path, at: int | bytes) -> None:
    """Change a byte of a file, or the one behind some bytes of it; size, times and permissions stay."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[data.index(at) + len(at) - 1 if isinstance(at, bytes) else at] ^= 1
    other = path.with_name(f"{path.name}.new")
    other.write_bytes(data)
    other.chmod(status.st_mode)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


DAMAGE: dict[str, dict[str, int | bytes]] = {
    "what is packed": {
        "pkgs/greeter*/site-packages/greeter.py": 20,
        "pkgs/placed*/bin/placed": 40,
        "uv/archive-v*/*/party.py": 5,
    },
    "what says how it is linked": {
        "pkgs/placed*/info/paths.json": b"placehold_placehold",
        "pkgs/greeter*/info/link.json": b"main",
        "uv/archive-v*/*/party-1.dist-info/RECORD": b"sha256=",
    },
    "what is read or run here": {
        "pkgs/python*/lib/libpython*": 100_000,
        "pkgs/activated*/etc/conda/activate.d/*.sh": 10,
        "uv/archive-v*/*/party-1.dist-info/entry_points.txt": b"party:mai",
    },
    "what is derived": {
        "pkgs/placed*/share/placed/placed.bin": 5,
        "uv/archive-v*/*/party-1.data/scripts/raw": b"print('",
    },
}


PYTHON_TOO = "what is read or run here"
"""The kind that damages Python itself: of the others' builds, its pieces may be those that the seed has."""


ALL_BUT_PYTHON = {
    pattern: at for kind in DAMAGE.values() for pattern, at in kind.items() if "python" not in pattern
}


@pytest.mark.acceptance
def test_all_that_is_damaged_at_once_is_named_and_fetched_again(made: Made, seed: Path) -> None:
    assert_mended(made, ALL_BUT_PYTHON, kept=seed)


@pytest.mark.acceptance
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_packages_are_named_and_fetched_again(made: Made, seed: Path, kind: str) -> None:
    assert_mended(made, DAMAGE[kind], kept=None if kind == PYTHON_TOO else seed)


def assert_mended(made: Made, damage: dict[str, int | bytes], *, kept: Path | None) -> None:
    """A build with damaged packages must name them and make the same archive, and the next finds none."""
    made.desk.forget_pieces(but=kept)
    for pattern, at in damage.items():
        for path in made.desk.cache.glob(pattern):  # uv may hold a wheel twice
            flip(path, at)
    ran = made.build()
    assert ran.code == 0, ran.err
    assert ran.json()["digest"] == made.digest
    for pattern in damage:
        name = "party" if pattern.startswith("uv/") else pattern.split("/")[1].rstrip("*")
        assert f"the cached copy of {name}" in ran.err
    made.desk.forget_pieces(but=kept)
    again = made.build()
    assert again.json()["digest"] == made.digest
    assert "the cached copy" not in again.err


def test_what_is_damaged_and_cannot_be_fetched_again_ends_the_build(made: Made, seed: Path) -> None:
    made.desk.forget_pieces(but=seed)
    flip(made.find("pkgs/greeter*/site-packages/greeter.py"), 20)
    gone = made.desk.home / "gone"
    gone.mkdir()
    there = f"channels: ['{made.desk.channel.url}']"
    made.desk.write("envpack.yaml", "store: a store", there, f"glibc: '{made.desk.channel.glibc}'")
    lock = made.desk.home / "r.yml.lock"
    lock.write_text(lock.read_text().replace(made.desk.channel.url, gone.as_uri()))
    ran = made.build()
    assert ran.code in (5, 6)
    assert "the cached copy of greeter is damaged" in ran.err
    assert "Traceback" not in ran.err
    assert made.desk.releases() == []


@pytest.mark.parametrize("pieces", quickly(["kept", "forgotten"], "kept"))
def test_a_cache_damaged_at_random_places_gives_the_same_archive(made: Made, pieces: str) -> None:
    damage_at_random(made, seed=7, places=10, forgotten=pieces == "forgotten")


@pytest.mark.acceptance
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(25))
def test_a_cache_damaged_at_200_random_places_gives_the_same_archive(made: Made, seed: int) -> None:
    damage_at_random(made, seed=seed, places=8, forgotten=bool(seed % 2))


def damage_at_random(made: Made, *, seed: int, places: int, forgotten: bool) -> None:
    """Change bytes of the cache, each of its rooms being as likely as any other, and build."""
    chosen = random.Random(seed)
    if forgotten:
        made.desk.forget_pieces()
    files = [path for path in sorted(made.desk.cache.rglob("*")) if path.is_file() and not path.is_symlink()]
    by_room = {
        room: [path for path in files if path.relative_to(made.desk.cache).parts[0] == room] for room in ROOMS
    }
    for _ in range(places):
        room = chosen.choice([room for room in ROOMS if by_room[room]])
        path = chosen.choice(by_room[room])
        if size := path.stat().st_size:
            flip(path, chosen.randrange(size))
    ran = made.build()
    assert "Traceback" not in ran.err
    if ran.code == 0:
        assert ran.json()["digest"] == made.digest
    else:
        assert ran.code != 1
        assert made.desk.releases() == []


ROOMS = ("pkgs", "uv", "pieces", "checked", "recipes", "unchanged", "published", "repodata")
