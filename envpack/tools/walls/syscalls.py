"""System calls that Python has no function for, by their numbers on the processors that envpack builds for.

Sources: the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # importing typing takes longer than building a cage
if TYPE_CHECKING:
    from typing import Any

MACHINE = os.uname().machine

_SHARED = {
    "pidfd_getfd": 438, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435,
    "openat2": 437, "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443,
    "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446, "fchmodat2": 452,
    "setxattrat": 463, "removexattrat": 466, "open_tree_attr": 467, "file_setattr": 469,
}  # fmt: skip
"""Calls added since Linux 5.1 have one number everywhere."""

NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        "open": 2, "ioctl": 16, "shmget": 29, "shmat": 30, "socket": 41, "socketpair": 53, "clone": 56,
        "semget": 64, "msgget": 68, "creat": 85, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94,
        "ptrace": 101, "syslog": 103, "utime": 132, "mknod": 133, "setpriority": 141, "sched_setparam": 142,
        "sched_setscheduler": 144, "vhangup": 153, "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163,
        "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169,
        "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175,
        "delete_module": 176, "quotactl": 179, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
        "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "sched_setaffinity": 203,
        "clock_settime": 227, "utimes": 235, "mq_open": 240, "kexec_load": 246, "add_key": 248, "request_key": 249,
        "keyctl": 250, "ioprio_set": 251, "inotify_add_watch": 254, "migrate_pages": 256, "openat": 257,
        "mknodat": 259, "fchownat": 260, "futimesat": 261, "fchmodat": 268, "unshare": 272, "move_pages": 279,
        "utimensat": 280, "perf_event_open": 298, "fanotify_init": 300, "prlimit64": 302, "name_to_handle_at": 303,
        "open_by_handle_at": 304, "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310,
        "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "sched_setattr": 314, "seccomp": 317,
        "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, **_SHARED,
    },
    "aarch64": {
        "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
        "inotify_add_watch": 27, "ioctl": 29, "ioprio_set": 30, "mknodat": 33, "umount2": 39, "mount": 40,
        "pivot_root": 41, "chroot": 51, "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "openat": 56,
        "vhangup": 58, "quotactl": 60, "utimensat": 88, "acct": 89, "unshare": 97, "kexec_load": 104,
        "init_module": 105, "delete_module": 106, "clock_settime": 112, "syslog": 116, "ptrace": 117,
        "sched_setparam": 118, "sched_setscheduler": 119, "sched_setaffinity": 122, "setpriority": 140,
        "reboot": 142, "sethostname": 161, "setdomainname": 162, "settimeofday": 170, "adjtimex": 171,
        "mq_open": 180, "msgget": 186, "semget": 190, "shmget": 194, "shmat": 196, "socket": 198, "socketpair": 199,
        "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220, "swapon": 224, "swapoff": 225,
        "migrate_pages": 238, "move_pages": 239, "perf_event_open": 241, "prlimit64": 261, "fanotify_init": 262,
        "name_to_handle_at": 264, "open_by_handle_at": 265, "clock_adjtime": 266, "setns": 268,
        "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273, "sched_setattr": 274,
        "seccomp": 277, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294, **_SHARED,
    },
}  # fmt: skip
"""By processor, as `os.uname` names it."""

NEW_PROCESS = ("clone", "clone3")

SUBREAPER, NO_NEW_PRIVILEGES, SECCOMP, DEATH_SIGNAL, KEEP_CAPABILITIES = 36, 38, 22, 1, 8
DROP_FROM_BOUNDING_SET, SECURE_BITS, AMBIENT = 24, 28, 47
"""Of prctl(2)."""

try:
    import ctypes

    _libc: Any = ctypes.CDLL(None, use_errno=True)
except ImportError:  # a Python that was built without libffi: nothing here can be done
    _libc = None


class suppress:  # noqa: N801 - contextlib's, which takes 3 ms to import
    """Ignore exceptions of these kinds."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
        return kind is not None and issubclass(kind, self._kinds)


def call(name: str, *arguments: object) -> int:
    """Make a system call of NUMBERS; raises OSError."""
    number = (NUMBERS.get(MACHINE) or _SHARED).get(name)
    if number is None or _libc is None:
        raise OSError(38, f"{name}: not known on {MACHINE}")
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return checked(name, _libc.syscall(ctypes.c_long(number), *values))


def libc(name: str, *arguments: object) -> int:
    """Call a function of the C library that returns -1 when it fails; raises OSError."""
    if _libc is None:
        raise OSError(38, f"{name}: this Python has no ctypes")
    values = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    return checked(name, getattr(_libc, name)(*values))


def buffer(content: bytes | int) -> Any:
    """Return memory with this content, or of this many zeros."""
    if _libc is None:
        raise OSError(38, "this Python has no ctypes")
    return ctypes.create_string_buffer(content)


def address(memory: object) -> int:
    """Return the address of memory."""
    return ctypes.addressof(memory)  # type: ignore[arg-type]


def checked(name: str, result: int) -> int:
    """Return what a call returned; raises OSError for -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, *arguments: int) -> int:
    """Set something about this process, as prctl(2) does. Raises OSError."""
    return libc("prctl", option, *arguments, *[0] * (4 - len(arguments)))
