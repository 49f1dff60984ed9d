"""Run a command that can write to one directory only and see nothing of its caller, where the kernel can do that.

This file is started by itself, `python -I -S confine.py DIRECTORY PREFIX ENVIRON COMMAND...`, and imports nothing
of envpack: what it gives up cannot be had back, so it needs a process of its own. Linux' Landlock does it; no
rights are needed for it, and it binds root, too.

Source: the kernel's Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h; capabilities(7).
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import sys

READABLE = ("bin", "dev", "etc", "gnu", "lib", "lib32", "lib64", "nix", "opt", "proc", "sbin", "sys", "usr")
"""Top-level directories that hold a system's programs; home directories are not among them."""

LARGEST_FILE = 16 << 20
"""Bytes; what prints without end is stopped before it fills the disk."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_QUERY_VERSION = 1
_PATH_BENEATH = 1

# The rights of landlock.h, by the version that brought them.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: _TRUNCATE}
_TCP_RIGHTS = 0b11
_SCOPES = 0b11

_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITIES = 64
_KEPT = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root may find its files below directories of others."""

_DROP_FROM_BOUNDING_SET, _SET_NO_NEW_PRIVILEGES = 24, 38


def version() -> int:
    """Return the version of Landlock that this machine's kernel offers, or 0 when it cannot be used."""
    try:
        found = _call(_CREATE_RULESET, None, 0, _QUERY_VERSION)
    except (ImportError, OSError, AttributeError):
        return 0
    return found if sys.platform == "linux" else 0


def _confine(directory: str, prefix: str) -> None:
    """Let this process write below `directory` only, and read that, the prefix and the system's programs.

    It cannot reach processes other than its own either (no signals, no look at their variables), nor open TCP
    connections, as far as the kernel's version goes. Raises OSError.
    """
    _give_up_capabilities()
    known = version()
    rights = sum(right for since, right in _FILE_RIGHTS.items() if since <= known)
    tcp, scopes = (_TCP_RIGHTS if known >= 4 else 0), (_SCOPES if known >= 6 else 0)
    attributes = struct.pack("QQQ", rights, tcp, scopes)[: 24 if scopes else 16 if tcp else 8]
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    for path in (prefix, *(f"/{name}" for name in READABLE)):
        _allow(ruleset, path, _READ)
    _allow(ruleset, "/dev/null", (_READ_FILE | _WRITE_FILE | _TRUNCATE) & rights)
    _allow(ruleset, directory, rights)
    _call(_RESTRICT_SELF, ruleset, 0)


def _give_up_capabilities() -> None:
    """Make root as weak as others: with CAP_PERFMON, for one, it could read every process's variables."""
    import ctypes  # noqa: PLC0415 - some Pythons are built without it

    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(_CAPABILITIES):
        if not _KEPT >> number & 1:
            libc.prctl(_DROP_FROM_BOUNDING_SET, number, 0, 0, 0)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    held = ctypes.create_string_buffer(24)
    if libc.capget(header, held) or libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "capget, prctl")
    kept = struct.unpack("6I", held.raw)[1] & _KEPT
    if libc.capset(header, struct.pack("6I", kept, kept, 0, 0, 0, 0)):
        raise OSError(ctypes.get_errno(), "capset")


def _allow(ruleset: int, path: str, rights: int) -> None:
    if not os.path.exists(path):  # noqa: PTH110 - pathlib costs a start more than all the rest
        return
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    import ctypes  # noqa: PLC0415

    result = int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}: {os.strerror(ctypes.get_errno())}")
    return result


def main() -> None:
    """Confine this process and turn it into the command; its variables are in the file ENVIRON, each NUL-ended."""
    directory, prefix, environ, *command = sys.argv[1:]
    with open(environ, "rb") as file:  # noqa: PTH123
        pairs = [line.partition(b"=") for line in file.read().split(b"\0") if line]
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Python ignores SIGPIPE and SIGXFSZ, and so would what it starts. The second shall stay ignored: it would kill
    # not only who writes past the limit, but also the shell that reports it.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    _confine(directory, prefix)
    os.execve(command[0], command, {name: value for name, _, value in pairs})  # noqa: S606


if __name__ == "__main__":
    main()
