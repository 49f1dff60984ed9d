"""Programs of another processor on this machine: qemu's user mode, with a system's libraries for them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_LOADERS = {"aarch64": "lib/ld-linux-aarch64.so.1", "x86_64": "lib64/ld-linux-x86-64.so.2"}
_NEEDED = ("libc.so.6", "libgcc_s.so.1", "libstdc++.so.6")
"""Libraries that wheels may use from the system. Source: PEP 600, and auditwheel's policies."""

_FOLDERS = ("lib/{}-linux-gnu", "usr/lib/{}-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib")

_DEBIAN = {"aarch64": "arm64", "x86_64": "amd64"}
"""Debian's names of processors."""


@dataclass(frozen=True, kw_only=True)
class Emulator:
    """Runs programs of another processor than this machine's."""

    machine: str
    """As `uname -m` prints it."""
    program: Path
    """qemu's program for it."""
    root: Path
    """The directory in which its programs find the loader and the libraries of a system, as if it were `/`."""

    @property
    def words(self) -> list[str]:
        """The words before a command. Source: qemu's documentation, "User Mode Emulation"."""
        return [str(self.program), "-L", str(self.root)]

    @property
    def readable(self) -> list[Path]:
        """The paths that it always has to read."""
        return [self.program.resolve(), self.root]

    @property
    def libc(self) -> Path:
        """The C library that programs get."""
        found = library(self.root, self.machine, "libc.so.6")
        return found or self.root

    def __str__(self) -> str:
        return f"{self.program.name} with the libraries of {self.root}"


class NoEmulator(Exception):
    """Why programs of a processor cannot be run here."""


def find(machine: str, root: Path | None = None) -> Emulator:
    """Return the emulator for a processor's programs; raises NoEmulator with what to install.

    `root` is a directory that holds such a system; without it one is looked for where QEMU_LD_PREFIX says, where
    Debian puts libraries for cross-compiling, and in `/`, where a second architecture's may be.
    """
    names = (f"qemu-{machine}", f"qemu-{machine}-static")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        raise NoEmulator(f"there is no {names[0]} on PATH (Debian's package qemu-user)")
    roots = [root] if root else _roots(machine)
    complete = [place for place in roots if _is_complete(place, machine)]
    if not complete:
        debian = _DEBIAN.get(machine, machine)
        raise NoEmulator(
            f"{root} has no loader, C library and C++ library for {machine}"
            if root
            else f"there are no libraries for {machine} (Debian: libstdc++6-{debian}-cross; else QEMU_LD_PREFIX)"
        )
    return Emulator(machine=machine, program=Path(program), root=complete[0])


def library(root: Path, machine: str, name: str) -> Path | None:
    """Return a library of the system below a root."""
    folders = (root / folder.format(machine) for folder in _FOLDERS)
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def _roots(machine: str) -> list[Path]:
    named = os.environ.get("QEMU_LD_PREFIX")
    return [*([Path(named)] if named else []), Path(f"/usr/{machine}-linux-gnu"), Path("/")]


def _is_complete(root: Path, machine: str) -> bool:
    """Return whether a root has the libraries for programs and wheels of a processor."""
    has = {name: library(root, machine, name) for name in _NEEDED}
    return (root / _LOADERS.get(machine, "lib")).is_file() and all(has.values())
