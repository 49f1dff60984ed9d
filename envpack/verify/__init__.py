"""Find out whether an archive works as a Spark node would use it."""

from __future__ import annotations

import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.archive.formats import SUFFIXES, format_of
from envpack.archive.unpack import extract
from envpack.errors import BrokenPackage, VerificationFailed
from envpack.files.elf import provides, version_text
from envpack.files.remove import remove
from envpack.progress import SILENT, Progress
from envpack.tools import emulator
from envpack.tools.cage import Confine
from envpack.units import count
from envpack.verify.binaries import check_binaries, is_of_driver
from envpack.verify.finding import Defect, listed
from envpack.verify.modules import (
    InstalledModules,
    Wanted,
    check_distributions,
    check_paths,
    check_present,
    requested_modules,
)
from envpack.verify.survey import Survey, check_bytecode, check_kept, check_prefix, check_structure, survey, walk
from envpack.verify.trial import Node, hint_for, missing_library, missing_of_cluster, try_modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from envpack.archive.unpack import Extent
    from envpack.config.target import Target
    from envpack.tools.emulator import Emulator


_EMULATED = 5
"""How many times as long an import may take under an emulator."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """An archive that works, and how that was found out."""

    ran: bool
    """Whether its Python ran and imported; otherwise it was only read, being made for another machine."""
    imported: tuple[str, ...]
    """The modules that were imported, sorted."""
    glibc: str | None
    """The oldest glibc that all its binaries can be loaded with; None when it has none that need glibc."""
    seconds: float
    """Wall time."""
    notes: tuple[str, ...]
    """What is legal but worth knowing."""
    under: str | None = None
    """The emulator that its Python ran under, if one was needed."""


def verify(
    archive: Path,
    *,
    target: Target,
    python: str,
    requested: Sequence[str],
    build_prefix: Path | None,
    variables: Mapping[str, str],
    workdir: Path,
    import_timeout: float = 120,
    extent: Extent | None = None,
    confine: Confine = Confine.BEST,
    progress: Progress = SILENT,
) -> Verified:
    """Unpack an archive as a node does, read-only and in another place, and use it there.

    `python` is the version that must be inside, such as `3.11.7`. `requested` are names of distributions or conda
    packages, without versions. `variables` are the settings' environment variables, relative to the directory that
    holds `environment`. `import_timeout` is in seconds. `extent` is what the archive may hold
    at most. All that is made in `workdir` is removed again.

    When this machine can run the target's programs, itself or with qemu's user mode, the archive's Python imports
    what was requested; otherwise it is only inspected. Raises VerificationFailed with every problem that was found.
    """
    start = time.monotonic()
    if format_of(archive.name) is None:
        raise VerificationFailed(
            f"Spark would not unpack {archive.name}", hint=f"end its name in one of {', '.join(SUFFIXES)}"
        )
    with progress.step("verify", total=archive.stat().st_size, unit="bytes") as step, _room(workdir) as room:
        environment = room / "environment"
        refused = extract(archive, environment, extent=extent, read_only=True, step=step)
        files = walk(environment)
        try:
            installed = InstalledModules.read(environment, python.rpartition(".")[0])
            wanted, findings = requested_modules(installed, requested)
        except BrokenPackage as broken:
            text = broken.message.replace(f"{environment}/", "")
            raise VerificationFailed(f"{archive.name}: {text}", hint="build the environment again") from broken
        # To read every file takes about as long as to import the modules, and keeps another core busy.
        with ThreadPoolExecutor(1, thread_name_prefix="survey") as pool:
            reading = pool.submit(survey, environment, files, build_prefix)
            reason, emulated = _how_to_run(files, target)
            if not reason:
                node = Node(
                    directory=room,
                    variables=variables,
                    timeout=import_timeout * (_EMULATED if emulated else 1),
                    confine=confine,
                    emulator=emulated,
                    progress=progress,
                )
                imported, failures = _run(node, wanted, python, target)
            found = reading.result()
        findings += [Defect(text=text) for text in refused]
        findings += _inspect(found, installed, target, build_prefix)
        reason = reason or _needs_newer_glibc(found, emulated)
        if reason:
            imported, failures = (), list(check_present(installed, wanted.owners))
            findings.append(Defect(text=f"not run: {reason}", fatal=False))
        findings += _blame(failures, None if reason else emulated)
        ran = f"Python {python} ran{f' under {emulated.program.name}' if emulated else ''}"
        step.note(f"not run: {reason}" if reason else f"{ran}, {count(len(imported), 'module')} imported")
        if emulated and not reason:
            text = f"its Python ran under {emulated.program.name}, which stands in for a node with {target.machine}"
            findings.append(Defect(text=text, fatal=False))
    _raise_for(findings, archive)
    return Verified(
        ran=not reason,
        imported=imported,
        glibc=version_text(found.glibc),
        seconds=time.monotonic() - start,
        notes=tuple(finding.text for finding in findings),
        under=emulated.program.name if emulated and not reason else None,
    )


def _inspect(found: Survey, installed: InstalledModules, target: Target, build_prefix: Path | None) -> list[Defect]:
    """Return all that can be found out without running anything."""
    return [
        *check_structure(found, installed.python_minor),
        *check_bytecode(found, installed.python_minor),
        *check_prefix(found, build_prefix),
        *check_kept(found),
        *check_binaries(found, target),
        *check_distributions(installed),
        *check_paths(installed),
    ]


@contextmanager
def _room(workdir: Path) -> Iterator[Path]:
    """Make a directory that stands for a container on a node, and remove it at the end."""
    room = Path(tempfile.mkdtemp(prefix="node-", dir=workdir)).resolve()
    try:
        (room / "environment").mkdir()
        yield room
    finally:
        remove(room)


def _how_to_run(files: Sequence[str], target: Target) -> tuple[str | None, Emulator | None]:
    """Say why the archive's Python is not tried on this machine, if so, and what runs it if that is needed."""
    if "bin/python" not in files:
        return "there is no bin/python", None
    if target.is_this_machine:
        return None, None
    try:
        return None, emulator.find(target.machine)
    except emulator.NoEmulator as error:
        return f"made for {target.platform}, and {error}", None


def _needs_newer_glibc(found: Survey, emulated: Emulator | None) -> str | None:
    """Say why what was tried on this machine means nothing, if so."""
    if emulated:
        where, family = str(emulated.root), "glibc"
        here = provides(emulated.libc) or (0, 0)
        version = version_text(here) or ""
    else:
        where, (family, version) = "this machine", platform.libc_ver()
        here = _two_numbers(version) if family == "glibc" else (0, 0)
    if found.glibc and here < found.glibc:
        return f"needs glibc {version_text(found.glibc)}, and {where} has {family} {version}"
    return None


def _two_numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _blame(findings: Sequence[Defect], emulated: Emulator | None) -> list[Defect]:
    """Return findings with the hint that an emulator may be at fault, where one was used."""
    if emulated is None:
        return list(findings)
    hint = (
        f"it ran under {emulated.program.name}, which may be at fault: try it on a node, --no-verify publishes it"
    )
    return [replace(each, hint=each.hint or hint) if each.fatal else each for each in findings]


def _run(node: Node, wanted: Wanted, python: str, target: Target) -> tuple[tuple[str, ...], list[Defect]]:
    """Start the archive's Python and import the modules; return those that could be, sorted, and what is wrong."""
    trial, findings = try_modules(node, ["ssl", *wanted.owners])
    if trial.version is None:
        text = f"bin/python does not start: {trial.ended}"
        return (), [Defect(text=text, hint=hint_for(trial.ended))]
    if trial.version != python:
        findings.append(Defect(text=f"its Python is {trial.version}, not {python}"))
    outside = [folder for folder in trial.path if not Path(folder).is_relative_to(node.directory / "environment")]
    if outside:
        text = f"its Python takes modules from {listed(outside)}, not from the archive"
        findings.append(Defect(text=text, hint="a virtual environment borrows another Python: build with envpack"))
    if trial.certificates == 0:
        text = "no certificates: HTTPS from a worker will fail"
        findings.append(Defect(text=text, hint="add ca-certificates, or set SSL_CERT_FILE under `variables:`"))
    findings += [_failure(module, wanted, reason, target) for module, reason in trial.failed.items()]
    return tuple(sorted({*trial.imported} & {*wanted.owners})), findings


def _failure(module: str, wanted: Wanted, reason: str, target: Target) -> Defect:
    """Return the finding for a module that is not imported; a note when a node has what is missing or need not."""
    owner = wanted.owners.get(module, module)
    name = module if module == owner else f"{module} (of {owner})"
    library = missing_library(reason)
    if missing_of_cluster(reason):
        return Defect(text=f"{name} was not imported: it needs the cluster's own pyspark", fatal=False)
    of_driver = library is not None and is_of_driver(library, target)
    fatal = not of_driver and (module == "ssl" or module in wanted.required)
    return Defect(text=f"{name} cannot be imported: {reason}", hint=hint_for(reason), fatal=fatal)


def _raise_for(findings: Sequence[Defect], archive: Path) -> None:
    """Raise VerificationFailed with all problems, if there are any."""
    problems = [finding for finding in findings if finding.fatal]
    if problems:
        lines = [f"{archive.name} does not work as a node would use it:", *(f"  {item.text}" for item in problems)]
        hints = dict.fromkeys(item.hint for item in problems if item.hint)
        raise VerificationFailed("\n".join(lines), hint="; ".join(hints) or None)
