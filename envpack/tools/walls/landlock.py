"""Landlock: restricts which files, ports and other processes a process reaches.

It needs no rights, applies to root as well, is inherited by children, and cannot be undone. Source: the
kernel's Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import os
import struct
import sys

from . import syscalls

_QUERY_VERSION = 1
_PATH_BENEATH = 1
_UNSUPPORTED = 0

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_REMOVE_FILE, _MAKE_REGULAR = 1 << 5, 1 << 8
_IOCTL_DEVICE = 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: TRUNCATE, 5: _IOCTL_DEVICE}
"""By the version that introduced them."""
_RIGHTS_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | _IOCTL_DEVICE
_TCP_RIGHTS = 0b11
_SCOPES = 0b11

SIGNALS_SINCE = 6
"""The version since which a process can be prevented from signalling those outside."""

DEVICES = ("null", "zero", "full", "random", "urandom")
"""Devices that every program may expect below /dev."""


def version() -> int:
    """Return the version of Landlock that this kernel offers, or 0 where it cannot be used."""
    if sys.platform != "linux":
        return _UNSUPPORTED
    try:
        return syscalls.call("landlock_create_ruleset", None, 0, _QUERY_VERSION)
    except OSError:
        return _UNSUPPORTED


def keep_signals_inside() -> None:
    """Stop this process and its children from signalling others. Raises OSError if the kernel cannot."""
    if version() < SIGNALS_SINCE:
        raise OSError(38, "Landlock cannot hold signals back")
    _enter(struct.pack("QQQ", 0, 0, _SCOPES), [])


def confine(readable: list[str], writable: list[str], shared: list[str], *, tcp: bool) -> int:
    """Let this process reach only files below these directories, and no process outside; return the version.

    `writable` may be changed in every way, `shared` are directories in which files may be made and removed. `tcp`
    says whether ports may be used. Raises OSError.
    """
    known = version()
    rights = sum(right for since, right in _FILE_RIGHTS.items() if since <= known)
    ports, scopes = (_TCP_RIGHTS if known >= 4 and not tcp else 0), (_SCOPES if known >= SIGNALS_SINCE else 0)
    attributes = struct.pack("QQQ", rights, ports, scopes)[: 24 if scopes else 16 if ports else 8]
    rules = [(path, READ) for path in readable]
    rules += [(f"/dev/{name}", READ_FILE | WRITE_FILE | TRUNCATE | _IOCTL_DEVICE) for name in DEVICES]
    rules += [(path, rights & ~_IOCTL_DEVICE) for path in writable]
    files = READ_FILE | WRITE_FILE | TRUNCATE | READ_DIR | _REMOVE_FILE | _MAKE_REGULAR
    rules += [(path, files) for path in shared]
    _enter(attributes, [(path, wanted & rights) for path, wanted in rules])
    return known


def _enter(attributes: bytes, rules: list[tuple[str, int]]) -> None:
    ruleset = syscalls.call("landlock_create_ruleset", attributes, len(attributes), 0)
    for path, rights in rules:
        _allow(ruleset, path, rights)
    syscalls.prctl(syscalls.NO_NEW_PRIVILEGES, 1)
    syscalls.call("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        wanted = rights if _is_directory(place) else rights & _RIGHTS_OF_FILES
        syscalls.call("landlock_add_rule", ruleset, _PATH_BENEATH, struct.pack("=Qi", wanted, place), 0)
    finally:
        os.close(place)


def _is_directory(descriptor: int) -> bool:
    return os.fstat(descriptor).st_mode & 0o170000 == 0o040000
