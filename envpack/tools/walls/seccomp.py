"""seccomp: refuse the system calls that lead out of a cage, by number and scalar arguments.

Source: the kernel's Documentation/userspace-api/seccomp_filter.rst, include/uapi/linux/{bpf_common,seccomp}.h; the
refused calls follow Docker's default profile (github.com/moby/profiles, seccomp/default.json).
"""

from __future__ import annotations

import struct

from .syscalls import MACHINE, NUMBERS, SECCOMP, address, buffer, prctl

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
_FILTER = 2

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EPERM, _ENOSPC, _ENOSYS, _EOPNOTSUPP, _EAFNOSUPPORT = 1, 28, 38, 95, 97

NAMESPACES = 0x7E020000
"""The flags of clone(2) and unshare(2) that make namespaces, CLONE_NEWTIME left out: it means a signal there."""
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_DATAGRAM = 2
"""The bit of socketpair(2)'s type that SOCK_DGRAM and SOCK_RAW have; SOCK_STREAM and SOCK_SEQPACKET do not."""
_CREATE = 0o100 | 0o20000000
"""O_CREAT, and the bit of O_TMPFILE: with them a mode is given."""
_SET_ID = 0o6000
_FAKE_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX."""

_NEVER = (
    "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise", "bpf",
    "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key",
    "request_key", "mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "setns", "unshare", "swapon", "swapoff", "reboot",
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "iopl", "ioperm", "acct",
    "quotactl", "quotactl_fd", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "open_by_handle_at",
    "name_to_handle_at", "syslog", "vhangup", "migrate_pages", "move_pages", "fanotify_init", "sethostname",
    "setdomainname", "file_setattr",
)  # fmt: skip
_NOT_THERE = ("clone3", "openat2")
"""Their arguments are in memory, which a filter cannot read; the C library works without them."""
_ATTRIBUTES = (
    "setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr",
    "removexattrat",
)  # fmt: skip
_OF_OTHERS = ("setpriority", "ioprio_set", "shmget", "shmat", "semget", "msgget", "mq_open")
_SCHEDULING = ("sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")
_METADATA = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "utime", "utimes",
    "futimesat", "utimensat",
)  # fmt: skip


class Room:
    """What remains to be refused beside the other walls."""

    def __init__(self, *, isolated: bool, modes: bool) -> None:
        self.isolated = isolated
        """Whether the process has namespaces: then it sees only its own network, sockets and processes."""
        self.modes = modes
        """Whether modes, owners and times of files may be changed, also where the process is not isolated."""


def usable() -> bool:
    """Return whether the filter is written for this processor."""
    return MACHINE in _AUDIT_ARCH


def confine(room: Room) -> None:
    """Refuse the calls from now on, for this process and its children. Raises OSError."""
    if not usable():
        raise OSError(_ENOSYS, f"no filter for {MACHINE}")
    instructions = program(MACHINE, room)
    code = buffer(b"".join(instructions))
    described = buffer(struct.pack("HxxxxxxP", len(instructions), address(code)))
    prctl(SECCOMP, _FILTER, address(described))


def program(machine: str, room: Room) -> list[bytes]:
    """Return the filter's instructions for a processor."""
    numbers = NUMBERS[machine]
    lines = [
        _step(_LOAD, 4),
        _step(_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        _refuse(_EPERM),
        _step(_LOAD, 0),
    ]
    if machine == "x86_64":
        lines += [_step(_AT_LEAST, _X32, 0, 1), _refuse(_ENOSYS)]

    def check(name: str, *body: bytes) -> None:
        if name in numbers:
            lines.extend([_step(_EQUAL, numbers[name], 0, len(body)), *body])

    closed = not (room.isolated or room.modes)
    for name, errno in _refused(room).items():
        check(name, _refuse(errno))
    check("clone", *_unless_bit(0, NAMESPACES))
    check("prlimit64", *_only(0, (0,), _EPERM))
    check("socket", *_only(0, (_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK) if room.isolated else (), _EAFNOSUPPORT))
    if not room.isolated:
        # A datagram socket of a pair may be sent on to any address, and connected again.
        check("socketpair", *_unless_bit(1, _DATAGRAM))
    check("ioctl", *_never(1, _FAKE_INPUT))
    if not room.isolated:
        for name in _SCHEDULING:
            check(name, *_only(0, (0,), _EPERM))
    if not closed:
        for name, place in {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2}.items():
            check(name, *_unless_bit(place, _SET_ID))
    for name, place in {"creat": 1, "mknod": 1, "mknodat": 2}.items():
        check(name, *_unless_bit(place, _SET_ID))
    check("open", *_unless_created_with_bit(1, _SET_ID))
    check("openat", *_unless_created_with_bit(2, _SET_ID))
    return [*lines, _step(_RETURN, _ALLOW)]


def _refused(room: Room) -> dict[str, int]:
    """Return the calls that are refused with any arguments, each with its error."""
    refused = dict.fromkeys(_NEVER, _EPERM) | dict.fromkeys(_NOT_THERE, _ENOSYS)
    refused |= dict.fromkeys(_ATTRIBUTES, _EOPNOTSUPP)
    if not room.isolated:
        refused |= dict.fromkeys(_OF_OTHERS, _EPERM)
    if not (room.isolated and room.modes):
        # It reports which process opens what, and Landlock does not restrict it. Programs that get this error poll
        # instead.
        refused["inotify_add_watch"] = _ENOSPC
    if not (room.isolated or room.modes):
        refused |= dict.fromkeys(_METADATA, _EPERM)
    return refused


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)


def _refuse(errno: int) -> bytes:
    return _step(_RETURN, _ERRNO | errno)


def _argument(place: int) -> bytes:
    """Load the lower half of an argument; both processors are little-endian."""
    return _step(_LOAD, 16 + 8 * place)


def _unless_bit(place: int, bits: int) -> list[bytes]:
    return [_argument(place), _step(_ANY_BIT, bits, 0, 1), _refuse(_EPERM), _step(_RETURN, _ALLOW)]


def _unless_created_with_bit(flags: int, bits: int) -> list[bytes]:
    return [
        *[_argument(flags), _step(_ANY_BIT, _CREATE, 0, 3)],
        *[_argument(flags + 1), _step(_ANY_BIT, bits, 0, 1), _refuse(_EPERM)],
        _step(_RETURN, _ALLOW),
    ]


def _only(place: int, values: tuple[int, ...], errno: int) -> list[bytes]:
    tests = [_step(_EQUAL, value, len(values) - number, 0) for number, value in enumerate(values)]
    return [_argument(place), *tests, _refuse(errno), _step(_RETURN, _ALLOW)]


def _never(place: int, values: tuple[int, ...]) -> list[bytes]:
    tests = [_step(_EQUAL, value, len(values) - number, 0) for number, value in enumerate(values)]
    return [_argument(place), *tests, _step(_RETURN, _ALLOW), _refuse(_EPERM)]
