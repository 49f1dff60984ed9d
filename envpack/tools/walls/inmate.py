"""The processes of a cage: the command, and its parent, which ends with it and ends all the others."""

from __future__ import annotations

import _socket
import fcntl
import os
import resource
import select
import signal
import struct
import sys

# Everything that is needed later is imported before: in its new root directory a process finds none of it.
from . import identity, landlock, mounts, seccomp, syscalls
from .syscalls import suppress

TYPE_CHECKING = False  # importing typing takes longer than building a cage
if TYPE_CHECKING:
    from typing import Any, NoReturn

LINUX = sys.platform == "linux"
REPORT = 3
"""The descriptor that the command may write its report to."""

_HIGH = 64
_LOOPBACK = struct.pack("16sh14x", b"lo", 0x1 | 0x40)
_SET_FLAGS = 0x8914


class Nothing(Exception):
    """No wall can be built on this system."""


class Channel:
    """The end of a pipe on which a cage's own processes report events to the launcher, one line each."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def tell(self, *words: object) -> None:
        """Write a line; the reader may be gone."""
        with suppress(OSError):
            os.write(self.descriptor, (" ".join(map(str, words)) + "\n").encode("utf-8", "replace"))


def isolated(order: dict[str, Any], channel: Channel) -> NoReturn:
    """Run as the first process of new namespaces: make the root directory, start the command, end after it."""
    syscalls.prctl(syscalls.DEATH_SIGNAL, signal.SIGKILL)
    user = order["user"]
    person = user if user is not None else os.getuid()
    new_proc = mounts.enter(order["readable"], order["writable"], (person, person), _aliases(order))
    channel.tell("wall", "namespaces" if new_proc else "old-proc")
    _own_network()
    _start_and_follow(order, channel, own_proc=not new_proc, isolated=True)


def _aliases(order: dict[str, Any]) -> dict[str, str]:
    return {order["shown_at"]: order["directory"]} if order["shown_at"] else {}


def kept(order: dict[str, Any], channel: Channel, commands: int) -> NoReturn:
    """Run as the keeper of a command without namespaces: start it, and kill the rest at its end or on request."""
    os.setsid()
    launcher = os.getppid()
    scoped = False
    if LINUX:
        try:
            syscalls.prctl(syscalls.SUBREAPER, 1)
        except OSError as error:
            # Without it a process whose parent has ended is not found again; a command without walls runs anyway.
            if order["plan"] != "none":
                raise OSError(f"PR_SET_CHILD_SUBREAPER: {error.strerror}") from error
        if order["plan"] == "landlock":
            with suppress(OSError):
                landlock.keep_signals_inside()
                scoped = _nobody_outside_hears(launcher)
    process = os.fork()
    if process == 0:
        os.close(commands)
        _become_command(order, channel, own_proc=False, isolated=False)
    told = _follow_until(process, commands)
    if told:
        channel.tell("ended", told)
    end_all(process, scoped=scoped)
    os._exit(0)


def _start_and_follow(order: dict[str, Any], channel: Channel, *, own_proc: bool, isolated: bool) -> NoReturn:
    process = os.fork()
    if process == 0:
        _become_command(order, channel, own_proc=own_proc, isolated=isolated)
    _close_all_but(channel.descriptor)
    while True:
        child, status = os.waitpid(-1, os.WUNTRACED)
        if child == process:
            channel.tell("ended", status)
            os._exit(0)  # the kernel kills all others of the PID namespace


def _follow_until(process: int, commands: int) -> str:
    """Return how the command ended, or nothing when the launcher closes its end of `commands` first."""
    waking, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    while True:
        with suppress(ChildProcessError):
            while True:
                child, status = os.waitpid(-1, os.WUNTRACED | os.WNOHANG)
                if child == process:
                    return str(status)
                if child == 0:
                    break
        ready, _, _ = select.select([commands, waking], [], [])
        if commands in ready:
            return ""
        os.read(waking, 1 << 10)


def _nobody_outside_hears(launcher: int) -> bool:
    """Return whether this process can signal none outside; checked before all that can be signalled is killed."""
    for other in (launcher, 1):
        try:
            os.kill(other, 0)
        except PermissionError:
            continue
        except OSError:
            return False
        return False
    return True


def end_all(process: int, *, scoped: bool) -> None:
    """Kill every process below this one; `scoped` means that no other can be signalled.

    Source: kill(2), the meaning of -1; the kernel signals all processes under one lock, so that none escapes by
    forking.
    """
    with suppress(OSError):
        os.killpg(process, signal.SIGKILL)
    while True:
        if scoped:
            with suppress(OSError):
                os.kill(-1, signal.SIGKILL)
        else:
            for child in below(os.getpid()):
                with suppress(OSError):
                    os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0 if scoped else os.WNOHANG)
        except ChildProcessError:
            return


def below(process: int) -> list[int]:
    """Return the processes below one, as far as this system reports them."""
    found: list[int] = []
    waiting = [process]
    while waiting:
        parent = waiting.pop()
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{thread}/children") as file:
                    children = [int(number) for number in file.read().split()]
                found += children
                waiting += children
    return found


def _become_command(order: dict[str, Any], channel: Channel, *, own_proc: bool, isolated: bool) -> NoReturn:
    try:
        with suppress(OSError):
            os.setsid()
        _descriptors(order)
        _limits(order)
        if LINUX:
            _walls(order, channel, own_proc=own_proc, isolated=isolated)
        shown = order["shown_at"]
        try:
            os.chdir(shown if shown and isolated else order["directory"])
        except OSError as error:
            channel.tell("exec", error.errno)
            os._exit(126)
        os.umask(0o022)
        # Python ignores SIGPIPE and SIGXFSZ, and so would its children. The second stays ignored: it would kill not
        # only the process that writes past the limit, but also the shell that reports it.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        command = order["command"]
        channel.tell("ready")
        if not command:  # this was only a test whether the cage can be made
            os._exit(0)
        try:
            os.execve(command[0], command, order["environ"])  # noqa: S606
        except OSError as error:
            channel.tell("exec", error.errno)
    except BaseException as error:  # noqa: BLE001 - a forked process has nobody to raise it to
        word = "nothing" if isinstance(error, Nothing) else "failed"
        channel.tell(word, str(error).replace("\n", " "))
    os._exit(126)


def _walls(order: dict[str, Any], channel: Channel, *, own_proc: bool, isolated: bool) -> None:

    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    if own_proc:
        mounts.own_process()
    caged = order["plan"] != "none"
    filtered = caged and seccomp.usable()
    kept = 0
    if order["reads_all"] or not isolated:
        kept = identity.reading(overriding=order["modes"] and not isolated)
    identity.become(order["user"], kept=kept if filtered or isolated or not caged else 0)
    if not caged:
        return
    try:
        if isolated:
            writable = [*order["writable"], *mounts.TEMPORARY, "/proc"]
            version = landlock.confine(["/"], writable, [], tcp=True)
        else:
            readable = [*mounts.system(), *order["readable"], *(f"/proc/{name}" for name in mounts.FACTS)]
            version = landlock.confine([*readable, "/proc/self"], order["writable"], ["/dev/shm"], tcp=False)  # noqa: S108
        channel.tell("wall", f"landlock-{version}")
    except OSError as error:
        channel.tell("without", "landlock", error.errno or 0)
        stands = isolated
    else:
        stands = True
    if filtered:
        try:
            seccomp.confine(seccomp.Room(isolated=isolated, modes=order["modes"]))
            channel.tell("wall", "seccomp")
        except OSError as error:
            channel.tell("without", "seccomp", error.errno or 0)
        else:
            stands = True
    if not stands:
        raise Nothing("this kernel has neither Landlock nor seccomp")


def _descriptors(order: dict[str, Any]) -> None:
    """Give the command standard input, one pipe for its output, and its report."""
    output, report, commands = order["output"], order["report"], order["commands"]
    sources = [commands if commands >= 0 else os.open(os.devnull, os.O_RDONLY), output, output, report]
    aside = [away(source) for source in sources]
    for number, source in enumerate(aside):
        os.dup2(source, number, inheritable=True)


def away(descriptor: int) -> int:
    """Return a copy of a descriptor that the following numbers do not overwrite."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH)


def _limits(order: dict[str, Any]) -> None:
    for name, value in order["limits"].items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        _, most = resource.getrlimit(kind)
        with suppress(OSError, ValueError):
            wanted = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(kind, (wanted, wanted))


def _close_all_but(descriptor: int) -> None:
    for number in range(4 * _HIGH):
        if number != descriptor:
            with suppress(OSError):
                os.close(number)


def _own_network() -> None:
    """Let the command resolve its own host's name, and no other."""
    with suppress(OSError):
        _socket.sethostname(mounts.HOST)
        probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
        fcntl.ioctl(probe.fileno(), _SET_FLAGS, _LOOPBACK)
        probe.close()
