"""Pack a prefix into one archive."""

from __future__ import annotations

import errno
import gc
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.archive.ahead import ahead
from envpack.archive.composing import Digested, Keep, Laid, Manner, compose
from envpack.archive.formats import DEFAULT, FORMATS, LEVEL
from envpack.archive.pieces import Piece, PieceGone
from envpack.archive.slim import left_out, total
from envpack.errors import PackingFailed
from envpack.files.atomic import replacing
from envpack.progress import SILENT
from envpack.tools.cores import cores
from envpack.units import count, human_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from envpack.archive.bytecode import Compiler
    from envpack.archive.formats import FormatName
    from envpack.archive.parts import Part
    from envpack.archive.pieces import Kept, Pieces
    from envpack.archive.plan import Sources
    from envpack.archive.saving import Saving
    from envpack.progress import Progress, Step

_MOST_THREADS = 16
"""More threads would wait for the reader, and each keeps a few blocks in memory."""

_SHOWN = 6
"""How many files a warning names."""

_TRIES = 3
"""How often kept pieces may vanish or be damaged while an archive is made of them; then none are used."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """An archive that was written."""

    path: Path
    format: FormatName
    size: int
    """Bytes."""
    sha256: str
    """The archive's digest."""
    unpacked_size: int
    """Bytes of all files when unpacked."""
    members: int
    """The number of its files, links and directories; a directory counts once even if a tar names it several
    times."""
    pieces: tuple[Laid, ...] = ()
    """Its pieces, in order."""

    @property
    def saved(self) -> tuple[Saving, ...]:
        """What was left out because no node needs it."""
        return total(saving for piece in self.pieces for saving in piece.facts.saved)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What in the archive will not work on a node, because nothing runs `conda-unpack` there."""
        facts = [piece.facts for piece in self.pieces]
        runs = {entry.path for each in facts for entry in each.entries if entry.executable}
        texts = sorted({row.path for each in facts for row in each.rewritten if row.kind == "text"})
        programs = [path for path in texts if path in runs]
        others = [path for path in texts if path not in runs and not left_out(path)]
        told = []
        if programs:
            told.append(f"programs that name their prefix in a way that cannot be rewritten: {_some(programs)}")
        if others:
            told.append(f"files that name a prefix which no node has: {_some(others)}")
        return tuple(told)


def pack(
    prefix: Path,
    out: Path,
    *,
    format: FormatName = DEFAULT,
    level: int = LEVEL,
    threads: int | None = None,
    bytecode: Path | None = None,
    compiler: Compiler | None = None,
    kept: Kept | None = None,
    slim: bool = False,
    settled: Collection[str] = (),
    proven: bool = False,
    last: Collection[str] = (),
    progress: Progress = SILENT,
) -> Packed:
    """Write the archive of a conda prefix to `out`, replacing any file there; the prefix is only read.

    The bytes depend only on the content of the prefix, `format`, `level` (1 to 9) and `slim`: not on the prefix's
    path, the user, the time, the number of `threads` (default: one for each core), or the `kept` pieces. Memory
    does not grow with the prefix. Bytecode is included only where it is the same everywhere, as `compile_prefix`
    writes it, from the directory `bytecode` or else from the prefix; other pyc files are left out. A `compiler`
    makes it first. With `slim`, files that no node needs are left out. `settled` are correct files that more than
    one package has. `last` are owners, such as `pypi/features`, whose files come after those of the others: they
    change most often. With `proven`, each file that is read has to match its package's record.

    Raises DamagedPackage when one does not, and PackingFailed for a prefix that would not work elsewhere (files
    missing or overwritten, links and editable packages that lead out of it), and when `out` cannot be written.
    """
    # Not resolve(): the files contain the prefix's path from when it was made.
    prefix, out = Path(os.path.abspath(prefix)), Path(os.path.abspath(out))  # noqa: PTH100
    manner = _manner(format, level, threads or min(cores(), _MOST_THREADS), out)
    # conda_pack takes 0.1 s to import.
    from envpack.archive.plan import Sources  # noqa: PLC0415
    from envpack.archive.selection import read  # noqa: PLC0415

    with _explained(out), _uncollected():
        bytecode = (compiler.into if compiler else bytecode) or prefix
        sources = Sources(
            content=read(prefix, settled, last),
            bytecode=bytecode,
            compiler=compiler,
            kept=kept,
            slim=slim,
            proven=proven,
        )
        for _ in range(_TRIES - 1):
            try:
                return _pack(sources, out, manner, progress)
            except PieceGone:
                continue
        return _pack(replace(sources, kept=None), out, manner, progress)


def assemble(
    keys: Sequence[str], pieces: Pieces, out: Path, *, format: FormatName = DEFAULT, progress: Progress = SILENT
) -> Packed | None:
    """Write the archive of the kept pieces with these keys, in their order; None if one of them is missing.

    Raises PackingFailed when `out` cannot be written.
    """
    with _explained(out), _uncollected(), progress.step("pack", unit="bytes") as step:
        found = pieces.find(keys)
        if len(found) < len(set(keys)):
            return None
        manner = _manner(format, LEVEL, 1, out)
        parts = [found[key] for key in keys]
        step.total(sum(entry.size for part in parts for entry in part.facts.entries))
        try:
            with _whole(out) as file:
                laid = compose(parts, file, manner=manner, keep=None, step=step)
        except PieceGone:
            return None
        step.note(f"packed to {file.size / 1e6:,.1f} MB, all packed before")
        return _packed(out, manner, file, laid)


def _manner(name: FormatName, level: int, threads: int, out: Path) -> Manner:
    format = FORMATS[name]
    return Manner(format=format, level=level if format.compressed else 0, threads=threads, scratch=out.parent)


def _pack(sources: Sources, out: Path, manner: Manner, progress: Progress) -> Packed:
    from envpack.archive.plan import key_of, plan  # noqa: PLC0415

    kept = sources.kept
    keep = Keep(pieces=kept.pieces, key_of=partial(key_of, sources=sources, manner=manner)) if kept else None
    planned = plan(sources, manner, progress)
    with progress.step("pack", unit="bytes") as step, _whole(out) as file:
        with ahead(_counted(planned, step)) as parts:
            laid = compose(parts, file, manner=manner, keep=keep, step=step)
        reused = sum(piece.reused for piece in laid)
        packages = count(len(sources.content.owners.names), "package")
        again = f", {reused} of {packages} packed before" if reused else ""
        members = len({entry.path for piece in laid for entry in piece.facts.entries})
        step.note(f"packed to {file.size / 1e6:,.1f} MB, {count(members, 'member')}{again}")
    if saved := total(saving for piece in laid for saving in piece.facts.saved):
        progress.info(_told(saved))
    if kept:
        kept.pieces.shrink()
    return _packed(out, manner, file, laid)


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more


def _counted(parts: Iterable[Part | Piece], step: Step) -> Iterator[Part | Piece]:
    """Yield the parts, and report the amount of work of each to the step."""
    known = 0
    for part in parts:
        known += _unpacked(part)
        step.total(known)
        owner = part.facts.owner if isinstance(part, Piece) else part.owner
        step.current(owner.rpartition("/")[2])
        yield part


def _told(saved: Sequence[Saving]) -> str:
    files = sum(saving.files for saving in saved)
    largest = ", ".join(
        f"{saving.rule} {human_size(saving.size)}" for saving in sorted(saved, key=lambda saving: -saving.size)
    )
    return f"left out   {human_size(sum(saving.size for saving in saved))}, {count(files, 'file')}: {largest}"


def _unpacked(part: Part | Piece) -> int:
    members = part.facts.entries if isinstance(part, Piece) else part.members
    return sum([member.size for member in members])


def _packed(out: Path, manner: Manner, file: Digested, laid: Sequence[Laid]) -> Packed:
    entries = [entry for piece in laid for entry in piece.facts.entries]
    return Packed(
        path=out,
        format=manner.format.name,
        size=file.size,
        sha256=file.hexdigest(),
        unpacked_size=sum([entry.size for entry in entries]),
        members=len({entry.path for entry in entries}),
        pieces=tuple(laid),
    )


@contextmanager
def _whole(path: Path) -> Iterator[Digested]:
    """Open a file that gets its name only when it is complete."""
    with replacing(path) as file, Digested(file).running() as digested:
        yield digested


@contextmanager
def _uncollected() -> Iterator[None]:
    """Delay garbage collection: the data on files is no garbage, and scanning it takes a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _explained(out: Path) -> Iterator[None]:
    """Distinguish errors of `out` from errors of the files that are read."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message, hint = f"no space is left to write {out}", "free some, or pack to another file system"
        elif error.filename and Path(error.filename).parent != out.parent:
            message, hint = (
                f"cannot read {error.filename}: {error.strerror}",
                "pack as a user who may read all of it",
            )
        else:
            message, hint = (
                f"cannot write {out}: {error.strerror}",
                "does the directory exist, and may you write there?",
            )
        raise PackingFailed(message, hint=hint) from error
