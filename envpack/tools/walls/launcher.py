"""Start a command in a cage, watch it, and end all its remaining processes.

Runs as `python -I -S -c TEXT`, one process for each cage, single-threaded: most walls apply to the thread that
builds them, and `waitpid` for any child must not take the exit codes of envpack's other children.

Standard input has the order, a marshalled dictionary (see `envpack.tools.cage`), and then nothing: when its other
end is closed, the cage is ended. Standard output gets one marshalled dictionary, the result. Both ends use this
Python and this version of envpack; packaged code reaches neither.
"""

from __future__ import annotations

import marshal
import os
import select
import signal
import stat
import time

from . import identity, syscalls
from .inmate import LINUX, Channel, away, below, isolated, kept
from .syscalls import suppress

TYPE_CHECKING = False  # importing typing takes longer than building a cage
if TYPE_CHECKING:
    from typing import Any

_TICK = 0.05
_WATCH = 0.25
"""The least seconds between two checks of what a cage uses."""
_SHARE = 20
"""The inverse of the share of time that checks may take."""
_ENTRY = 512
_TAIL = 1 << 16
_PIECE = 1 << 16
_SETTING_UP = 30.0
_PATIENCE = 5.0
_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
"""CLONE_NEWNS, _NEWUTS, _NEWIPC, _NEWPID and _NEWNET."""
_NEW_USER = 0x10000000


class NotBuilt(Exception):
    """A cage could not be made in this way."""

    def __init__(self, reason: str, *, nothing: bool = False) -> None:
        super().__init__(reason)
        self.nothing = nothing
        """Whether this system has no walls at all: only then may a command run without them."""


class Inmates:
    """The processes of a cage, seen from the launcher."""

    def __init__(self, first: int, status: int, output: int, *, keeper: int | None = None) -> None:
        self.first = first
        """The parent of all others."""
        self.status = status
        self.output = output
        self.keeper = keeper
        """The pipe whose closing makes a keeper kill; None where all others end with the first process."""
        self.walls: list[str] = []
        self.without: list[str] = []
        self.ended: int | None = None
        self.trouble: tuple[str, str] | None = None
        """Why the command did not start: `exec` or `failed`, and the reason."""
        self.ready = False
        self._rest = b""

    def hear(self) -> bool:
        """Read the processes' reports; return whether there may be more."""
        piece = os.read(self.status, _PIECE)
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            word, _, more = line.decode("utf-8", "replace").partition(" ")
            if word == "wall":
                self.walls.append(more)
            elif word == "without":
                self.without.append(more)
            elif word == "ready":
                self.ready = True
            elif word == "ended":
                self.ended = int(more)
            else:
                self.trouble = (word, more)
        return bool(piece)


def main() -> None:
    """Read the order, execute it, report the result."""
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    order = marshal.load(source)  # noqa: S302 - envpack wrote it
    for descriptor in (order["report"], order["commands"]):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if LINUX:
        with suppress(OSError):
            syscalls.prctl(syscalls.SUBREAPER, 1)
    result = _carry_out(order)
    with os.fdopen(1, "wb") as answer:
        marshal.dump(result, answer)


def _carry_out(order: dict[str, Any]) -> dict[str, Any]:
    failed: list[tuple[str, str]] = []
    nothing = order["plans"] == ["none"]
    for plan in order["plans"]:
        if plan == "none" and not nothing:
            break
        try:
            inmates = _build({**order, "plan": plan})
        except (NotBuilt, OSError) as error:
            failed.append((plan, (error.strerror if isinstance(error, OSError) else None) or str(error)))
            nothing = isinstance(error, NotBuilt) and error.nothing
            _end_all_below()
            continue
        for descriptor in (order["report"], order["commands"]):
            if descriptor >= 0:
                os.close(descriptor)
        watch = _Watch(order, inmates)
        reason = watch.until_the_end()
        _end(inmates)
        watch.read_the_rest()
        return {
            "plan": plan,
            "walls": inmates.walls,
            "without": inmates.without,
            "failed": failed,
            "status": inmates.ended,
            "trouble": inmates.trouble,
            "reason": reason,
            "output": watch.tail,
        }
    return {"plan": None, "failed": failed}


def _build(order: dict[str, Any]) -> Inmates:
    status, low = os.pipe()
    telling = away(low)
    os.close(low)
    output, printing = os.pipe()
    order["output"] = printing
    order["user"] = None
    if order["plan"] != "none" and LINUX:
        user = identity.user_of_its_own()
        if order["plan"] == "landlock" and not identity.reading(overriding=order["modes"]):
            user = None  # it could not pass through the directories of root
        if user is not None:
            with suppress(OSError):
                identity.hand_over(order["writable"], user)
                order["user"] = user
    order["limits"] = _limits_of(order)
    if order["plan"] in ("user", "root"):
        inmates = _isolate(order, status, telling, output)
    else:
        commands, keeping = os.pipe()
        first = os.fork()
        if first == 0:
            os.close(keeping)
            _last(lambda: kept(order, Channel(telling), commands), telling)
        os.close(commands)
        inmates = Inmates(first, status, output, keeper=keeping)
    os.close(telling)
    os.close(printing)
    end = time.monotonic() + _SETTING_UP
    while not (inmates.ready or inmates.trouble):
        left = end - time.monotonic()
        if left <= 0 or not select.select([status], [], [], left)[0] or not inmates.hear():
            break
    if not inmates.ready and (inmates.trouble or ("", ""))[0] != "exec":
        _end(inmates)
        os.close(output)
        word, reason = inmates.trouble or ("failed", "it did not come up")
        raise NotBuilt(reason, nothing=word == "nothing")
    return inmates


def _limits_of(order: dict[str, Any]) -> dict[str, int]:
    """Return the resource limits of the command's processes.

    RLIMIT_NPROC counts all threads of a user on the machine; in a user namespace only its own, since Linux 5.14.
    """
    limits: dict[str, int] = dict(order["limits"])
    if order["user"] is not None or os.geteuid() == 0:
        return limits
    if not LINUX:
        del limits["RLIMIT_NPROC"]
    elif order["plan"] != "user" or _kernel() < (5, 14):
        limits["RLIMIT_NPROC"] += _threads_of(os.getuid())
    return limits


def _kernel() -> tuple[int, int]:
    numbers = os.uname().release.replace("-", ".").split(".")
    return int(numbers[0]), int(numbers[1])


def _threads_of(user: int) -> int:
    """Return how many threads a user has."""
    count = 0
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


def _isolate(order: dict[str, Any], status: int, telling: int, output: int) -> Inmates:
    waiting, going = os.pipe()
    flags = _NAMESPACES | (_NEW_USER if order["plan"] == "user" else 0) | signal.SIGCHLD
    first = syscalls.call("clone", int(flags), 0, 0, 0, 0)
    if first == 0:
        os.close(going)
        word = os.read(waiting, 1)
        if word == b"0":  # there is no other user to become
            order["user"] = None
        if word:
            _last(lambda: isolated(order, Channel(telling)), telling)
        os._exit(1)
    os.close(waiting)
    try:
        word = b"1"
        if order["plan"] == "user" and not identity.map_users(first, everybody=order["user"] is not None):
            word = b"0"
            if order["user"] is not None:
                identity.hand_over(order["writable"], os.geteuid())
        os.write(going, word)
    except OSError as error:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        raise NotBuilt(f"user namespace: {error.strerror}") from None
    finally:
        os.close(going)
    return Inmates(first, status, output)


def _last(work: Any, telling: int) -> None:
    """Do a forked process' whole work; it never returns into the launcher's code."""
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - a forked process has nobody to raise it to
        Channel(telling).tell("failed", str(error).replace("\n", " "))
    os._exit(1)


def _end(inmates: Inmates) -> None:
    """Kill all of a cage, and wait until none is left."""
    if inmates.keeper is None:
        with suppress(OSError):
            os.kill(inmates.first, signal.SIGKILL)
    else:
        os.close(inmates.keeper)
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if os.waitpid(inmates.first, os.WNOHANG)[0]:
                break
            time.sleep(0.002)
        else:
            os.kill(inmates.first, signal.SIGKILL)
    with suppress(OSError):
        while inmates.hear():
            pass
    os.close(inmates.status)
    _end_all_below()


def _end_all_below() -> None:
    """Kill all remaining processes below this one, which adopts all orphans."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                for child in below(os.getpid()):
                    with suppress(OSError):
                        os.kill(child, signal.SIGKILL)
                time.sleep(0.001)
        except ChildProcessError:
            return


class _Watch:
    """Watches one cage until it has to end."""

    def __init__(self, order: dict[str, Any], inmates: Inmates) -> None:
        self._order = order
        self._inmates = inmates
        self._printed = 0
        self.tail = b""
        self._bounds = order["bounds"]
        self._end = time.monotonic() + self._bounds["seconds"]
        self._next_look = time.monotonic() + _WATCH

    def until_the_end(self) -> str | None:
        """Return why the cage had to be ended, or None when its command ended by itself."""
        inmates = self._inmates
        sources = [0, inmates.output, inmates.status]
        while inmates.ended is None and inmates.trouble is None:
            ready, _, _ = select.select(sources, [], [], _TICK)
            if 0 in ready and not os.read(0, _PIECE):
                return "asked"
            if inmates.status in ready and not inmates.hear():
                break
            if inmates.output in ready:
                if not self._read():
                    sources.remove(inmates.output)
                if self._printed > self._bounds["output"]:
                    return "output"
            if reason := self._look():
                return reason
        return None

    def read_the_rest(self) -> None:
        """Read the remaining output; all processes that could print more are gone."""
        while self._printed <= self._bounds["output"] and self._read():
            pass

    def _read(self) -> bool:
        piece = os.read(self._inmates.output, _PIECE)
        self._printed += len(piece)
        self.tail = (self.tail + piece)[-_TAIL:]
        return bool(piece)

    def _look(self) -> str | None:
        """Return the exceeded bound, if any."""
        now = time.monotonic()
        if now > self._end:
            return "seconds"
        if now < self._next_look or not LINUX:
            return None
        processes = below(os.getpid())
        reason = None
        if len(processes) > self._bounds["processes"]:
            reason = "processes"
        elif sum(map(_memory, processes)) > self._bounds["memory"] or _machine_is_full():
            reason = "memory"
        elif sum(map(_size, self._order["writable"])) + _without_names(processes) > self._bounds["disk"]:
            reason = "disk"
        took = time.monotonic() - now
        self._next_look = now + took + max(_WATCH, took * _SHARE)
        return reason


def _memory(process: int) -> int:
    """Return the bytes of memory that are private to a process, or shared without a file."""
    with suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{process}/status", "rb") as file:
            text = file.read()
        return sum(int(text.partition(name)[2].split(None, 1)[0]) for name in (b"RssAnon:", b"RssShmem:")) << 10
    return 0


def _without_names(processes: list[int]) -> int:
    """Return the bytes of the files that processes have open and that no directory names: removed ones, memfds."""
    found: dict[tuple[int, int], int] = {}
    for process in processes:
        with suppress(OSError), os.scandir(f"/proc/{process}/fd") as descriptors:
            for descriptor in descriptors:
                with suppress(OSError):
                    facts = os.stat(descriptor.path)
                    if facts.st_nlink == 0 and stat.S_ISREG(facts.st_mode):
                        found[facts.st_dev, facts.st_ino] = facts.st_blocks * 512
    return sum(found.values())


def _machine_is_full() -> bool:
    with suppress(OSError, ValueError, IndexError):
        with open("/proc/meminfo", "rb") as file:
            text = file.read()
        total, left = (int(text.partition(name)[2].split(None, 1)[0]) for name in (b"MemTotal:", b"MemAvailable:"))
        return left * 50 < total
    return False


def _size(directory: str) -> int:
    """Return the bytes on disk of all files below a directory; empty ones take space too."""
    total = 0
    waiting = [directory]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    total += max(_ENTRY, entry.stat(follow_symlinks=False).st_blocks * 512)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    return total


if __name__ == "__main__":
    main()
