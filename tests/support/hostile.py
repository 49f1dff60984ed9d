"""What packaged code could try against the machine that builds, and a way to see what of it succeeds.

`TRIES` is one Python program for the inside of a cage. `Outside` is the machine it is let loose on: a home with
credentials, servers, a process with secrets in its environment and on its command line. Whatever the program
reaches it names on its report; what it may have changed is looked at from outside as well.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from envpack.tools import cage
from envpack.tools.cage import Cage, Confine, Limits
from envpack.tools.report import ReportPipe

_LIBC = ctypes.CDLL(None)
SECRET = "wJalrXUtnFEMI-the-secret"

TRIES = r"""
import os


def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


# Before ctypes is there: a newer libffi keeps itself open.
extra_descriptors = [number for number in range(4, 256) if is_open(number)]

import ctypes, json, resource, signal, socket, stat, struct, sys, threading, time

facts = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
secret = "wJalrXUtnFEMI-" + "the-secret"
other, home, credentials = facts["process"], facts["home"], facts["credentials"]
stream = socket.SOCK_STREAM
x86 = os.uname().machine == "x86_64"


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return True


def call(number, *arguments):
    values = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    return checked(libc.syscall(ctypes.c_long(number), *values))


def has(text):
    return secret in text or secret.encode().hex() in text


def text_of(path):
    with open(path, "rb") as file:
        return file.read(1 << 20).decode("latin-1")


def connected(family, kind, address, message=b"stolen"):
    with socket.socket(family, kind) as line:
        line.settimeout(2)
        if kind == socket.SOCK_DGRAM:
            line.sendto(message, address)
            return not facts["own_network"]  # in a network of its own a datagram goes nowhere
        line.connect(address)
        return True


def peeked():
    return any(has(text_of(f"/proc/{other}/{name}")) for name in ("environ", "cmdline"))


def all_processes():
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found.append(text_of(f"/proc/{name}/cmdline") + text_of(f"/proc/{name}/environ"))
            except OSError:
                pass
    return any(map(has, found))


def memory_of_other():
    buffer = ctypes.create_string_buffer(16)
    local = struct.pack("QQ", ctypes.addressof(buffer), 16)
    remote = struct.pack("QQ", facts["address"], 16)
    return call(310 if x86 else 270, other, local, 1, remote, 1, 0)


def descriptor_of_other():
    return os.close(os.pidfd_open(other)) or call(438, os.pidfd_open(other), 1, 0)


def limits_of_other():
    return bool(resource.prlimit(other, resource.RLIMIT_CORE, (0, 0))) or True


def by_handle():
    place = os.open(facts["readable"], os.O_RDONLY)
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    checked(libc.name_to_handle_at(-100, home.encode(), handle, ctypes.byref(mount), 0))
    return checked(libc.open_by_handle_at(place, handle, os.O_RDONLY))


def set_id():
    path = os.path.join(facts["scratch"], "setuid")
    with open(path, "w"):
        pass
    os.chmod(path, 0o4755)
    return bool(os.stat(path).st_mode & stat.S_ISUID)


def created_set_id():
    path = os.path.join(facts["scratch"], "setuid-too")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o4755))
    return bool(os.stat(path).st_mode & stat.S_ISUID)


def of_scheduler():
    os.setpriority(os.PRIO_PROCESS, other, 19)
    return True


def signalled():
    os.kill(other, signal.SIGUSR1)
    return True


def signalled_by_descriptor():
    signal.pidfd_send_signal(os.pidfd_open(other), signal.SIGUSR1)
    return True


def everybody_signalled():
    # SIGCONT does no harm, should it get out.
    os.kill(-1, signal.SIGCONT)
    return not facts["own_processes"] and False


def watched_files():
    libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    return checked(libc.inotify_add_watch(checked_number(libc.inotify_init1(0o4000)), home.encode(), 0xFFF))


def checked_number(result):
    return checked(result) and result


def told_by_a_pair():
    # A datagram socket of a pair may be sent on to any address.
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"stolen", facts["datagrams"])
    return True


def told_to_the_abstract_by_a_pair():
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.connect("\0" + facts["abstract"] + "-d")
    one.send(b"stolen")
    return True


def signalled_by_input():
    import fcntl
    reading, writing = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, other)
    fcntl.fcntl(reading, 10, signal.SIGUSR1)  # F_SETSIG
    fcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(writing, b"x")
    return False  # the other process ends if it comes through


def robust_list_of_other():
    head, length = ctypes.c_void_p(), ctypes.c_size_t()
    return call(274 if x86 else 100, other, ctypes.byref(head), ctypes.byref(length))


def opened(path, flags=os.O_RDONLY):
    return os.open(path, flags) >= 0


def written_to_first():
    # The first process of a PID namespace, or whoever is above.
    return opened("/proc/1/mem", os.O_RDWR) or opened(f"/proc/{os.getppid()}/mem", os.O_RDWR)


def above_signalled():
    os.kill(os.getppid(), signal.SIGSTOP)
    return not facts["own_processes"]  # the first process of a PID namespace does not hear it


def of_memory():
    # What a program of no file runs is in the cage as well: it must not read more.
    program = os.memfd_create("program")
    with open("/bin/cat", "rb") as file:
        os.write(program, file.read())
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.dup2(writing, 1)
        os.execve(program, ["cat", credentials], {})
    os.close(writing)
    return has(os.read(reading, 1 << 16).decode("latin-1"))


def left_by_double_fork():
    # In a session of its own, below nobody.
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            try:
                os.write(writing, text_of(credentials).encode("latin-1"))
            except OSError:
                os.write(writing, b"nothing")
        os._exit(0)
    return has(os.read(reading, 1 << 16).decode("latin-1"))


def by_exchange():
    mine = in_scratch("exchanged")
    with open(mine, "w"):
        pass
    return call(316 if x86 else 276, -100, mine.encode(), -100, credentials.encode(), 2)


def below_root(name):
    return has(text_of(f"/proc/self/{name}{credentials}"))


def of_semaphores():
    return call(65 if x86 else 193, facts["semaphores"], 0, 0) if facts["semaphores"] >= 0 else False


def of_messages():
    name = ("/" + facts["queue"]).encode()
    libc.mq_open.restype = ctypes.c_int
    return checked(libc.mq_open(name, os.O_RDWR)) if facts["queue"] else False


def changed(work, *arguments, **more):
    def change():
        work(*arguments, **more)
        return True
    return change


def in_scratch(name):
    return os.path.join(facts["scratch"], name)


tries = {
    "find an open descriptor": lambda: bool(extra_descriptors),
    "read the credentials": lambda: has(text_of(credentials)),
    "read them by a link": lambda: os.symlink(credentials, in_scratch("soft")) or has(text_of(in_scratch("soft"))),
    "read them by a hard link": lambda: os.link(credentials, in_scratch("x")) or has(text_of(in_scratch("x"))),
    "read them below /proc": lambda: has(text_of(f"/proc/{other}/root{credentials}")),
    "read them from its directory": lambda: has(text_of(f"/proc/{other}/cwd/credentials")),
    "list the home": lambda: bool(os.listdir(home)),
    "list /home": lambda: bool(os.listdir("/home")),
    "read /etc/shadow": lambda: bool(text_of("/etc/shadow")),
    "list private keys": lambda: bool(os.listdir("/etc/ssl/private")),
    "read the kernel's memory": lambda: bool(os.open("/proc/kcore", os.O_RDONLY)),
    "read another's environment": peeked,
    "find it among all processes": all_processes,
    "read another's memory": memory_of_other,
    "read another's maps": lambda: bool(text_of(f"/proc/{other}/maps")),
    "take another's descriptor": descriptor_of_other,
    "trace another": lambda: call(101 if x86 else 117, 16, other, 0, 0),
    "write beside its scratch": changed(open, os.path.join(home, "new"), "w"),
    "write to the credentials": changed(open, credentials, "a"),
    "empty the credentials": changed(os.truncate, credentials, 0),
    "remove the credentials": changed(os.remove, credentials),
    "move the credentials": changed(os.rename, credentials, credentials + ".gone"),
    "write to the prefix": changed(open, os.path.join(facts["readable"], "data"), "a"),
    "add to the prefix": changed(open, os.path.join(facts["readable"], "new"), "w"),
    "change a mode": changed(os.chmod, credentials, 0o777),
    "change the prefix' mode": changed(os.chmod, os.path.join(facts["readable"], "data"), 0o777),
    "change times": changed(os.utime, credentials, (0, 0)),
    "change attributes": changed(os.setxattr, credentials, "user.stolen", b"1"),
    "write to /usr": changed(open, "/usr/envpack-was-here", "w"),
    "write to /etc": changed(open, "/etc/envpack-was-here", "w"),
    "set a kernel's value": changed(open, "/proc/sys/kernel/core_pattern", "w"),
    "connect by TCP": lambda: connected(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", facts["tcp"])),
    "send by UDP": lambda: connected(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", facts["udp"])),
    "connect to a socket of the file system": lambda: connected(socket.AF_UNIX, stream, facts["socket"]),
    "connect to an abstract socket": lambda: connected(socket.AF_UNIX, stream, "\0" + facts["abstract"]),
    "open a socket to the host of a machine": lambda: bool(socket.socket(40, socket.SOCK_STREAM)),
    "open a socket to the kernel's ciphers": lambda: bool(socket.socket(38, socket.SOCK_SEQPACKET)),
    "signal another": signalled,
    "signal another by a descriptor": signalled_by_descriptor,
    "signal everybody": everybody_signalled,
    "change another's limits": limits_of_other,
    "change another's priority": of_scheduler,
    "use the kernel's keys": lambda: call(250 if x86 else 219, 0, -3, 1),
    "make an io_uring": lambda: call(425, 8, ctypes.create_string_buffer(256)),
    "make a user namespace": lambda: call(272 if x86 else 97, 0x10000000),
    "make a namespace by clone": lambda: call(56, 0x10000000 | 17, 0, 0, 0, 0) if x86 else False,
    "mount": lambda: checked(libc.mount(b"none", facts["scratch"].encode(), b"tmpfs", 0, None)),
    "change the root": lambda: os.chroot(facts["scratch"]) or True,
    "open by handle": by_handle,
    "load a program into the kernel": lambda: call(321 if x86 else 280, 5, ctypes.create_string_buffer(128), 128),
    "look at performance": lambda: call(298 if x86 else 241, ctypes.create_string_buffer(128), 0, -1, -1, 0),
    "make a set-uid file": set_id,
    "create a set-uid file": created_set_id,
    "make a device": changed(os.mknod, in_scratch("device"), stat.S_IFBLK | 0o666, os.makedev(8, 0)),
    "attach shared memory": lambda: call(30 if x86 else 196, facts["shm"], 0, 0) if facts["shm"] >= 0 else False,
    "become root": lambda: os.setuid(0) or bool(text_of("/etc/shadow")),
    "watch the home": watched_files,
    "send to a socket of the file system by a pair": told_by_a_pair,
    "send to an abstract socket by a pair": told_to_the_abstract_by_a_pair,
    "have another signalled by input": signalled_by_input,
    "find another's robust list": robust_list_of_other,
    "write another's memory": lambda: opened(f"/proc/{other}/mem", os.O_RDWR),
    "write the memory of what is above": written_to_first,
    "read the memory of what is above": lambda: opened("/proc/1/mem") or opened(f"/proc/{os.getppid()}/mem"),
    "stop what is above": above_signalled,
    "read them with a program in memory": of_memory,
    "read them in a session of its own": left_by_double_fork,
    "exchange them for its own": by_exchange,
    "read them below its own root": lambda: below_root("root"),
    "read them below its own task": lambda: below_root(f"task/{os.getpid()}/root"),
    "handle its own page faults": lambda: call(323 if x86 else 282, 0),
    "handle them by the device": lambda: opened("/dev/userfaultfd", os.O_RDWR),
    "make a raw socket": lambda: bool(socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
    "make a raw packet": lambda: bool(socket.socket(17, socket.SOCK_RAW)),
    "listen to the kernel's audit": lambda: bool(socket.socket(16, socket.SOCK_RAW, 9).bind((0, 1)) or True)
    if not facts["own_network"]
    else False,
    "use a bluetooth socket": lambda: bool(socket.socket(31, socket.SOCK_RAW)),
    "count semaphores": of_semaphores,
    "open a message queue": of_messages,
    "trace itself for another": lambda: call(101 if x86 else 117, 0, 0, 0, 0),
    "set another's affinity": lambda: os.sched_setaffinity(other, {0}) or True,
    "set another's scheduling": lambda: os.sched_setscheduler(other, 3, os.sched_param(0)) or True,
    "move another's pages": lambda: call(256 if x86 else 238, other, 64, None, None),
    "advise about another's memory": lambda: call(440, os.pidfd_open(other), None, 0, 20, 0),
    "enter another's namespaces": lambda: call(308 if x86 else 268, os.pidfd_open(other), 0x00020000),
    "make a file system": lambda: call(430, b"tmpfs", 0),
    "open a tree": lambda: call(428, -100, b"/", 1),
    "open a path in a way of its own": lambda: call(
        437, -100, credentials.encode(), ctypes.create_string_buffer(24), 24
    ),
    "make a namespace by clone3": lambda: call(
        435, ctypes.create_string_buffer(struct.pack("Q", 0x10000000) + bytes(80)), 88
    ),
    "read the kernel's log": lambda: call(103 if x86 else 116, 3, ctypes.create_string_buffer(64), 64),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()) or True,
    "name the host": lambda: socket.sethostname("envpack-was-here") or True,
    "raise its own limits": lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)) or True,
    "take a capability": lambda: checked(
        libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[2097152] * 3, 0, 0, 0))
    ),
    "call by the old 32-bit numbers": lambda: call(0x40000000 | 41, 1, 1, 0) if x86 else False,
    "write to the disk": lambda: any(opened(f"/dev/{name}") for name in ("sda", "vda", "nvme0n1", "mem", "kmsg")),
    "make a device by fuse": lambda: opened("/dev/fuse", os.O_RDWR),
    "use a virtual machine": lambda: opened("/dev/kvm", os.O_RDWR),
    "write to a terminal": lambda: opened("/dev/tty", os.O_RDWR) or opened("/dev/ptmx", os.O_RDWR),
    "push input into a terminal": lambda: checked(libc.ioctl(0, ctypes.c_ulong(0x5412), b"x")),
}

out = []
for name, act in tries.items():
    try:
        if act():
            out.append(name)
    except (OSError, AttributeError, ValueError, OverflowError, UnicodeError):
        pass
os.write(3, json.dumps({"out": out, "tried": len(tries)}).encode() + b"\n")
"""


@dataclass
class Facts:
    """What the hostile program is told; a real one would find it out."""

    process: int
    address: int
    home: str
    credentials: str
    readable: str
    scratch: str
    tcp: int
    udp: int
    socket: str
    abstract: str
    shm: int
    semaphores: int
    queue: str
    datagrams: str
    own_network: bool
    own_processes: bool


@dataclass
class Seen:
    """What came of it."""

    out: list[str] = field(default_factory=list)
    tried: int = 0
    level: str = ""
    walls: list[str] = field(default_factory=list)


def let_loose(directory: Path, *, confine: Confine = Confine.BEST, reads_all: bool = True) -> Seen:
    """Run the hostile program in a cage on this machine, and return which of its acts got out."""
    home, readable, scratch = (directory / name for name in ("home", "prefix", "scratch"))
    for place in (home, readable, scratch):
        place.mkdir()
    home.chmod(0o700)
    credentials = home / "credentials"
    credentials.write_text(SECRET)
    (readable / "data").write_text("data")
    with ExitStack() as stack:
        tcp, udp, local, abstract, datagrams, hidden = (
            stack.enter_context(socket.socket(*kind)) for kind in _KINDS
        )
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        local.bind(str(home / "s"))
        name = f"envpack-{os.getpid()}"
        abstract.bind(f"\0{name}")
        datagrams.bind(str(home / "d"))
        hidden.bind(f"\0{name}-d")
        for server in (tcp, local, abstract):
            server.listen()
        other = stack.enter_context(_other(home))
        stack.callback(other.kill)
        walls = cage.examine(confine)
        isolated = walls.plan in ("user", "root")
        facts = Facts(
            process=other.pid,
            address=0x400000,
            home=str(home),
            credentials=str(credentials),
            readable=str(readable),
            scratch=str(scratch),
            tcp=tcp.getsockname()[1],
            udp=udp.getsockname()[1],
            socket=str(home / "s"),
            abstract=name,
            shm=stack.enter_context(_shared_memory()),
            semaphores=stack.enter_context(_semaphores()),
            queue=stack.enter_context(_queue(name)),
            datagrams=str(home / "d"),
            own_network=isolated,
            own_processes=isolated,
        )
        before = _state(home, readable)
        seen = _try(facts, readable, scratch, confine, reads_all=reads_all)
        seen.level, seen.walls = walls.level, list(walls.names)
        seen.out += [f"changed {path}" for path in _state(home, readable) ^ before]
        for server in (udp, datagrams, hidden):
            server.setblocking(False)
            try:
                server.recv(100)
                seen.out.append("a datagram arrived")
            except BlockingIOError:
                pass
        if other.poll() is not None:
            seen.out.append("the other process ended")
    return seen


_KINDS = (
    (socket.AF_INET, socket.SOCK_STREAM),
    (socket.AF_INET, socket.SOCK_DGRAM),
    (socket.AF_UNIX, socket.SOCK_STREAM),
    (socket.AF_UNIX, socket.SOCK_STREAM),
    (socket.AF_UNIX, socket.SOCK_DGRAM),
    (socket.AF_UNIX, socket.SOCK_DGRAM),
)


def python() -> tuple[Path, list[Path]]:
    """Return an interpreter, and what it needs."""
    real = Path(os.path.realpath(sys.executable))
    return real, [real.parents[1]]


def _try(facts: Facts, readable: Path, scratch: Path, confine: Confine, *, reads_all: bool) -> Seen:
    program, needed = python()
    settings = Cage(
        directory=scratch,
        environ={"PATH": "/usr/bin:/bin"},
        readable=[readable, *needed],
        writable=[scratch],
        reads_all=reads_all,
        limits=Limits(seconds=60),
        confine=confine,
    )
    with cage.start([program, "-I", "-S", "-c", TRIES, json.dumps(asdict(facts))], settings) as caged:
        line = ReportPipe(caged.report).line(60)
        if line is None:
            raise AssertionError(caged.wait(10))
        answer: dict[str, Any] = json.loads(line)
    return Seen(out=answer["out"], tried=answer["tried"])


def _other(home: Path) -> subprocess.Popen[bytes]:
    """Start a process of the same user that has a secret in its environment and on its command line."""
    code = "import time; print(flush=True); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, SECRET],
        cwd=home,
        env={"AWS_SECRET_ACCESS_KEY": SECRET},
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.readline()
    return process


@contextmanager
def _shared_memory() -> Iterator[int]:
    """Make a segment of System V's shared memory; gives its number."""
    number = int(_LIBC.shmget(0, 4096, 0o1000 | 0o600))
    try:
        yield number
    finally:
        _LIBC.shmctl(number, 0, None)


@contextmanager
def _semaphores() -> Iterator[int]:
    """Make a set of System V's semaphores; gives its number."""
    number = int(_LIBC.semget(0, 1, 0o1000 | 0o666))
    try:
        yield number
    finally:
        _LIBC.semctl(number, 0, 0)


@contextmanager
def _queue(name: str) -> Iterator[str]:
    """Make a message queue of POSIX that everybody may open; gives its name, or nothing where there are none."""
    try:
        made = _LIBC.mq_open(f"/{name}".encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
    except AttributeError:
        made = -1
    try:
        yield name if made >= 0 else ""
    finally:
        if made >= 0:
            _LIBC.mq_unlink(f"/{name}".encode())


def _state(*places: Path) -> set[str]:
    """Return mode, owner, times and size of all files, as texts."""
    found = set()
    for place in places:
        for path in (place, *place.rglob("*")):
            facts = path.lstat()
            found.add(f"{path} {facts.st_mode:o} {facts.st_uid} {facts.st_size} {facts.st_mtime_ns}")
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        confined = Confine(sys.argv[1]) if len(sys.argv) > 1 else Confine.BEST
        sys.stdout.write(json.dumps(asdict(let_loose(Path(folder), confine=confined))))
