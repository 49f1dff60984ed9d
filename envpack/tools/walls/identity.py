"""The identity of a caged command: its own user where root starts it, and no capabilities.

Source: capabilities(7), user_namespaces(7), credentials(7).
"""

from __future__ import annotations

import os
import struct

from . import syscalls
from .syscalls import suppress

_VERSION_3 = 0x20080522
_CAPABILITIES = 64
_READ_SEARCH = 1 << 2
"""CAP_DAC_READ_SEARCH: reading is allowed regardless of the modes of files and directories."""
_OVERRIDE = 1 << 1
"""CAP_DAC_OVERRIDE: the same, and for writing. A container's root has it."""
_TO_BECOME = 1 << 0 | 1 << 6 | 1 << 7
"""CAP_CHOWN, _SETGID and _SETUID."""
_RAISE = 2
_NO_SETUID_FIXUP = 1 << 2
USERS = range(0x70000000, 0x70010000)
"""Numbers that no account has; systemd and containers use smaller ones."""
_NOBODY = 65534

INSIDE = 1000
"""The number of an ordinary user within its own namespace."""


class Map:
    """The users that exist in a user namespace, from /proc/PID/uid_map and gid_map."""

    def __init__(self, text: str) -> None:
        self.extents = [(int(inside), int(count)) for inside, _, count in map(str.split, text.splitlines())]

    def has(self, number: int) -> bool:
        """Return whether a number is mapped to a user."""
        return any(first <= number < first + count for first, count in self.extents)

    def mirrored(self) -> str:
        """Return the map of a child namespace in which all users keep their numbers."""
        return "".join(f"{first} {first} {count}\n" for first, count in self.extents)


def maps() -> tuple[Map, Map]:
    """Return the users and groups that exist here."""
    return Map(_read("/proc/self/uid_map")), Map(_read("/proc/self/gid_map"))


def user_of_its_own() -> int | None:
    """Return an unused number for the command's user and group; None if there is none."""
    if os.geteuid() != 0 or _effective() & _TO_BECOME != _TO_BECOME:
        return None
    users, groups = maps()
    for number in (USERS[os.getpid() % len(USERS)], _NOBODY):
        if users.has(number) and groups.has(number):
            return number
    return None


def hand_over(directories: list[str], user: int) -> None:
    """Give directories and all in them to a user; raises OSError."""
    for directory in directories:
        os.chown(directory, user, user)
        for parent, folders, files in os.walk(directory):
            for name in (*folders, *files):
                os.chown(os.path.join(parent, name), user, user, follow_symlinks=False)


def map_users(process: int, *, everybody: bool) -> bool:
    """Map the users into a process' new user namespace; return whether all exist, each with the same number.

    This needs root; without it only the user of this process exists there. Raises OSError.
    """
    if everybody:
        users, groups = maps()
        with suppress(PermissionError):  # root of a container without CAP_SETUID
            _write(process, "uid_map", users.mirrored())
            _write(process, "gid_map", groups.mirrored())
            return True
    _write(process, "setgroups", "deny")
    inside = INSIDE if os.geteuid() else 0
    _write(process, "uid_map", f"{inside} {os.geteuid()} 1\n")
    _write(process, "gid_map", f"{inside} {os.getegid()} 1\n")
    return False


def reading(*, overriding: bool) -> int:
    """Return the capability to read regardless of modes; with `overriding` a stronger one is allowed."""
    held = _effective()
    return held & _READ_SEARCH or (held & _OVERRIDE if overriding else 0)


def become(user: int | None, *, kept: int) -> None:
    """Become a user, if one is named, and permanently drop all capabilities except `kept`. Raises OSError."""
    syscalls.prctl(syscalls.NO_NEW_PRIVILEGES, 1)
    with suppress(OSError):
        # Otherwise access(2) would ignore the kept one, and report that nothing is accessible.
        syscalls.prctl(syscalls.SECURE_BITS, _NO_SETUID_FIXUP)
    for number in range(_CAPABILITIES):
        if 1 << number != kept:
            try:
                syscalls.prctl(syscalls.DROP_FROM_BOUNDING_SET, number)
            except OSError:
                break
    if user is not None:
        syscalls.prctl(syscalls.KEEP_CAPABILITIES, 1)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    syscalls.libc("capset", struct.pack("Ii", _VERSION_3, 0), struct.pack("6I", kept, kept, kept, 0, 0, 0))
    if kept and user is not None:
        syscalls.prctl(syscalls.AMBIENT, _RAISE, kept.bit_length() - 1)


def _effective() -> int:
    """Return the capabilities of this process, of those that are used here."""
    held = syscalls.buffer(24)
    syscalls.libc("capget", struct.pack("Ii", _VERSION_3, 0), held)
    return int(struct.unpack("6I", held.raw)[0])


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(process: int, name: str, text: str) -> None:
    with open(f"/proc/{process}/{name}", "w") as file:
        file.write(text)
