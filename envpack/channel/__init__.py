"""Make a starter channel: a small, real conda channel that holds the Python of this machine."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from rattler.index import index_fs

from envpack.channel import conda_file, interpreter, tree
from envpack.config.addresses import directory_at
from envpack.errors import UsageError
from envpack.files import elf
from envpack.progress import SILENT, Progress
from envpack.tools import rattler
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envpack.channel.interpreter import Interpreter

MARK = ".envpack-channel"
"""A file in every directory that `init` made."""

BUILD = "envpack_0"
"""The build string of the packages, which says where they come from."""

_LICENSE = "Python-2.0"


@dataclass(frozen=True, kw_only=True)
class StarterChannel:
    """What `init` made."""

    directory: Path
    """Usable as a channel directly, or from any web server."""
    packages: tuple[str, ...]
    """File names of the new packages."""
    python: str
    """The Python's version, such as `3.11.7`."""
    platform: str
    """The conda subdir: the channel serves targets of this platform."""
    glibc: str
    """The oldest glibc that the Python runs on, as `MAJOR.MINOR`."""


def init(
    directory: Path, *, python: Path | None = None, root: Path | None = None, progress: Progress = SILENT
) -> StarterChannel:
    """Make the Python that runs envpack, or another one, a package of a conda channel in `directory`.

    With `root`, the directory with another system's unpacked packages, it is that system's Python, and `python` its
    path from there; qemu runs it, so it may be for another processor.

    The package carries every shared library outside glibc and runs from any directory. The directory may be new,
    empty, or an existing starter channel, in which the package is replaced or added. Raises UsageError when it is
    anything else, or when the Python is not for Linux with glibc; PackingFailed when it cannot be relocated.
    """
    directory = Path(directory_at(directory, Path.cwd()))
    asked = interpreter.ask_in(root, python) if root else interpreter.ask(python or Path(sys.executable))
    with _claimed(directory), tempfile.TemporaryDirectory(prefix=".making-", dir=directory) as scratch:
        made, glibc = _package(asked, Path(scratch), progress)
        with progress.step("index"):
            place = directory / asked.subdir / made.name
            place.parent.mkdir(exist_ok=True)
            made.replace(place)
            (directory / "noarch").mkdir(exist_ok=True)
            rattler.run(index_fs(directory, force=True))
    return StarterChannel(
        directory=directory, packages=(made.name,), python=asked.version, platform=asked.subdir, glibc=glibc
    )


@contextmanager
def _claimed(directory: Path) -> Iterator[None]:
    mark = directory / MARK
    if not mark.exists() and directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(
            f"{directory} is not empty, and not a channel of `envpack channel init`",
            hint="give a new directory or an empty one",
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        mark.touch()
        with FileLock(f"{mark}.lock"):
            for left in directory.glob(".making-*"):
                shutil.rmtree(left)
            yield
    except OSError as error:
        raise UsageError(
            f"the channel cannot be made in {directory}: {error}", hint="give a directory that you can write to"
        ) from error


def _package(asked: Interpreter, scratch: Path, progress: Progress) -> tuple[Path, str]:
    root = scratch / "prefix"
    with progress.step("collect") as step:
        binaries, notes = tree.lay_out(asked, root)
        libraries = sum(path.parent == root / "lib" for path in binaries)
        step.note(f"Python {asked.version} and {count(libraries, 'library', 'libraries')}")
    for note in notes:
        progress.warn(note)
    with progress.step("package") as step:
        glibc = _oldest_glibc(binaries)
        index = _index(asked, glibc)
        made = scratch / f"{index['name']}-{index['version']}-{index['build']}.conda"
        conda_file.write(root, made, index=index, about={"license": _LICENSE, "summary": "Python, repackaged"})
        step.note(f"{made.stat().st_size / 1e6:.0f} MB, runs on glibc {glibc} and newer")
    return made, glibc


def _oldest_glibc(paths: Iterable[Path]) -> str:
    binaries = (elf.read(path, path.name) for path in paths)
    versions = [binary.glibc for binary in binaries if binary and binary.glibc]
    return ".".join(str(part) for part in max(versions))


def _index(asked: Interpreter, glibc: str) -> dict[str, Any]:
    return {
        "name": "python",
        "version": asked.version,
        "build": BUILD,
        "build_number": 0,
        "subdir": asked.subdir,
        "depends": [f"__glibc >={glibc}"],
        "license": _LICENSE,
        "python_site_packages_path": f"lib/python{asked.short_version}/site-packages",
    }
