"""Run a command as a container does: without capabilities, and with namespaces refused by a seccomp filter.

`python as_in_docker.py WORDS COMMAND...`: WORDS name what is refused: `namespaces` as Docker's default profile
does, `landlock` as a kernel without it, `seccomp` as gVisor may; more than one with commas.
Source: github.com/moby/profiles, seccomp/default.json.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from envpack.tools.walls.syscalls import MACHINE, NUMBERS

_ARGUMENT = 16
_NEW_NAMESPACES = 0x7E020000


def refuse(words: list[str]) -> None:
    """Set the filter for this process and its children."""
    numbers = NUMBERS[MACHINE]
    rules: list[tuple[int, int, int, int]] = [(0x20, 0, 0, 0)]

    def never(name: str, number: int) -> None:
        rules.extend([(0x15, 0, 1, numbers[name]), (0x06, 0, 0, 0x00050000 | number)])

    if "namespaces" in words:
        for name in ("unshare", "mount", "umount2", "setns", "pivot_root", "mount_setattr", "open_tree", "keyctl"):
            never(name, errno.EPERM)
        never("clone3", errno.ENOSYS)
        rules += [(0x15, 0, 4, numbers["clone"]), (0x20, 0, 0, _ARGUMENT), (0x45, 0, 1, _NEW_NAMESPACES)]
        rules += [(0x06, 0, 0, 0x00050000 | errno.EPERM), (0x20, 0, 0, 0)]
    if "landlock" in words:
        never("landlock_create_ruleset", errno.ENOSYS)
    if "seccomp" in words:
        never("seccomp", errno.EINVAL)
    if "proc" in words:
        never("mount", errno.EPERM)
    rules.append((0x06, 0, 0, 0x7FFF0000))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    described = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(program)))
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, described) == 0


if __name__ == "__main__":
    refuse(sys.argv[1].split(","))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606
