"""Compile a prefix's modules ahead of time, to the same bytes everywhere."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from envpack.errors import PackingFailed
from envpack.files.inside import inside
from envpack.files.remove import remove
from envpack.progress import SILENT
from envpack.redact.logs import filtered_logger
from envpack.tools import cage
from envpack.tools.cage import Cage, Confine, Limits
from envpack.tools.cores import cores
from envpack.tools.process import lines_of
from envpack.tools.report import BrokenReport, ReportPipe
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from envpack.progress import Progress, Step
    from envpack.tools.cage import Caged

log = filtered_logger(__name__)

_SCRIPT = Path(__file__).with_name("compile_share.py")

# No site, no user's modules, no bytecode of its own; UTF-8 file names in any locale.
_OPTIONS = ("-S", "-s", "-B", "-X", "utf8", "-W", "ignore")

_PATIENCE = 600.0
"""Seconds that one module may take."""

_WORTH_A_PROCESS = 32
"""Modules. To start a Python in a cage takes as long as to compile some fifty small ones."""

_LIMITS = Limits(seconds=7200, file_size=512 << 20)
_PYC = ".pyc"
_MODE = 0o644


class Brought(NamedTuple):
    """The entries in a package's list of files for a module with its bytecode."""

    source: str
    """The SHA-256 of the module after linking."""
    pyc: str
    """The SHA-256 of its bytecode."""


@dataclass(frozen=True, kw_only=True)
class Compiler:
    """Makes the bytecode of an environment while it is packed, for the modules that are in no kept piece."""

    python: Path
    """An interpreter of exactly the version that will run the bytecode."""
    into: Path
    """Where the pyc files go, in the prefix's layout: the prefix itself, or an empty directory."""
    own: bool = False
    """Whether to use existing bytecode that the prefix's Python would accept, compiled by anyone."""
    confine: Confine = Confine.BEST


def compile_prefix(
    prefix: Path,
    *,
    python: Path,
    into: Path | None = None,
    without: Collection[str] = (),
    vouched: Mapping[str, Brought] = MappingProxyType({}),
    also: Mapping[str, bytes] = MappingProxyType({}),
    own: bool = False,
    workers: int | None = None,
    confine: Confine = Confine.BEST,
    progress: Progress = SILENT,
) -> int:
    """Compile every module below `lib/pythonX.Y` of `prefix` and return how many pyc files were written.

    `python` is an interpreter of exactly the version that will run them: the prefix's own or, for another
    platform's prefix, one of this machine. The pyc files go below `into`, which gets the prefix's layout (default:
    into the prefix itself, by rename, so that nothing hard-linked changes). They are hash-based and never checked
    against their source (PEP 552), and hold no path and no time of this machine. Modules that are not valid Python,
    such as templates, are skipped, and so are those in `without`, by path from the prefix. `also` are sources that
    the archive has besides the prefix's, or instead, by path. Where a package has the bytecode of a module,
    `vouched` holds by the module's path the digests of both in its list of files. If the files have these digests,
    and this Python would accept the bytecode for the source, the code is read from there and not compiled. With
    `own` it is enough that this Python would accept it. `workers` is the number of processes (default: up to
    one for each core, as many as the modules are worth), each in a cage of its own: the prefix's Python is packaged
    code. It is not started where there is nothing to compile.

    Raises PackingFailed when `python` cannot be run or fails.
    """
    most = cores() * _WORTH_A_PROCESS  # more would not change the number of processes
    waiting = len(also) + len(
        list(islice((path for path in _modules(prefix) if path not in without and path not in also), most))
    )
    if not waiting:
        with progress.step("compile") as step:
            step.note(count(0, "module"))
        return 0
    shares = workers or max(1, min(cores(), waiting // _WORTH_A_PROCESS))
    into = into or prefix
    with ExitStack() as stack, progress.step("compile") as step:
        # First, so that it ends last: its threads end when the processes have been killed.
        pool = stack.enter_context(ThreadPoolExecutor(shares))
        work = _Work(
            prefix=prefix,
            python=python,
            without=without,
            vouched=vouched,
            also=also,
            own=own,
            confine=confine,
            progress=progress,
        )
        running = [stack.enter_context(_compiler(work, into, n, shares)) for n in range(shares)]
        total = sum([share.count() for share in running])
        step.total(total)
        list(pool.map(partial(_Share.follow, step=step), running))
        written = sum([_put(share.made, into) for share in running])
        step.note(count(written, "module"))
    log.debug("compiled %d of %d modules; the others are not valid in this Python", written, total)
    return written


def _modules(prefix: Path) -> Iterator[str]:
    """Yield the modules below `lib/pythonX.Y`, for every X.Y, by path from the prefix."""
    for library in prefix.glob("lib/python*"):
        for folder, folders, names in os.walk(library):
            folders[:] = [name for name in folders if name != "__pycache__"]
            below = Path(folder).relative_to(prefix).as_posix()
            yield from (f"{below}/{name}" for name in names if name.endswith(".py"))


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What to compile, and how."""

    prefix: Path
    python: Path
    without: Collection[str]
    vouched: Mapping[str, Brought]
    also: Mapping[str, bytes]
    own: bool
    confine: Confine
    progress: Progress

    def write_lists(self, folder: Path) -> None:
        """Write the files that `compile_share.py` reads."""
        vouched = [text for path, (source, pyc) in sorted(self.vouched.items()) for text in (path, source, pyc)]
        for name, texts in (("without", sorted(self.without)), ("vouched", vouched)):
            (folder / name).write_bytes(b"\0".join(map(os.fsencode, texts)))
        for path, source in self.also.items():
            file = inside(folder, f"also/{path}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source)

    def cage(self, made: Path) -> Cage:
        """Return the cage of a process that writes to `made`."""
        return Cage(
            directory=made,
            # Sets of strings are written in the order of their hashes before Python 3.11.
            environ={"PYTHONHASHSEED": "0"},
            readable=[self.prefix, _SCRIPT, *_homes(self.python, self.prefix)],
            writable=[made],
            limits=_LIMITS,
            confine=self.confine,
            progress=self.progress,
        )


_COMPILED = re.compile(rb"[01] ([A-Za-z0-9._-]{0,64})")
"""The report on a processed module, and what it belongs to."""


class _Share:
    """A running process that compiles a share of the modules."""

    def __init__(self, caged: Caged, made: Path) -> None:
        self._caged = caged
        self._report = ReportPipe(caged.report)
        self.made = made
        """Where its bytecode is."""

    def count(self) -> int:
        """Return how many modules it is going to compile: the first line of its report. Raises PackingFailed."""
        line = self._line() or b""
        if not (line.isdigit() and len(line) < 10):
            raise self._failure()
        return int(line)

    def follow(self, step: Step) -> None:
        """Wait for its end. Raises PackingFailed."""
        while (line := self._line()) is not None:
            said = _COMPILED.fullmatch(line)
            if said is None:
                raise self._failure()
            step.current(said[1].decode("ascii"))
            step.advance(1)
        if self._ended_badly():
            raise self._failure()

    def _line(self) -> bytes | None:
        try:
            return self._report.line(_PATIENCE)
        except (TimeoutError, BrokenReport) as error:
            raise self._failure(str(error) or f"it said nothing for {_PATIENCE:g} s") from error

    def _ended_badly(self) -> bool:
        try:
            return self._caged.wait(_PATIENCE).code != 0
        except TimeoutError:
            return True

    def _failure(self, reason: str | None = None) -> PackingFailed:
        try:
            ended = self._caged.end()
        except OSError as error:
            return _cannot_run(error)
        said = lines_of(ended.output)
        reason = reason or (said[-1] if said else f"it {ended.problem or 'ended too soon'}")
        return PackingFailed(
            f"the environment's Python could not compile the modules: {reason}",
            hint="check for a full disk, and for missing libraries of that Python",
        )


@contextmanager
def _compiler(work: _Work, into: Path, number: int, shares: int) -> Iterator[_Share]:
    """Start `compile_share.py` in a cage; it is killed if the block ends first."""
    made = Path(tempfile.mkdtemp(prefix=".compiled-", dir=into.absolute().parent))
    try:
        work.write_lists(made)
        arguments = map(
            str, (work.prefix.absolute(), made, number, shares, cage.REPORT, *(["own"] if work.own else []))
        )
        with cage.start([work.python.absolute(), *_OPTIONS, _SCRIPT, *arguments], work.cage(made)) as caged:
            yield _Share(caged, made)
    except OSError as error:
        raise _cannot_run(error) from error
    finally:
        remove(made)


def _cannot_run(error: OSError) -> PackingFailed:
    return PackingFailed(
        f"the environment's Python cannot be run to compile the modules: {error.strerror}",
        hint="check that it is built for this machine's platform and that its libraries are installed",
    )


def _homes(python: Path, prefix: Path) -> Iterator[Path]:
    """Yield the directories that an interpreter needs outside the prefix: for its own and its real path."""
    for place in (python.absolute(), Path(os.path.realpath(python))):
        if place.is_relative_to(prefix):
            continue
        home = place.parents[1]
        yield home if (home / "pyvenv.cfg").exists() or any(home.glob("lib/python3*")) else place


def _put(made: Path, into: Path) -> int:
    """Move the bytecode that packaged code has made to its place; return the number of files.

    Anything but plain files is left, and nothing is written through a link that leads out of `into`. By rename, so
    that what is hard-linked to a package cache keeps its content.
    """
    root, owner, moved = os.path.realpath(into), (os.geteuid(), os.getegid()), 0
    for folder, folders, names in os.walk(made):
        if not folder.endswith("/__pycache__"):
            continue
        folders.clear()
        place = into / Path(folder).relative_to(made)
        if not Path(os.path.realpath(place)).is_relative_to(root):
            continue
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            file = f"{folder}/{name}"  # a Path of each of thousands would take as long as all the rest
            facts = os.lstat(file)
            if not (name.endswith(_PYC) and stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1):
                continue
            if (facts.st_uid, facts.st_gid) != owner:
                os.chown(file, *owner)
            if stat.S_IMODE(facts.st_mode) != _MODE:
                os.chmod(file, _MODE)  # noqa: PTH101 - see above
            os.replace(file, f"{place}/{name}")  # noqa: PTH105 - see above
            moved += 1
    return moved
