"""Read every file of an unpacked environment once, and judge what can be judged without running it."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack.files import elf
from envpack.verify.finding import Defect, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CHUNK = 1 << 20
_ELF = b"\x7fELF"
_FEW = 0.9


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The files of an environment; paths are relative to it."""

    environment: Path
    """Where it is unpacked."""
    files: frozenset[str]
    """Every file and link."""
    binaries: tuple[elf.Binary, ...]
    """Every ELF file that a process loads."""
    with_prefix: tuple[str, ...]
    """The files that hold the path of the build prefix."""
    gone: tuple[str, ...]
    """The files that were removed before they could be read."""

    @property
    def glibc(self) -> tuple[int, int] | None:
        """The oldest glibc that all binaries can be loaded with."""
        return max((binary.glibc for binary in self.binaries if binary.glibc), default=None)


def survey(environment: Path, names: Sequence[str], build_prefix: Path | None) -> Survey:
    """Read every file of `environment` in pieces, looking for the path of the build prefix if there was one.

    `names` are its files and links, as `walk` gives them.
    """
    needle = os.fsencode(build_prefix) if build_prefix else b""
    binaries, with_prefix, gone = [], [], []
    for name in names:
        path = environment / name
        if path.is_symlink():
            continue
        try:
            is_elf, holds = _scan(path, needle)
            binary = elf.read(path, name) if is_elf else None
        except FileNotFoundError:
            gone.append(name)
            continue
        if holds:
            with_prefix.append(name)
        if binary:
            binaries.append(binary)
    return Survey(
        environment=environment,
        files=frozenset(names),
        binaries=tuple(binaries),
        with_prefix=tuple(with_prefix),
        gone=tuple(gone),
    )


def walk(environment: Path) -> list[str]:
    """Return every file and link of an environment by its relative path, each directory's sorted."""
    return list(_walk(environment))


def _walk(folder: Path | str, above: str = "") -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{above}{entry.name}/")
            else:
                yield above + entry.name


def _scan(path: Path, needle: bytes) -> tuple[bool, bool]:
    """Say whether a file is an ELF file and whether it contains `needle`, also across two pieces."""
    with path.open("rb", buffering=0) as file:
        piece = file.read(_CHUNK)
        is_elf = piece.startswith(_ELF)
        while needle and piece:
            if needle in piece:
                return is_elf, True
            more = file.read(_CHUNK)
            piece = piece[-(len(needle) - 1) :] + more if more else b""
    return is_elf, False


def check_structure(found: Survey, python_minor: str) -> Iterator[Defect]:
    """Yield what prevents a node from starting `bin/python`, for a Python such as `3.11`."""
    python = found.environment / "bin" / "python"
    tops = {name.split("/", 1)[0] for name in found.files}
    wrapper = next((top for top in tops if f"{top}/bin/python" in found.files), None)
    if wrapper is not None:
        yield Defect(
            text=f"everything is in {wrapper}/, but Spark looks for bin/python at the top of the archive",
            hint="pack the content of the directory, not the directory",
        )
    elif not python.is_file():
        yield Defect(text="there is no bin/python", hint="add python to the requirements")
    elif not python.stat().st_mode & 0o100:
        yield Defect(text="bin/python has no permission to be executed")
    if wrapper is None and f"lib/python{python_minor}/encodings/__init__.py" not in found.files:
        yield Defect(
            text=f"there is no lib/python{python_minor}/encodings, without which Python does not start",
            hint="a virtual environment borrows them from another Python: build the environment with envpack",
        )


def check_prefix(found: Survey, build_prefix: Path | None) -> Iterator[Defect]:
    """Yield the files that contain a directory of the machine they were built on."""
    if found.with_prefix:
        yield Defect(
            text=f"the build directory {build_prefix}, which no node has, is named in {listed(found.with_prefix)}",
            hint="report which package installs these files",
        )


def check_kept(found: Survey) -> Iterator[Defect]:
    """Yield the files that the environment's own code removed while its modules were imported."""
    if found.gone:
        yield Defect(
            text=f"its modules, when they are imported, remove {listed(found.gone)}",
            hint="find the package that does it: the Python processes of a node share one environment",
        )


def check_bytecode(found: Survey, python_minor: str) -> Iterator[Defect]:
    """Yield a note when most nodes would have to compile the Python files again in every worker."""
    tag = f"cpython-{python_minor.replace('.', '')}"
    sources = [name for name in found.files if name.endswith(".py") and name.startswith("lib/")]
    compiled = [name for name in sources if _bytecode(name, tag) in found.files]
    if len(compiled) < _FEW * len(sources):
        yield Defect(
            text=f"{len(sources) - len(compiled)} of {len(sources)} Python files have no bytecode: "
            "each Python worker compiles what it imports",
            fatal=False,
        )


def _bytecode(source: str, tag: str) -> str:
    folder, name = posixpath.split(source)
    return f"{folder}/__pycache__/{name[:-3]}.{tag}.pyc"
