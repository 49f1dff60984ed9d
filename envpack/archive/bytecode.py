"""Compile a prefix's modules ahead of time, to the same bytes everywhere."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import IO, TYPE_CHECKING, TypeAlias

from envpack.errors import PackingFailed
from envpack.progress import SILENT
from envpack.redact import filtered_logger
from envpack.tools.cores import cores

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from envpack.progress import Progress, Step

_Process: TypeAlias = "subprocess.Popen[str]"

log = filtered_logger(__name__)

_SCRIPT = Path(__file__).with_name("compile_share.py")

# No site, no user's modules, no bytecode of its own; UTF-8 file names whatever the locale.
_OPTIONS = ("-S", "-s", "-B", "-X", "utf8", "-W", "ignore")


@dataclass(frozen=True, kw_only=True)
class Compiler:
    """Makes the bytecode of an environment while it is packed, of those modules that no kept piece has."""

    python: Path
    """An interpreter of the very version that will run the bytecode."""
    into: Path
    """Where the pyc files go, in the prefix's layout: the prefix itself, or an empty directory."""


def compile_prefix(
    prefix: Path,
    *,
    python: Path,
    into: Path | None = None,
    without: Collection[str] = (),
    workers: int | None = None,
    progress: Progress = SILENT,
) -> int:
    """Compile every module below `lib/pythonX.Y` of `prefix` and return how many pyc files were written.

    `python` is an interpreter of the very version that will run them: the prefix's own or, for another platform's
    prefix, one of this machine. The pyc files go below `into`, which gets the prefix's layout (default: into the
    prefix itself, by rename, so that nothing hard-linked changes). They are hash-based and never checked against
    their source (PEP 552), and hold no path and no time of this machine. Modules that are no valid Python, such as
    templates, are passed over, and so are those in `without`, by path from the prefix. `workers` is the number of
    processes (default: one for each core).

    Raises PackingFailed when `python` cannot be run or fails.
    """
    shares = workers or cores()
    places = [str(prefix), str(into or prefix)]
    with ExitStack() as stack, progress.step("compile") as step:
        # First, so that it ends last: its threads end when the processes have been killed.
        pool = stack.enter_context(ThreadPoolExecutor(shares))
        processes = [stack.enter_context(_compiler(python, *places, str(n), str(shares))) for n in range(shares)]
        for process in processes:
            _tell(process, without)
        total = sum([_modules(process) for process in processes])
        step.total(total)
        written = sum(pool.map(partial(_follow, step=step), processes))
        step.note(f"{written:,} modules")
    log.debug("compiled %d of %d modules; the others are not valid in this Python", written, total)
    return written


@contextmanager
def _compiler(python: Path, *arguments: str) -> Iterator[_Process]:
    """Start `compile_share.py`; it is killed if the block ends before it does."""
    command = [str(python), *_OPTIONS, str(_SCRIPT), *arguments]
    # Sets of strings are written in the order of their hashes before Python 3.11.
    environment = {"PYTHONHASHSEED": "0"}
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except OSError as error:
        raise PackingFailed(
            f"cannot run {python} to compile the modules: {error.strerror}",
            hint="is it built for this machine, and are the libraries it needs there?",
        ) from error
    with process:
        try:
            yield process
        finally:
            process.kill()


def _tell(process: _Process, without: Collection[str]) -> None:
    """Say which modules a process is to pass over; one that has died says why when it is asked."""
    assert process.stdin is not None  # noqa: S101 - for the type checker: it was opened as a pipe
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write("\0".join(sorted(without)))


def _modules(process: _Process) -> int:
    """Return how many modules a process is going to compile: the first thing it says."""
    line = _output(process).readline()
    if not line.strip().isdigit():
        raise _failure(process, line)
    return int(line)


def _follow(process: _Process, step: Step) -> int:
    """Wait for a process; return how many pyc files it wrote."""
    written = 0
    for line in _output(process):
        if line not in ("0\n", "1\n"):
            raise _failure(process, line)
        written += int(line)
        step.advance(1)
    if process.wait() != 0:
        raise _failure(process, "")
    return written


def _output(process: _Process) -> IO[str]:
    assert process.stdout is not None  # noqa: S101 - for the type checker: it was opened as a pipe
    return process.stdout


def _failure(process: _Process, line: str) -> PackingFailed:
    said = (line + _output(process).read()).strip().splitlines()
    reason = said[-1] if said else f"it ended with status {process.wait()}"
    return PackingFailed(
        f"the environment's Python could not compile the modules: {reason}",
        hint="a full disk and a Python that lacks its libraries look like this",
    )
