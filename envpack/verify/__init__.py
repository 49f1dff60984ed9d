"""Find out whether an archive works as a Spark node would use it."""

from __future__ import annotations

import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from envpack import digest
from envpack.archive.formats import SUFFIXES, format_of
from envpack.archive.ownership import ENVIRONMENT
from envpack.archive.unpack import extract
from envpack.errors import BrokenPackage, EnvpackError, VerificationFailed
from envpack.files.elf import provides, version_text
from envpack.files.remove import remove
from envpack.progress import SILENT, Progress
from envpack.redact.logs import filtered_logger
from envpack.tools import emulator
from envpack.tools.cage import Confine
from envpack.tools.cores import cores
from envpack.units import count
from envpack.verify.binaries import check_binaries
from envpack.verify.earlier import Content, Scene, VerificationRecord, seen
from envpack.verify.finding import Defect, listed
from envpack.verify.imports import ImportTrial, attempt, findings
from envpack.verify.modules import (
    InstalledModules,
    Wanted,
    check_distributions,
    check_paths,
    check_present,
    requested_modules,
)
from envpack.verify.stand import Stand
from envpack.verify.survey import Survey, check_bytecode, check_kept, check_prefix, check_structure, survey, walk
from envpack.verify.trial import PROBE, Node

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from envpack.archive.composing import Laid
    from envpack.archive.unpack import Extent
    from envpack.config.target import Target
    from envpack.progress import Step
    from envpack.tools.emulator import Emulator
    from envpack.verify.earlier import Imported, Records, SeenPiece


logger = filtered_logger(__name__)

_MOSTLY = 0.5
"""The largest share of new pieces with which the rest need not be unpacked: with more there is little to gain."""

_EMULATED = 5
"""The factor for an import's time limit under an emulator."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """An archive that works, and how that was checked."""

    ran: bool
    """Whether its Python ran and imported; otherwise it was only read, being made for another machine."""
    imported: tuple[str, ...]
    """The modules that were imported, sorted."""
    taken_over: Mapping[str, str]
    """The modules that were not imported now, because nothing they depend on has changed: with the release for
    which they were."""
    glibc: str | None
    """The oldest glibc that all its binaries can be loaded with; None when it has none that need glibc."""
    seconds: float
    """Wall time."""
    notes: tuple[str, ...]
    """What is legal but worth knowing."""
    under: str | None = None
    """The emulator that its Python ran under, if one was needed."""
    record: VerificationRecord | None = None
    """Findings that archives with common pieces may reuse."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What a build knows of its archive and of earlier ones."""

    pieces: Sequence[Laid]
    """The archive's pieces, in order."""
    prefix: Path
    """The prefix that it was made from; it is consumed."""
    records: Records
    """The findings in earlier archives, to which the new findings are added."""
    name: str
    """The release's."""
    sha256: str
    """The archive's digest."""
    projects: Collection[str] = ()
    """The normalised names of the team's own projects, which change more often than the rest."""

    @property
    def release(self) -> str:
        """The archive's name in these notes."""
        return f"{self.name}@{self.sha256[: digest.SHORT]}"


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
    earlier: Earlier | None = None,
    confine: Confine = Confine.BEST,
    progress: Progress = SILENT,
) -> Verified:
    """Unpack an archive as a node does, read-only and at another path, and use it there.

    `python` is the version that must be inside, such as `3.11.7`. `requested` are names of distributions or conda
    packages, without versions. `variables` are the settings' environment variables, relative to the directory that
    holds `environment`. `import_timeout` is in seconds. `extent` is the limit of the archive's content. Everything
    made in `workdir` is removed again.

    When this machine can run the target's programs, itself or with qemu's user mode, the archive's Python imports
    what was requested; otherwise it is only inspected. With `earlier`, earlier findings on the same pieces are
    reused: only new pieces are unpacked and read, and only modules that they can have changed are imported. If
    anything is wrong then, everything is done again from the archive alone. Raises VerificationFailed with all
    problems.
    """
    start = time.monotonic()
    format = format_of(archive.name)
    if format is None:
        raise VerificationFailed(
            f"Spark cannot unpack {archive.name}", hint=f"give it a name that ends in {', '.join(SUFFIXES)}"
        )
    case = _Case(
        archive=archive,
        target=target,
        python=python,
        requested=requested,
        build_prefix=build_prefix,
        variables=variables,
        workdir=workdir,
        timeout=import_timeout,
        confine=confine,
        progress=progress,
        earlier=earlier,
    )
    with progress.step("verify", total=archive.stat().st_size, unit="bytes") as step:
        found = _on_the_prefix(case, step) if earlier and format.links and target.is_this_machine else None
        if found is None:
            with _room(workdir) as room:
                refused = extract(archive, room / "environment", extent=extent, read_only=True, step=step)
                found = _look(case, _Room(directory=room, refused=refused))
        step.note(found.told(python))
    _raise_for(found.findings, archive)
    record = _record(case, found)
    if record and earlier:
        earlier.records.keep(record, earlier.sha256)
        loaded = {path for each in found.attempts if each.trial.loaded for path in each.trial.loaded.files}
        earlier.records.keep_loaded(record.start, loaded)
    return Verified(
        ran=not found.reason,
        imported=tuple(sorted(found.imported)),
        taken_over=found.releases,
        glibc=version_text(found.survey.glibc),
        seconds=time.monotonic() - start,
        notes=tuple(finding.text for finding in found.findings),
        under=found.emulated.program.name if found.emulated and not found.reason else None,
        record=record,
    )


@dataclass(frozen=True, kw_only=True)
class _Case:
    """The archive to verify."""

    archive: Path
    target: Target
    python: str
    requested: Sequence[str]
    build_prefix: Path | None
    variables: Mapping[str, str]
    workdir: Path
    timeout: float
    confine: Confine
    progress: Progress
    earlier: Earlier | None

    @cached_property
    def content(self) -> Content | None:
        """The archive's content, where that is known."""
        return Content(self.earlier.pieces) if self.earlier else None

    @cached_property
    def last(self) -> frozenset[str]:
        """The requested names whose modules are imported after the others, whose results then hold without them."""
        own = self.earlier.projects if self.earlier else ()
        return frozenset(name for name in self.requested if canonicalize_name(name) in own)

    def node(self, room: _Room, emulated: Emulator | None) -> Node:
        """Return the node that a room represents."""
        return Node(
            directory=room.directory,
            variables=self.variables,
            timeout=self.timeout * (_EMULATED if emulated else 1),
            confine=self.confine,
            emulator=emulated,
            progress=self.progress,
        )

    def judge(self, found: ImportTrial, wanted: Wanted, room: _Room) -> list[Defect]:
        """Return what is wrong with the imports."""
        return list(findings(found, wanted, python=self.python, environment=room.environment, target=self.target))


@dataclass(frozen=True, kw_only=True)
class _Room:
    """A directory whose `environment` is the archive's content, or represents it."""

    directory: Path
    refused: Sequence[str]
    """Why members were not written."""
    seen: Mapping[str, SeenPiece] = field(default_factory=dict)
    """The facts of pieces that were not unpacked, by the SHA-256 of their bytes."""
    stand: Stand | None = None
    """What turns the prefix into the environment."""

    @property
    def environment(self) -> Path:
        return self.directory / "environment"


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The result of verification."""

    findings: Sequence[Defect]
    survey: Survey
    attempts: Sequence[ImportTrial]
    """What was imported now."""
    taken_over: Mapping[str, Imported]
    """By module: the imports of an earlier verification, in place of new ones."""
    scene: Scene | None
    reason: str | None
    """Why its Python was not run, if so."""
    emulated: Emulator | None

    @property
    def works(self) -> bool:
        return not any(finding.fatal for finding in self.findings)

    @property
    def imported(self) -> set[str]:
        return {module for each in self.attempts for module in each.imported}

    @property
    def releases(self) -> dict[str, str]:
        return {module: each.release for module, each in sorted(self.taken_over.items())}

    def told(self, python: str) -> str:
        """Return a line on what was done."""
        if self.reason:
            return f"not run: {self.reason}"
        under = f" under {self.emulated.program.name}" if self.emulated else ""
        ran = f"Python {python} ran{under}, {count(len(self.imported), 'module')} imported"
        if not self.taken_over:
            return ran
        return f"{ran}, {len(self.taken_over)} as before in {listed({*self.releases.values()})}"


def _on_the_prefix(case: _Case, step: Step) -> _Found | None:
    """Verify an archive by its new pieces and by the facts of the others; None if that is not enough."""
    earlier, content = case.earlier, case.content
    if earlier is None or content is None or not earlier.prefix.is_dir():
        return None
    sums = {piece.facts.sha256 for piece in earlier.pieces}
    known = {sha256: note for sha256 in sums if (note := earlier.records.seen(sha256))}
    new = [piece for piece in earlier.pieces if piece.facts.sha256 not in known]
    if sum(piece.facts.length for piece in new) > _MOSTLY * case.archive.stat().st_size:
        return None
    try:
        with _room(case.workdir) as room:
            earlier.prefix.rename(room / "environment")
            stand = Stand(case.archive, content, room / "environment", step)
            found = _look(case, _Room(directory=room, refused=stand.put(new), seen=known, stand=stand))
    except (OSError, EnvpackError) as error:
        logger.info("the archive is verified as a whole: %s", error)
        return None
    if not found.works:
        problems = "; ".join(finding.text for finding in found.findings if finding.fatal)
        logger.info("the archive is verified as a whole: %s", problems)
        return None
    return found


def _look(case: _Case, room: _Room) -> _Found:
    """Check whether the environment in a room works."""
    content = case.content
    files = sorted(content.entries) if room.stand and content else walk(room.environment)
    try:
        installed = InstalledModules.read(room.environment, case.python.rpartition(".")[0])
        wanted, defects = requested_modules(installed, case.requested)
    except BrokenPackage as broken:
        text = broken.message.replace(f"{room.environment}/", "")
        raise VerificationFailed(f"{case.archive.name}: {text}", hint="run `envpack build FILE` again") from broken
    scene = Scene.of(content, installed, case.variables, case.confine, PROBE.read_bytes()) if content else None
    taken_over = _taken_over(case, room, scene, wanted)
    left = {module: name for module, name in wanted.owners.items() if module not in taken_over}
    refused = [*room.refused, *_exact(case, room, scene, left)]
    # Reading every file takes about as long as importing the modules, and uses another core.
    with ThreadPoolExecutor(1, thread_name_prefix="survey") as pool:
        reading = pool.submit(survey, room.environment, _unread(case, room, files), case.build_prefix)
        reason, emulated = _how_to_run(files, case.target)
        shares = cores() if scene else 1
        attempts = [] if reason else attempt(case.node(room, emulated), left, shares=shares, last=case.last)
        read = reading.result()
    found = _whole(read, room, files)
    defects += [Defect(text=text) for text in refused]
    defects += _inspect(found, installed, case.target, case.build_prefix)
    if room.stand and not all(
        each.trial.loaded and room.stand.is_exact(each.trial.loaded.files) for each in attempts
    ):
        defects.append(Defect(text="not all that its Python loads was held against the archive"))
    reason = reason or _needs_newer_glibc(found, emulated)
    if reason:
        attempts, taken_over = [], {}
        defects += [*check_present(installed, wanted.owners), Defect(text=f"not run: {reason}", fatal=False)]
    for each in attempts:
        defects += _blame(case.judge(each, wanted, room), emulated)
    if emulated and not reason:
        text = (
            f"its Python ran under {emulated.program.name}, which stands in for a node with {case.target.machine}"
        )
        defects.append(Defect(text=text, fatal=False))
    return _Found(
        findings=list(dict.fromkeys(defects)),
        survey=found,
        attempts=attempts,
        taken_over=taken_over,
        scene=scene,
        reason=reason,
        emulated=emulated,
    )


def _taken_over(case: _Case, room: _Room, scene: Scene | None, wanted: Wanted) -> dict[str, Imported]:
    """Return the modules that were imported before under the same conditions, with those imports."""
    if scene is None or case.earlier is None or room.stand is None:
        return {}
    found: dict[str, Imported] = {}
    for each in scene.still_hold(case.earlier.records.imports(scene.start)):
        for module in wanted.owners.keys() & each.modules:
            found.setdefault(module, each)
    return found


def _exact(case: _Case, room: _Room, scene: Scene | None, left: Mapping[str, str]) -> list[str]:
    """Make the files that will run equal to the archive's; return the refused ones."""
    if scene is None or room.stand is None:
        return []
    likely = case.earlier.records.loaded(scene.start) if case.earlier else None
    refused = room.stand.make_exact({ENVIRONMENT, *scene.needed(left.values())}, likely)
    room.stand.close()
    return refused


def _unread(case: _Case, room: _Room, files: Sequence[str]) -> list[str]:
    """Return the files that were not read before."""
    known = {
        entry.path
        for piece in (case.earlier.pieces if case.earlier else ())
        if piece.facts.sha256 in room.seen
        for entry in piece.facts.entries
    }
    return [path for path in files if path not in known]


def _whole(read: Survey, room: _Room, files: Sequence[str]) -> Survey:
    """Return the facts of all files, from those that were read now and those that were read before."""
    if room.stand is None:
        return read
    before = [binary for note in room.seen.values() for binary in note.known()]
    gone = tuple(dict.fromkeys((*read.gone, *room.stand.gone())))
    return replace(read, files=frozenset(files), binaries=(*read.binaries, *before), gone=gone)


def _record(case: _Case, found: _Found) -> VerificationRecord | None:
    """Return the findings that later builds may reuse; None where nothing ran, or only with an emulator."""
    earlier, scene = case.earlier, found.scene
    if earlier is None or scene is None or found.reason or found.emulated:
        return None
    binaries = {binary.name: binary for binary in found.survey.binaries}
    pieces = {
        piece.facts.sha256: seen(binaries[entry.path] for entry in piece.facts.entries if entry.path in binaries)
        for piece in earlier.pieces
    }
    new = [
        imported
        for each in found.attempts
        for modules, loaded in each.together()
        if (imported := scene.imported(modules, loaded, earlier.release))
    ]
    before = {each.modules: each for each in found.taken_over.values()}
    return VerificationRecord(start=scene.start, imports=(*new, *before.values()), pieces=pieces)


def _inspect(found: Survey, installed: InstalledModules, target: Target, build_prefix: Path | None) -> list[Defect]:
    """Return all findings that need no running."""
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
    """Make a directory that represents a container on a node, and remove it at the end."""
    room = Path(tempfile.mkdtemp(prefix="node-", dir=workdir)).resolve()
    try:
        (room / "environment").mkdir()
        yield room
    finally:
        remove(room)


def _how_to_run(files: Sequence[str], target: Target) -> tuple[str | None, Emulator | None]:
    """Say why the archive's Python is not run on this machine, if so, and return the emulator, if one is needed."""
    if "bin/python" not in files:
        return "there is no bin/python", None
    if target.is_this_machine:
        return None, None
    try:
        return None, emulator.find(target.machine)
    except emulator.NoEmulator as error:
        return f"made for {target.platform}, and {error}", None


def _needs_newer_glibc(found: Survey, emulated: Emulator | None) -> str | None:
    """Say why the test on this machine is not meaningful, if so."""
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


def _raise_for(findings: Sequence[Defect], archive: Path) -> None:
    """Raise VerificationFailed with all problems, if there are any."""
    problems = [finding for finding in findings if finding.fatal]
    if problems:
        lines = [f"{archive.name} does not work as a node would use it:", *(f"  {item.text}" for item in problems)]
        hints = dict.fromkeys(item.hint for item in problems if item.hint)
        raise VerificationFailed("\n".join(lines), hint="; ".join(hints) or None)
