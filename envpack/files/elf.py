"""Read from a program or shared library what it needs to be loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")

_ABI_MARKS = {"GLIBC_ABI_DT_RELR": (2, 36), "GLIBC_ABI_GNU2_TLS": (2, 42)}
"""Features that a file needs of the C library, and the first version that has them. Source: glibc's NEWS."""

_MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}


@dataclass(frozen=True, kw_only=True)
class Binary:
    """One ELF file that a process loads."""

    name: str
    """Its path in the archive."""
    machine: str
    """As `uname -m` prints it; the ELF constant for machines that envpack does not build for."""
    glibc: tuple[int, int] | None
    """The highest version of the C library that one of its symbols needs."""
    needed: tuple[str, ...]
    """The libraries it names (DT_NEEDED)."""


def read(path: Path, name: str) -> Binary | None:
    """Read the headers of an ELF file; None when it is not one that a process loads, or is damaged.

    Only the dynamic section and the version needs (`.gnu.version_r`, LSB 3.0 chapter 10.7) are read, independent of
    the file's size.
    """
    with path.open("rb") as file:
        try:
            elf = ELFFile(file)
            if elf.header.e_type not in {"ET_EXEC", "ET_DYN"}:
                return None
            glibc, needed = _needs(elf)
        except ELFError:
            return None
        machine = str(elf.header.e_machine)
        return Binary(name=name, machine=_MACHINES.get(machine, machine), glibc=glibc, needed=needed)


def provides(path: Path) -> tuple[int, int] | None:
    """Return the version of a C library, by the newest symbols that it defines; None for other files."""
    with path.open("rb") as file:
        try:
            sections = [each for each in ELFFile(file).iter_sections() if isinstance(each, GNUVerDefSection)]
            names = {name.name for section in sections for _, names in section.iter_versions() for name in names}
        except (ELFError, OSError):
            return None
    return (
        max((int(match[1]), int(match[2])) for match in map(_VERSION.fullmatch, names) if match) if names else None
    )


def version_text(version: tuple[int, int] | None) -> str | None:
    """Return a version of the C library as people write it."""
    return ".".join(map(str, version)) if version else None


def _needs(elf: ELFFile) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
    """Return the C library and the libraries that a file needs, from one pass over its sections."""
    symbols: set[str] = set()
    libraries: list[str] = []
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            symbols.update(need.name for _, needs in section.iter_versions() for need in needs)
        elif isinstance(section, DynamicSection):
            tags = section.iter_tags("DT_NEEDED")
            libraries += [tag.needed for tag in tags]  # type: ignore[attr-defined]  # set on tags of this kind
    named = [(int(match[1]), int(match[2])) for name in symbols if (match := _VERSION.fullmatch(name))]
    able = [_ABI_MARKS[name] for name in symbols & _ABI_MARKS.keys()]
    return max([*named, *able], default=None), tuple(libraries)
