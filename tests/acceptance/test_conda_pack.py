"""What conda-pack documents, point by point, for `envpack pack` of a prefix of real conda-forge records.

Each test does the same with conda-pack, so that where the two differ is written down here; why is in
docs/decisions.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpack.archive import guard
from tests.support.command import ENVPACK, environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.replica import Replica

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

SPECS = ("proj", "jinja2", "pyyaml", "jupyter_core", "libxml2")

SITE = "lib/python3.12/site-packages"

GUARDS = {guard.PYVENV, *(f"{SITE}/{name}" for name in (f"{guard.MODULE}.py", guard.FIRST, guard.LAST))}
"""What keeps a node's configuration for its own Python away; conda-pack's archives have nothing of the kind."""


@dataclass(frozen=True, kw_only=True)
class Packers:
    """A prefix, and both packers with a cache of their own."""

    prefix: Path
    packages: Path
    """The packages that it is linked from."""
    cache: Path

    def conda_pack(self, prefix: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Pack with conda-pack."""
        program = Path(sys.executable).with_name("conda-pack")
        return _ran(program, "--quiet", "--prefix", str(prefix), "--output", str(out), *options)

    def envpack(self, prefix: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Pack with envpack."""
        return _ran(ENVPACK, "pack", str(prefix), str(out), *options, cache=self.cache)

    def both(self, prefix: Path, folder: Path, suffix: str = "tar.gz") -> tuple[Path, Path]:
        """Pack with both, which must succeed; return conda-pack's archive and envpack's."""
        made = (folder / f"conda-pack.{suffix}", folder / f"envpack.{suffix}")
        for pack, out in zip((self.conda_pack, self.envpack), made, strict=True):
            done = pack(prefix, out)
            assert done.returncode == 0, done.stderr
        return made

    def copy(self, folder: Path) -> Path:
        """Return a copy of the prefix that may be changed by adding, removing and replacing."""
        return shutil.copytree(self.prefix, folder / "copy", symlinks=True, copy_function=os.link)


def _ran(program: Path, *arguments: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    given = environment(cache) if cache else None
    return subprocess.run([program, *arguments], env=given, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def packers(replica: Replica, tmp_path_factory: pytest.TempPathFactory) -> Packers:
    home = tmp_path_factory.mktemp("conda-pack")
    replica.link(home / "prefix", *SPECS, packages=home / "packages")
    return Packers(prefix=home / "prefix", packages=home / "packages", cache=home / "cache")


@pytest.fixture(scope="module")
def packed(packers: Packers, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give conda-pack's archive of the prefix and envpack's, unpacked into directories of names equally long."""
    home = tmp_path_factory.mktemp("unpacked")
    places = (home / "by-conda-pack", home / "done-by-us--x")
    for archive, place in zip(packers.both(packers.prefix, home), places, strict=True):
        place.mkdir()
        subprocess.run(["tar", "-xzf", archive, "-C", place], check=True)
    return places


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}


def names(archive: Path) -> set[str]:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            return {name for name in file.namelist() if not name.endswith("/")}
    with tarfile.open(archive) as tar:
        return {member.name for member in tar if not member.isdir()}


def no_environment(prefix: Path) -> None:
    shutil.rmtree(prefix / "conda-meta")


def absent(prefix: Path) -> None:
    shutil.rmtree(prefix)


def editable(prefix: Path) -> None:
    info = prefix / SITE / "mine-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (info / "direct_url.json").write_text('{"url": "file:///home/me/mine", "dir_info": {"editable": true}}')


def deleted(prefix: Path) -> None:
    (prefix / "include/proj/proj.h").unlink()


@pytest.mark.parametrize(
    ("change", "named"),
    [(no_environment, ""), (absent, ""), (editable, "mine"), (deleted, "proj.h")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_both_refuse(change: Callable[[Path], None], named: str, packers: Packers, tmp_path: Path) -> None:
    prefix = packers.copy(tmp_path)
    change(prefix)
    for pack in (packers.conda_pack, packers.envpack):
        done = pack(prefix, tmp_path / "out.tar.gz")
        assert done.returncode != 0
        assert named in done.stderr
        assert not (tmp_path / "out.tar.gz").exists()
    assert "Traceback" not in done.stderr


def test_both_refuse_an_output_that_is_there_and_overwrite_it_when_forced(packers: Packers, tmp_path: Path) -> None:
    out = tmp_path / "out.tar.gz"
    for pack in (packers.conda_pack, packers.envpack):
        out.write_text("precious")
        assert pack(packers.prefix, out).returncode != 0
        assert out.read_text() == "precious"
        assert pack(packers.prefix, out, "--force").returncode == 0
        assert tarfile.is_tarfile(out)


@pytest.mark.parametrize("name", ["missing/out.tar.gz", "out.7z"])
def test_both_refuse_a_directory_that_is_not_there_and_a_format_that_is_none(
    name: str, packers: Packers, tmp_path: Path
) -> None:
    for pack in (packers.conda_pack, packers.envpack):
        done = pack(packers.prefix, tmp_path / name)
        assert done.returncode != 0
        assert not list(tmp_path.iterdir())
    assert "Traceback" not in done.stderr


def test_the_files_are_the_same_but_for_bytecode_guards_and_a_note_to_backup_programs(
    packed: tuple[Path, Path],
) -> None:
    theirs, ours = map(files, packed)
    assert theirs - ours == {"CACHEDIR.TAG"}
    assert {path for path in ours - theirs if not path.endswith(".pyc")} == GUARDS


def test_their_content_is_the_same_but_for_what_tells_of_this_machine(packed: tuple[Path, Path]) -> None:
    theirs, ours = packed
    different = {
        name
        for name in files(theirs) & files(ours)
        if not (theirs / name).is_symlink() and (theirs / name).read_bytes() != (ours / name).read_bytes()
    }
    links = {name for name in files(theirs) & files(ours) if (theirs / name).is_symlink()} - guard.LAUNCHERS
    assert {name for name in links if (theirs / name).readlink() != (ours / name).readlink()} == set()
    kinds = {
        name.split("/")[0] if name.startswith(("bin/", "conda-meta/")) else Path(name).suffix for name in different
    }
    assert kinds <= {"bin", "conda-meta", ".pc", ".pyc", ""}
    assert {
        name for name in different if Path(name).suffix == "" and "/" in name and not name.startswith("bin/")
    } == {name for name in different if name.endswith((".dist-info/RECORD",))}


def test_what_finds_itself_needs_no_conda_unpack(packed: tuple[Path, Path]) -> None:
    """A .pc file by `pcfiledir`, a script by the place it is run from: nothing on a node runs conda-unpack."""
    _, ours = packed
    assert "${pcfiledir}" in (ours / "lib/pkgconfig/proj.pc").read_text()
    told = subprocess.run([ours / "bin/proj-config", "--prefix"], capture_output=True, text=True, check=True).stdout
    assert Path(told.strip()).samefile(ours)


def test_conda_unpack_places_both_in_their_directory(packed: tuple[Path, Path], tmp_path: Path) -> None:
    placed = []
    for root in packed:
        copy = shutil.copytree(root, tmp_path / root.name, symlinks=True)
        subprocess.run([copy / "bin/python", copy / "bin/conda-unpack"], check=True)
        placed.append(copy)
    theirs, ours = placed
    for name in (
        "lib/cmake/proj/proj-config.cmake",
        "lib/libproj.so.25.9.8.1",
    ):
        expected = (theirs / name).read_bytes().replace(os.fsencode(theirs), b"PLACED")
        assert b"PLACED" in expected
        assert (ours / name).read_bytes().replace(os.fsencode(ours), b"PLACED") == expected
    assert (
        str(ours) in subprocess.run([ours / "bin/proj-config", "--prefix"], capture_output=True, text=True).stdout
    )


def test_scripts_find_their_own_python_where_conda_packs_ask_the_path(packed: tuple[Path, Path]) -> None:
    theirs, ours = packed
    assert (theirs / "bin/jupyter").read_text().startswith("#!/usr/bin/env python")
    done = subprocess.run(
        [ours / "bin/jupyter", "--version"],
        env={"PATH": os.defpath, "HOME": str(ours)},
        capture_output=True,
        text=True,
    )
    assert "jupyter_core" in done.stdout, done.stderr


def test_both_leave_out_what_belongs_to_an_installation_of_conda_and_take_what_is_not_condas(
    packers: Packers, tmp_path: Path
) -> None:
    prefix = packers.copy(tmp_path)
    left_out = ("pkgs/a", "envs/a/b", "conda-bld/a", "users/a", "notes~")
    taken = ("data/a", f"{SITE}/mine.py", "share/proj/a~")
    for name in (*left_out, *taken):
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_text("a = 1\n")
    (prefix / "bin/conda").write_text("#!/bin/sh\n")
    (prefix / "bin/activate").write_text("# of an old conda\n")
    (prefix / "empty").mkdir()
    (prefix / "link").symlink_to("data/a")
    for archive in packers.both(prefix, tmp_path):
        found = names(archive)
        assert found.isdisjoint({*left_out, "bin/conda"})
        assert {*taken, "link", "conda-meta/history"} <= found
        with tarfile.open(archive) as tar:
            assert "empty" in {name.rstrip("/") for name in tar.getnames()}
            activate = tar.extractfile("bin/activate")
            assert activate
            assert b"of an old conda" not in activate.read()


def test_both_pack_a_prefix_whose_packages_are_gone(packers: Packers, tmp_path: Path) -> None:
    away = packers.packages.rename(tmp_path / "away")
    try:
        theirs, ours = map(names, packers.both(packers.prefix, tmp_path))
    finally:
        away.rename(packers.packages)
    assert theirs - ours == {"CACHEDIR.TAG"}


def test_a_zip_of_both_holds_what_links_lead_to(packers: Packers, tmp_path: Path) -> None:
    theirs, ours = packers.both(packers.prefix, tmp_path, "zip")
    for archive in (theirs, ours):
        with zipfile.ZipFile(archive) as file:
            assert file.read("lib/libproj.so")[:4] == b"\x7fELF"
    assert names(theirs) - names(ours) == {"CACHEDIR.TAG"}
