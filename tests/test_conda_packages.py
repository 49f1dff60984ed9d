"""Conda packages as they come: what is not what it says is not linked, and said; nothing leaves the prefix."""

from __future__ import annotations

import hashlib
import os
import tarfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rattler import Subdir, solve

from envpack.errors import EnvpackError, PackingFailed, Unreachable
from envpack.files.cache import Cache
from envpack.lock.lock import CondaPackage
from envpack.prefix import arrivals
from envpack.prefix.link import Login, link_conda
from envpack.requirements.names import CondaName
from envpack.tools import rattler
from tests.support.packages import reindex, write_conda

DATA = b"hi"


@dataclass(frozen=True)
class Bench:
    """A channel, a cache and a place for prefixes."""

    home: Path
    name: str = "prefix"

    @property
    def channel(self) -> Path:
        return self.home / "channel"

    @property
    def prefix(self) -> Path:
        return self.home / "deep" / "down" / self.name

    @property
    def cache(self) -> Cache:
        return Cache(self.home / "cache")

    def locked(self, *names: str) -> list[CondaPackage]:
        reindex(self.channel)
        platforms = [Subdir("linux-64"), Subdir("noarch")]
        records = rattler.run(solve([self.channel.as_uri()], list(names), platforms=platforms))
        return [
            CondaPackage(
                name=CondaName(record.name.normalized),
                version=str(record.version),
                build=str(record.build),
                build_number=record.build_number,
                subdir=str(record.subdir),
                url=record.url,
                sha256=record.sha256.hex() if record.sha256 else "",
                size=record.size,
                depends=tuple(record.depends),
                noarch="generic" if record.noarch.generic else None,
            )
            for record in records
        ]

    def link(self, packages: list[CondaPackage]) -> tuple[str, ...]:
        self.prefix.mkdir(parents=True, exist_ok=True)
        return link_conda(packages, self.prefix, platform="linux-64", login=Login(), cache=self.cache)

    def outside(self) -> set[str]:
        """Return all files that lie neither in the channel nor in the cache nor in the prefix."""
        return {
            str(path.relative_to(self.home))
            for path in self.home.rglob("*")
            if not path.is_dir()
            and not any(path.is_relative_to(known) for known in (self.channel, self.cache.root, self.prefix))
        }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def line(path: str, data: bytes = DATA, **other: Any) -> dict[str, Any]:
    """Return an honest line of a `paths.json`, but for what is given."""
    return {
        "_path": path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_in_bytes": len(data),
        **other,
    }


def special(path: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.linkname = kind, link
    return entry


@dataclass(frozen=True)
class Bad:
    """A package that must not be linked, and words of the reason."""

    reason: str
    how: dict[str, Any] = field(default_factory=dict)


HONEST = line("share/x.txt")

BAD = {
    "an absolute path": Bad("files outside the environment: /opt/evil", {"paths": [line("/opt/evil")]}),
    "a path above": Bad("outside the environment: ../../evil", {"paths": [HONEST, line("../../evil")]}),
    "a path above, further down": Bad("outside", {"paths": [line("share/../../../evil")]}),
    "a wrong digest": Bad("not what its list says: share/x.txt", {"paths": [line("share/x.txt", sha256="0" * 64)]}),
    "a wrong size": Bad("not what its list says: share/x.txt", {"paths": [line("share/x.txt", size_in_bytes=7)]}),
    "a file that is not there": Bad("lacks files that it lists: share/y", {"paths": [HONEST, line("share/y")]}),
    "an absolute link": Bad("a link to /etc/passwd, which is outside", {"links": {"share/l": "/etc/passwd"}}),
    "a link above": Bad("outside the environment", {"links": {"share/l": "../../x"}}),
    "a link through a link": Bad("outside the environment", {"links": {"share/l": "..", "share/m": "l/../x"}}),
    "links in a circle": Bad("leads back to itself", {"links": {"share/l": "m", "share/m": "l"}}),
    "a file through a link": Bad(
        "damaged or truncated",
        {"links": {"d": "../../../.."}, "members": [tarfile.TarInfo("d/evil")], "paths": [HONEST, line("d/evil")]},
    ),
    "a pipe": Bad(
        "not what its list says: share/f",
        {"members": [special("share/f", tarfile.FIFOTYPE)], "paths": [HONEST, line("share/f")]},
    ),
    "a hard link to a file of the machine": Bad(
        "damaged or truncated",
        {"members": [special("share/f", tarfile.LNKTYPE, "/etc/passwd")], "paths": [line("share/f")]},
    ),
    "a name with a newline": Bad("names no file should have", {"files": {"share/a\nb": DATA}}),
    "a name with an escape": Bad("names no file should have", {"files": {"share/\x1b]52;c;": DATA}}),
    "a name that is not UTF-8": Bad(
        "cannot be read", {"info": {"info/paths.json": b'{"paths": [{"_path": "share/\xff"}]}'}}
    ),
    "no name": Bad("names no file should have", {"paths": [HONEST, line("")]}),
    "a record of conda's": Bad("among conda's records", {"files": {"conda-meta/evil-1-0.json": b"{}"}}),
    "its own record": Bad("among conda's records", {"files": {"conda-meta/p-1.0-0.json": b"{}"}}),
    "a history": Bad("among conda's records", {"files": {"conda-meta/history": b""}}),
    "a list that is no JSON": Bad("list of files that cannot be read", {"info": {"info/paths.json": b"{x"}}),
    "a list of other things": Bad(
        "list of files that cannot be read", {"info": {"info/paths.json": b'{"paths": [{"_path": 3}]}'}}
    ),
    "a list of nothing": Bad("list of files that cannot be read", {"info": {"info/paths.json": b"[]"}}),
    "a list without end": Bad("list of files that cannot be read", {"info": {"info/paths.json": b"[" * 100_000}}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_package_that_must_not_be_linked_is_refused_with_the_reason(name: str, bench: Bench) -> None:
    write_conda(bench.channel, "p", **{"files": {"share/x.txt": DATA}, **BAD[name].how})
    packages = bench.locked("p")
    for _ in range(2):  # the second time nothing of it may be taken from the cache
        with pytest.raises(PackingFailed) as caught:
            bench.link(packages)
        assert BAD[name].reason in caught.value.message
        assert "p" in caught.value.message
        assert all(text.isprintable() for text in caught.value.message.splitlines())
        assert bench.outside() == set()


def test_every_bad_package_is_told_at_once_or_at_least_named(bench: Bench) -> None:
    write_conda(bench.channel, "good", files={"share/good": DATA})
    write_conda(bench.channel, "bad", files={"share/bad": DATA}, paths=[line("/opt/evil")])
    with pytest.raises(PackingFailed, match=r"bad 1\.0 lists files outside"):
        bench.link(bench.locked("good", "bad"))


def test_a_link_of_one_package_does_not_lead_another_out(bench: Bench) -> None:
    write_conda(bench.channel, "a", links={"share/l": ".."})
    write_conda(bench.channel, "b", links={"share/m": "l/../../x"})
    with pytest.raises(PackingFailed, match="outside the environment"):
        bench.link(bench.locked("a", "b"))


def test_a_link_does_not_lie_behind_the_link_of_another(bench: Bench) -> None:
    write_conda(bench.channel, "a", links={"share/sub": ".."})
    write_conda(bench.channel, "b", links={"share/sub/q": "../x"})
    with pytest.raises(PackingFailed, match="a link whose path leads through another link"):
        bench.link(bench.locked("a", "b"))
    assert bench.outside() == set()


def test_links_inside_are_linked(bench: Bench) -> None:
    links = {"share/l": "x.txt", "lib/here": "../share", "share/winding": "sub/../x.txt", "lib/gone": "nothing"}
    write_conda(bench.channel, "p", files={"share/x.txt": DATA, "share/sub/y": b""}, links=links)
    assert bench.link(bench.locked("p")) == ()
    assert (bench.prefix / "lib/here/l").read_bytes() == DATA
    assert (bench.prefix / "share/winding").read_bytes() == DATA


def test_a_file_that_is_not_listed_is_said_each_time_and_not_linked(bench: Bench) -> None:
    write_conda(bench.channel, "p", files={"share/x.txt": DATA, "share/y.txt": DATA}, paths=[HONEST])
    packages = bench.locked("p")
    warnings = ("p 1.0 holds files that it does not list, which were not linked: share/y.txt",)
    assert bench.link(packages) == warnings
    assert not (bench.prefix / "share/y.txt").exists()
    assert Bench(bench.home, "another").link(packages) == warnings


@pytest.fixture
def shelf(bench: Bench) -> Path:
    return write_conda(bench.channel, "p", files={"share/x.bin": os.urandom(50_000)})


def test_a_package_that_is_listed_but_absent_is_not_reached(bench: Bench, shelf: Path) -> None:
    packages = bench.locked("p")
    shelf.unlink()
    with pytest.raises(Unreachable, match=r"p-1\.0-0\.conda is in the index of the channel .*, but does not exist"):
        bench.link(packages)


@pytest.mark.parametrize("left", [0, 1, 1_000, 50_000])
def test_a_truncated_package_is_called_truncated(bench: Bench, shelf: Path, left: int) -> None:
    packages = bench.locked("p")
    shelf.write_bytes(shelf.read_bytes()[:left])
    with pytest.raises(PackingFailed, match=rf"p-1\.0-0\.conda is truncated: {left:,} of [0-9,]+ bytes"):
        bench.link(packages)


def test_a_package_with_other_bytes_is_not_taken_for_the_locked_one(bench: Bench, shelf: Path) -> None:
    packages = bench.locked("p")
    write_conda(bench.channel, "p", files={"share/x.bin": os.urandom(50_000)})
    with pytest.raises(PackingFailed, match=r"p-1\.0-0\.conda is not the file that its channel's index names"):
        bench.link(packages)


def test_a_package_that_is_in_the_cache_needs_no_channel(bench: Bench, shelf: Path) -> None:
    packages = bench.locked("p")
    bench.link(packages)
    shelf.unlink()
    other = Bench(bench.home, "another")
    assert other.link(packages) == ()
    assert (other.prefix / "share/x.bin").is_file()


def test_damage_that_the_index_does_not_know_shows_no_bytes_of_the_file(bench: Bench, shelf: Path) -> None:
    data = bytearray(shelf.read_bytes())
    data[200:400] = os.urandom(200)
    shelf.write_bytes(data)
    with pytest.raises(EnvpackError) as caught:
        bench.link(bench.locked("p"))
    assert all(text.isprintable() for text in caught.value.message.splitlines())


def test_a_bomb_of_one_file_is_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "SAFE_SIZE", 1 << 20)
    bomb = tarfile.TarInfo("share/bomb")
    bomb.size = 64 << 20
    write_conda(bench.channel, "p", members=[bomb])
    with pytest.raises(PackingFailed, match="larger than envpack allows"):
        bench.link(bench.locked("p"))
    assert not (bench.cache.packages / "p-1.0-0").exists()


def test_a_bomb_of_many_files_is_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "SAFE_SIZE", 1 << 20)
    monkeypatch.setattr(arrivals, "_LOOK", 0.01)
    members = [tarfile.TarInfo(f"share/bomb{n}") for n in range(1200)]
    for member in members:
        member.size = 1 << 17
    write_conda(bench.channel, "p", members=members)
    with pytest.raises(PackingFailed, match="the limit for a package"):
        bench.link(bench.locked("p"))
    assert not (bench.cache.packages / "p-1.0-0").exists()


def test_what_is_moved_while_its_size_is_taken_is_passed_over(tmp_path: Path) -> None:
    extracted, final = tmp_path / ".part", tmp_path / "package"
    for number in range(50):
        (extracted / f"{number}" / "below").mkdir(parents=True)
        (extracted / f"{number}" / "below" / "file").write_bytes(b"four")
    ended = threading.Event()

    def move() -> None:
        while not ended.is_set():
            extracted.rename(final)
            final.rename(extracted)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        assert all(0 <= arrivals.size_of(extracted) <= 150 * 512 for _ in range(40))
    finally:
        ended.set()
        mover.join()
    assert arrivals.size_of(extracted) == 150 * 512, "each file and directory counts for as much at least"


def test_a_package_of_very_many_files_is_checked(bench: Bench) -> None:
    write_conda(bench.channel, "p", files={f"share/{n:05}": b"" for n in range(5_000)})
    assert bench.link(bench.locked("p")) == ()
    assert len(list((bench.prefix / "share").iterdir())) == 5_000
