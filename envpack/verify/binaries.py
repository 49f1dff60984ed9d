"""Compare the programs and libraries of an environment with the machine they must run on."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from typing import TYPE_CHECKING

from envpack.files.elf import version_text
from envpack.verify.finding import Defect, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from envpack.config.target import Target
    from envpack.files.elf import Binary
    from envpack.verify.survey import Survey

# Part of glibc, and the libraries that the manylinux policy (PEP 600) lets every wheel expect, as far as a node
# without a screen has them.
_ON_EVERY_NODE = (
    "ld-linux", "libBrokenLocale.", "libanl.", "libc.", "libdl.", "libm.", "libmvec.", "libnsl.", "libpthread.",
    "libresolv.", "librt.", "libthread_db.", "libutil.", "libgcc_s.", "libstdc++.", "libz.",
)  # fmt: skip

_WITH_THE_DRIVER = ("libcuda.", "libnvidia-", "libnvcuvid.")


def is_of_driver(library: str, target: Target) -> bool:
    """Say whether a library comes with the CUDA driver that the nodes have."""
    return target.cuda is not None and library.startswith(_WITH_THE_DRIVER)


def check_binaries(found: Survey, target: Target) -> Iterator[Defect]:
    """Yield what prevents the target from loading the binaries of an environment."""
    native = [binary for binary in found.binaries if binary.machine == target.machine]
    yield from _check_machine(found.binaries, target)
    yield from _check_glibc(native, target)
    yield from _check_libraries(native, {posixpath.basename(name) for name in found.files}, target)


def _check_machine(binaries: Sequence[Binary], target: Target) -> Iterator[Defect]:
    """Find binaries for another processor. A directory that also holds the right file chooses by itself."""
    right = {posixpath.dirname(binary.name) for binary in binaries if binary.machine == target.machine}
    foreign: dict[str, list[str]] = defaultdict(list)
    for binary in binaries:
        folder = posixpath.dirname(binary.name)
        chosen_at_run_time = folder in right and "/site-packages/" in folder
        if binary.machine != target.machine and not chosen_at_run_time:
            foreign[binary.machine].append(binary.name)
    for machine, names in sorted(foreign.items()):
        yield Defect(
            text=f"made for {machine}, but the nodes are {target.machine}: {listed(names)}",
            hint=f"solve again for --platform {target.platform}",
        )


def _check_glibc(native: Sequence[Binary], target: Target) -> Iterator[Defect]:
    major, minor = target.glibc.split(".")
    newer: dict[tuple[int, int], list[str]] = defaultdict(list)
    for binary in native:
        if binary.glibc and binary.glibc > (int(major), int(minor)):
            newer[binary.glibc].append(binary.name)
    for version, names in sorted(newer.items()):
        yield Defect(
            text=f"needs GLIBC_{version_text(version)}, but the nodes have glibc {target.glibc}: {listed(names)}",
            hint=f"solve with --glibc {target.glibc}, or give a newer glibc if every node has it",
        )


def _check_libraries(native: Sequence[Binary], names: Collection[str], target: Target) -> Iterator[Defect]:
    missing: dict[str, list[str]] = defaultdict(list)
    for binary in native:
        for library in binary.needed:
            expected = library.startswith(_ON_EVERY_NODE) or is_of_driver(library, target)
            if posixpath.basename(library) not in names and not expected:
                missing[library].append(binary.name)
    for library, users in sorted(missing.items()):
        yield Defect(
            text=f"{library} is not in the archive, so every node must have it: {listed(users)}", fatal=False
        )
