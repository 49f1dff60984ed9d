"""A machine that lacks what a build takes: each end has its code and says why, and the next build is right."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import envpack
from envpack.stores import open_store
from tests.support.command import Desk, Ran, desk_at
from tests.support.missing import missing
from tests.support.releases import faults

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.support.channel import Channel

pytestmark = pytest.mark.acceptance

MB = 1 << 20


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, channel: Channel) -> Desk:
    """A desk whose cache has packages and pieces."""
    desk = desk_at(tmp_path_factory.mktemp("prepared"), channel, tmp_path_factory.mktemp("cache"))
    desk.write("r.txt", "greeter")
    desk.build("r.txt")
    return desk


@pytest.fixture
def cold(tmp_path: Path, channel: Channel) -> Desk:
    """A desk with nothing in its cache."""
    desk = desk_at(tmp_path / "a desk", channel, tmp_path / "cache")
    desk.write("r.txt", "greeter")
    return desk


def run(
    desk: Desk, *arguments: str, before: Sequence[str] = (), without: str | None = None, **variables: str
) -> Ran:
    """Run a command behind another, such as `prlimit`."""
    environment = {name: value for name, value in {**desk.environment, **variables}.items() if name != without}
    done = subprocess.run(
        [*before, *desk.command(*arguments)],
        cwd=desk.home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def ended_well(ran: Ran, *codes: int) -> None:
    """Say that a command ended with one of these codes, and says why."""
    assert ran.code in codes, ran.err
    assert "Traceback" not in ran.err
    if ran.code:
        assert "error: " in ran.err


def still_right(desk: Desk, wanted: Desk) -> None:
    """Say that the store has no half of anything, and that the next build is the one that a sound machine makes."""
    assert faults(open_store(str(desk.store))) == []
    assert desk.build("r.txt")["digest"] == wanted.build("r.txt")["digest"]


@contextmanager
def disk(place: Path, size: int) -> Iterator[None]:
    """Mount a small disk on a directory."""
    place.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "envpack-test", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disks: mounting is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def grow(place: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)


def test_a_full_disk_under_the_cache_ends_a_build_at_every_step(cold: Desk, prepared: Desk) -> None:
    codes = []
    with disk(cold.cache, MB // 2):
        for size in (MB // 2, 2 * MB, 8 * MB, 20 * MB, 27 * MB, 33 * MB, 40 * MB, 60 * MB, 120 * MB):
            grow(cold.cache, size)
            ran = run(cold, "build", "r.txt", "--upgrade")
            ended_well(ran, 0, 6)
            codes.append(ran.code)
            assert faults(open_store(str(cold.store))) == []
            if ran.code == 0:
                break
        assert codes[0] == 6
        assert codes[-1] == 0
        still_right(cold, prepared)


def test_a_full_disk_under_the_store_ends_a_build_and_publishes_nothing(cold: Desk, prepared: Desk) -> None:
    codes = []
    with disk(cold.store, 4096):
        for size in (4096, MB, 6 * MB, 9 * MB, 40 * MB):
            grow(cold.store, size)
            ran = run(cold, "build", "r.txt")
            ended_well(ran, 0, 8)
            codes.append(ran.code)
            assert faults(open_store(str(cold.store))) == []
        assert codes[0] == 8
        assert codes[-1] == 0
        still_right(cold, prepared)


def test_a_full_disk_beside_the_requirements_keeps_no_lock_and_builds(cold: Desk, prepared: Desk) -> None:
    home = cold.home / "full"
    with disk(home, 4096):
        (home / "r.txt").write_text("greeter\n")
        ran = run(cold, "build", "full/r.txt")
        ended_well(ran, 0)
        assert "the lock was not kept" in ran.err
        assert [path.name for path in home.iterdir()] == ["r.txt"]
    still_right(cold, prepared)


@pytest.mark.parametrize("kilobytes", [0, 1, 64, 1024, 4096, 8192])
def test_a_limit_on_the_size_of_files_ends_a_build(kilobytes: int, cold: Desk, prepared: Desk) -> None:
    ran = run(cold, "build", "r.txt", before=["prlimit", f"--fsize={kilobytes * 1024}"])
    ended_well(ran, 6, 8, 2)
    assert cold.releases() == []
    still_right(cold, prepared)


@pytest.mark.parametrize("descriptors", [12, 24, 48, 64, 96])
def test_few_descriptors_end_a_build_or_are_enough(descriptors: int, cold: Desk, prepared: Desk) -> None:
    ran = run(cold, "build", "r.txt", before=["prlimit", f"--nofile={descriptors}"])
    ended_well(ran, 0, 12)
    still_right(cold, prepared)


@pytest.mark.parametrize("what", ["store", "cache", "home", "source"])
def test_a_read_only_place_ends_a_build_or_does_not_matter(
    what: str, cold: Desk, prepared: Desk, tmp_path: Path
) -> None:
    places = {"store": cold.store, "cache": cold.cache, "home": tmp_path / "home", "source": cold.home / "source"}
    with disk(places[what], MB):
        if what == "source":
            (places[what] / "r.txt").write_text("greeter\n")
        subprocess.run(["mount", "-o", "remount,ro", str(places[what])], check=True)
        file = "source/r.txt" if what == "source" else "r.txt"
        variables = {"HOME": str(places[what])} if what == "home" else {}
        ran = run(cold, "build", file, **variables)
        ended_well(ran, {"store": 8, "cache": 2}.get(what, 0))
    still_right(cold, prepared)


NOBODY = 12345
"""A user without a name."""


def as_nobody(*places: Path, instead: Mapping[Path, Path] | None = None) -> list[str]:
    """Return what runs a command as a user without a name, who can reach these places and this installation.

    In the place of each path of `instead` it sees the other one. What lies above them may be root's alone: it is
    hidden by an empty directory, into which they are mounted.
    """
    if os.geteuid():
        missing("only root can become a user without a name")
    needed = {Path(sys.base_prefix), Path(sys.prefix), Path(envpack.__file__).parents[1], *places}
    script = ["set -e", "here=$(mktemp -d)", 'mount -t tmpfs none "$here"']
    closed = {path: above for path in needed if (above := _closed_above(path))}
    for number, path in enumerate(closed):
        script += [f'mkdir "$here/{number}"', f'mount --bind {shlex.quote(str(path))} "$here/{number}"']
    script += [f"mount -t tmpfs -o mode=755 none {shlex.quote(str(above))}" for above in set(closed.values())]
    for number, path in enumerate(closed):
        place = shlex.quote(str(path))
        script += [f"mkdir -p {place}", f'mount --bind "$here/{number}" {place}']
    for path, other in (instead or {}).items():
        place = shlex.quote(str(path))
        script += [f"mkdir -p {place}", f"mount --bind {shlex.quote(str(other))} {place}"]
    script += [f'exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups "$@"']
    return ["unshare", "--mount", "sh", "-c", "\n".join(script), "sh"]


def _closed_above(path: Path) -> Path | None:
    """Return the topmost directory above a path that only its owner may pass."""
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & 0o001), None)


def give(*places: Path, to: int = NOBODY) -> None:
    for path in (each for place in places for each in (place, *place.rglob("*"))):
        os.chown(path, to, to, follow_symlinks=False)


@pytest.fixture
def theirs(cold: Desk, tmp_path: Path) -> tuple[Desk, list[str]]:
    """A desk of a user without a name, and what runs a command as that user."""
    cold.cache.mkdir()
    give(cold.home, cold.cache)
    tmp_path.chmod(0o755)
    channel = shutil.copytree(cold.channel.path, tmp_path / "channel")
    give(channel)  # root's own packages may be root's alone
    before = as_nobody(tmp_path, instead={cold.channel.path: channel})
    ran = run(cold, "version", before=before)
    if ran.code:
        missing(f"no user but root can run this installation: {ran.err}")
    return cold, before


def test_without_a_home_and_a_name_the_cache_is_in_no_directory_called_tilde(
    theirs: tuple[Desk, list[str]], prepared: Desk
) -> None:
    desk, before = theirs
    ended_well(run(desk, "list", before=before, without="HOME", ENVPACK_CACHE_DIR=""), 0, 2)
    assert not (desk.home / "~").exists()
    still_right(desk, prepared)


def test_a_user_without_a_name_builds_the_same_archive(theirs: tuple[Desk, list[str]], prepared: Desk) -> None:
    desk, before = theirs
    ran = run(desk, "build", "r.txt", "--output", "json", before=before, without="HOME")
    ended_well(ran, 0)
    assert ran.json()["digest"] == prepared.build("r.txt")["digest"]


@pytest.mark.parametrize("owned", ["closed", "to be read", "within"])
@pytest.mark.parametrize("command", ["build r.txt --upgrade", "verify kept", "pull kept there", "run kept -- true"])
def test_a_cache_of_another_user_is_named_with_what_to_do(
    owned: str, command: str, theirs: tuple[Desk, list[str]], prepared: Desk
) -> None:
    desk, before = theirs
    shutil.copytree(prepared.cache, desk.cache, symlinks=True, dirs_exist_ok=True)
    desk.build("r.txt", "--name", "kept")
    give(desk.home)
    desk.cache.chmod(0o700 if owned == "closed" else 0o755)
    if owned == "within":
        os.chown(desk.cache, NOBODY, NOBODY)
        for path in desk.cache.iterdir():
            path.chmod(0o700)
    ran = run(desk, *command.split(), before=before)
    ended_well(ran, 0, 2)
    assert ran.code == 0 or "ENVPACK_CACHE_DIR" in ran.err
    assert faults(open_store(str(desk.store))) == []


@pytest.mark.parametrize("when", ["1970-01-02 00:00:00", "2100-01-01 00:00:00"])
def test_a_clock_of_another_century_makes_the_same_archive(when: str, cold: Desk, prepared: Desk) -> None:
    if not shutil.which("faketime"):
        missing("no other clock: faketime is not installed")
    ran = run(cold, "build", "r.txt", "--output", "json", before=["faketime", when])
    ended_well(ran, 0)
    assert ran.json()["digest"] == prepared.build("r.txt")["digest"]
    assert faults(open_store(str(cold.store))) == []
