"""The only way to run packaged code: compiling, verifying, activating, building.

Such code sees the system's programs and libraries and the given directories, at their own paths. It writes to its
own directories, and finds no home, no secret, no network, no other process. No process of it remains when the cage
is closed. `docs/security.md` says how this works, and what each system can do.
"""

from __future__ import annotations

import marshal
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from select import select
from typing import IO, TYPE_CHECKING, Any

from envpack.errors import NotReady, UsageError
from envpack.progress import SILENT
from envpack.tools import seatbelt
from envpack.tools.process import how_it_ended, kill_group
from envpack.tools.walls.identity import USERS
from envpack.tools.walls.landlock import SIGNALS_SINCE
from envpack.tools.walls.mounts import HOST, USER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from envpack.progress import Progress

__all__ = [
    "HOST",
    "REPORT",
    "USER",
    "USERS",
    "Cage",
    "Caged",
    "Confine",
    "Ended",
    "Limits",
    "Walls",
    "examine",
    "run",
    "start",
]

REPORT = 3
"""The descriptor on which the command may write to `Caged.report`."""

_LAUNCHER = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); from walls.launcher import main; main()"
_NAMESPACES = ("user", "root")
_PATIENCE = 10.0

_hopeless: set[str] = set()
"""Plans that failed once in this process."""
_said: set[str] = set()


class Confine(str, Enum):
    """What to do where a machine cannot fully confine packaged code."""

    REQUIRE = "require"
    """Refuse to run it."""
    BEST = "best"
    """Confine it as far as possible, and say what is missing."""
    OFF = "off"
    """Run it as the building user, and kill its remaining processes."""

    @classmethod
    def named(cls, word: str) -> Confine:
        """Return the meaning of a configured word. Raises UsageError."""
        try:
            return cls(word)
        except ValueError:
            words = ", ".join(each.value for each in cls)
            raise UsageError(
                f"confine must be one of {words}, not {word!r}", hint="correct --confine or `confine:`"
            ) from None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a cage may use."""

    seconds: float = float("inf")
    """Wall time."""
    memory: int = 8 << 30
    """Bytes of all processes together, and of each one."""
    processes: int = 1024
    """Processes and threads."""
    file_size: int = 1 << 30
    """Bytes of one file."""
    disk: int = 4 << 30
    """Bytes of all files in the writable directories."""
    output: int = 64 << 20
    """The most bytes of output."""


@dataclass(frozen=True, kw_only=True)
class Cage:
    """The environment of a command in its cage."""

    directory: Path
    """Its working directory."""
    environ: Mapping[str, str]
    """All its environment variables."""
    readable: Sequence[Path] = ()
    """Files and directories that it may read and execute, besides the system's."""
    writable: Sequence[Path] = ()
    """Directories that it may change; if root builds, they become another user's."""
    shown_at: Path | None = None
    """The second path of `directory`, used as the working directory where there are namespaces: the same on every
    machine."""
    changes_modes: bool = False
    """Whether it has to change modes and times of files, as builds do, even without namespaces."""
    reads_all: bool = True
    """Whether it reads what root may read; otherwise modes restrict it like the user of a node."""
    limits: Limits = field(default_factory=Limits)
    confine: Confine = Confine.BEST
    progress: Progress = SILENT
    """Called once when something is missing."""


@dataclass(frozen=True, kw_only=True)
class Walls:
    """The confinement of a command on this machine."""

    plan: str | None
    """`user` or `root` (namespaces, as one of them), `landlock`, `none`; None when nothing may run."""
    names: tuple[str, ...] = ()
    """The walls: `namespaces`, `landlock-7`, `seccomp`, `seatbelt`."""
    failed: tuple[tuple[str, str], ...] = ()
    """The better plans, with the reasons why they failed."""

    @property
    def landlock(self) -> int:
        """The version of Landlock that is in force."""
        found = (name.removeprefix("landlock-") for name in self.names if name.startswith("landlock-"))
        return max(map(int, found), default=0)

    @property
    def level(self) -> str:
        """`full`, `strong`, `weak` or `none`."""
        if self.plan in _NAMESPACES and {"seccomp", f"landlock-{self.landlock}"} & {*self.names}:
            return "full"
        if self.landlock >= SIGNALS_SINCE and "seccomp" in self.names:
            return "strong"
        return "weak" if self.names else "none"

    @property
    def open(self) -> tuple[str, ...]:
        """What packaged code can still reach."""
        if self.level in ("full", "strong"):
            return ()
        if self.level == "none":
            return ("files", "network", "other processes")
        holes = []
        if not self.landlock and "seatbelt" not in self.names:
            holes += ["files", "other processes"]
        elif self.landlock < SIGNALS_SINCE:
            holes.append("signals to other processes")
        if "seatbelt" in self.names:
            holes.append("names of other processes")
        elif "seccomp" not in self.names:
            holes.append("network other than TCP" if self.landlock >= 4 else "network")
            holes.append("modes and times of files")
        return tuple(holes)

    @property
    def reason(self) -> str:
        """Why there is no better confinement."""
        return "; ".join(dict.fromkeys(reason for _, reason in self.failed))


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The end of a caged command."""

    code: int | None
    """Its exit code, negative for a signal; None when it was killed, or did not start."""
    problem: str | None
    """Why it did not end by itself with exit code 0, as words that follow its name."""
    output: bytes
    """The end of its output."""
    walls: Walls


class Caged:
    """A command in its cage."""

    def __init__(self, cage: Cage, process: subprocess.Popen[bytes], report: int, commands: int | None) -> None:
        self._cage = cage
        self._process = process
        self._ended: Ended | None = None
        self.report: IO[bytes] = os.fdopen(report, "rb", buffering=0)
        """What the command writes to descriptor REPORT. Untrusted."""
        self.commands: IO[bytes] | None = os.fdopen(commands, "wb", buffering=0) if commands is not None else None
        """The command's standard input, if it was to have one."""

    def wait(self, timeout: float | None = None) -> Ended:
        """Wait for the command's end, and for that of all it started. Raises TimeoutError."""
        answer = self._process.stdout
        if self._ended is None:
            assert answer is not None  # noqa: S101 - for the type checker: it was opened as a pipe
            if not select([answer], [], [], timeout)[0]:
                raise TimeoutError
            self._ended = _read(answer.read(), self._cage, self._process)
        return self._ended

    def end(self) -> Ended:
        """Kill the command and all it started, if it has not ended; say how it ended."""
        assert self._process.stdin is not None  # noqa: S101 - see above
        with suppress(OSError):
            self._process.stdin.close()
        return self.wait(_PATIENCE)


@contextmanager
def start(command: Sequence[str | Path], cage: Cage, *, told: bool = False) -> Iterator[Caged]:
    """Start a command in a cage for the duration of the block; then it and all it started are killed.

    `told` gives it a standard input to write to. The command is a path and its arguments; PATH is not searched.
    Raises NotReady where packaged code has to be confined and cannot be, and OSError when the command cannot be
    run.
    """
    _admit(cage.confine)
    with _launched([os.fspath(word) for word in command], cage, told=told) as caged:
        yield caged


def run(command: Sequence[str | Path], cage: Cage, *, timeout: float | None = None) -> Ended:
    """Run a command in a cage to its end, or for `timeout` seconds; raises as `start` does."""
    with start(command, cage) as caged:
        try:
            return caged.wait(timeout)
        except TimeoutError:
            ended = caged.end()
            problem = ended.problem or f"did not end within {timeout:g} s"
            return Ended(code=None, problem=problem, output=ended.output, walls=ended.walls)


def examine(confine: Confine = Confine.BEST) -> Walls:
    """Return the confinement of packaged code on this machine: an empty cage is built."""
    cage = Cage(directory=Path("/"), environ={}, confine=confine)
    with _launched([], cage, told=False) as caged:
        return caged.wait(_PATIENCE).walls


_admitted: dict[Confine, Walls] = {}


def _admit(confine: Confine) -> None:
    """Raise NotReady when a cage is required that this machine does not have."""
    if confine is not Confine.REQUIRE:
        return
    walls = _admitted.get(confine) or _admitted.setdefault(confine, examine(confine))
    if walls.level not in ("full", "strong"):
        missing = ", ".join(walls.open)
        raise NotReady(
            f"the sandbox is incomplete on this machine: packaged code could reach {missing}: {walls.reason}",
            hint="`--confine best` runs it anyway; `envpack doctor` shows what this machine has",
        )


@contextmanager
def _launched(command: list[str], cage: Cage, *, told: bool) -> Iterator[Caged]:
    report, reporting = os.pipe()
    commands, telling = os.pipe() if told else (-1, None)
    given = [reporting, commands] if told else [reporting]
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER],
            cwd="/",
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=given,
            start_new_session=True,
        )
    finally:
        for descriptor in given:
            os.close(descriptor)
    caged = Caged(cage, process, report, telling)
    try:
        assert process.stdin is not None  # noqa: S101 - see above
        with suppress(BrokenPipeError):
            process.stdin.write(marshal.dumps(_order(command, cage, reporting, commands)))
            process.stdin.flush()
        yield caged
    finally:
        _close(caged, process)


def _close(caged: Caged, process: subprocess.Popen[bytes]) -> None:
    """End the cage; the launcher does that when its standard input is closed, and gets time for it."""
    try:
        with suppress(OSError):
            assert process.stdin is not None  # noqa: S101 - see above
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
    finally:
        kill_group(process)
        for file in (caged.report, caged.commands, process.stdout, process.stderr):
            if file is not None:
                with suppress(OSError):
                    file.close()


def _order(command: list[str], cage: Cage, report: int, commands: int) -> dict[str, Any]:
    limits = cage.limits
    return {
        "command": [
            *seatbelt.words(cage.readable, cage.writable, confined=cage.confine is not Confine.OFF),
            *command,
        ]
        if command
        else [],
        "environ": dict(cage.environ),
        "directory": os.fspath(cage.directory),
        "shown_at": os.fspath(cage.shown_at) if cage.shown_at else None,
        "readable": _paths(cage.readable),
        "writable": _paths(cage.writable),
        "modes": cage.changes_modes,
        "reads_all": cage.reads_all,
        "plans": _plans(cage.confine),
        "report": report,
        "commands": commands,
        "bounds": {
            "seconds": limits.seconds,
            "memory": limits.memory,
            "processes": limits.processes,
            "disk": limits.disk,
            "output": limits.output,
        },
        "limits": {
            "RLIMIT_FSIZE": limits.file_size,
            "RLIMIT_DATA": limits.memory,
            "RLIMIT_NPROC": limits.processes,
            "RLIMIT_CORE": 0,
        },
    }


def _paths(paths: Sequence[Path]) -> list[str]:
    return [os.path.abspath(path) for path in paths]  # noqa: PTH100 - links stay: code finds itself by these paths


def _plans(confine: Confine) -> list[str]:
    if confine is Confine.OFF or sys.platform != "linux":
        return ["none"]
    plans = [plan for plan in (*_NAMESPACES, "landlock") if plan not in _hopeless]
    return plans if confine is Confine.REQUIRE else [*plans, "none"]  # the last plan, without any walls


def _read(answer: bytes, cage: Cage, process: subprocess.Popen[bytes]) -> Ended:
    """Read the launcher's final report."""
    if not answer:
        assert process.stderr is not None  # noqa: S101 - see above
        raise RuntimeError(f"the cage's launcher failed:\n{process.stderr.read().decode(errors='replace')}")
    told = marshal.loads(answer)  # noqa: S302 - it comes from our own launcher
    _hopeless.update(plan for plan, _ in told["failed"] if plan in _NAMESPACES)
    names = [*told.get("walls", ()), *seatbelt.names(confined=cage.confine is not Confine.OFF)]
    walls = Walls(plan=told["plan"], names=tuple(names), failed=tuple(told["failed"]))
    _say(cage, walls)
    if told["plan"] is None:
        raise NotReady(
            f"packaged code was not run, because the sandbox did not start: {walls.reason}",
            hint="`--confine off` runs it without a sandbox: use it only for packages that you trust; `envpack "
            "doctor` "
            "shows what this machine has",
        )
    if told["trouble"] and told["trouble"][0] == "exec":
        number = int(told["trouble"][1])
        raise OSError(number, os.strerror(number))
    code, problem = _outcome(told, cage.limits)
    return Ended(code=code, problem=problem, output=told["output"], walls=walls)


def _outcome(told: dict[str, Any], limits: Limits) -> tuple[int | None, str | None]:
    passed = {
        "output": f"printed more than {_megabytes(limits.output)}",
        "memory": f"used more than {_megabytes(limits.memory)} of memory, or nearly all of this machine's",
        "processes": f"started more than {limits.processes} processes",
        "disk": f"wrote more than {_megabytes(limits.disk)}",
        "seconds": f"did not end within {limits.seconds:g} s",
    }
    status = told["status"]
    if told["reason"] in passed:
        return None, passed[told["reason"]]
    if status is None:
        return None, None if told["reason"] == "asked" else f"did not start: {told['trouble']}"
    if os.WIFSTOPPED(status):
        return None, f"stopped itself by {signal.Signals(os.WSTOPSIG(status)).name}"
    code = os.waitstatus_to_exitcode(status)
    return code, how_it_ended(code) if code else None


def _megabytes(amount: int) -> str:
    return f"{amount >> 20} MB"


def _say(cage: Cage, walls: Walls) -> None:
    """Report once what is missing."""
    if cage.confine is Confine.BEST and walls.open and not _said:
        _said.add("missing")
        text = f"packaged code is not wholly confined on this machine: it can reach {', '.join(walls.open)}"
        cage.progress.warn(f"{text} ({walls.reason})" if walls.reason else text)
