"""A separate root directory for a process in new namespaces: only what is put there exists.

Source: the kernel's Documentation/filesystems/sharedsubtree.rst, mount_setattr(2), pivot_root(2), proc(5); the
content of /proc and /dev follows the OCI runtime specification's config-linux.md.
"""

from __future__ import annotations

import os
import stat
import struct

from . import syscalls
from .landlock import DEVICES
from .syscalls import suppress

SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store",
    "/run/current-system/sw", "/sys/devices/system/cpu", "/sys/devices/system/node",
)  # fmt: skip
"""A system's directories of programs and libraries, and their files about processors."""

CONFIGURATION = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group", "nsswitch.conf", "hosts", "host.conf",
    "localtime", "timezone", "ssl/certs", "ssl/cert.pem", "ssl/openssl.cnf", "pki/ca-trust", "pki/tls/certs",
    "pki/tls/cert.pem", "pki/tls/openssl.cnf", "ca-certificates", "ca-certificates.conf", "crypto-policies",
    "fonts", "mime.types", "alternatives", "os-release", "debian_version", "protocols", "services", "gai.conf",
    "locale.alias", "locale.conf", "terminfo",
)  # fmt: skip
"""Files of /etc that programs need and that hold no secret; private keys are beside some of them."""

FACTS = ("cpuinfo", "meminfo", "stat", "uptime", "loadavg", "version", "filesystems", "sys/vm/overcommit_memory")
"""Files of /proc that say nothing about processes."""

TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - inside the cage
TEMPORARY_SIZE = 512 << 20
"""The most bytes of each of them, in memory."""

HOST = "envpack-cage"
USER = "envpack-user"
"""Unused names: output of packaged code that contains them is specific to this cage."""

_OWN = ("/etc/passwd", "/etc/group", "/etc/hosts")
_OLD = "/.outside"
_OLD_PROC = "/.outside-proc"
_PROC_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")
_PROC_HIDDEN = ("kcore", "keys", "key-users", "timer_list", "sched_debug", "kallsyms")

_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
_ATTRIBUTES_RECURSIVE = 0x8000
_HERE = -100
_INHERITED = {os.ST_RDONLY: 1, os.ST_NOSUID: 2, os.ST_NODEV: 4, os.ST_NOEXEC: 8, os.ST_NOATIME: 1024,
              os.ST_NODIRATIME: 2048, os.ST_RELATIME: 1 << 21}  # fmt: skip


def system() -> list[str]:
    """Return the paths of this system that every program may read, without /proc."""
    return [*SYSTEM, *(f"/etc/{name}" for name in CONFIGURATION)]


def enter(readable: list[str], writable: list[str], user: tuple[int, int], aliases: dict[str, str]) -> bool:
    """Give this process, the first of new mount and PID namespaces, its own root directory.

    `readable` and `writable` paths are the same as outside; `aliases` are other paths for some writable ones.
    `user` is the command's user. Returns whether /proc is new; where this is not allowed (a container's is masked)
    only harmless files of the old one are there, and `own_process` is still to be called by the command. Raises
    OSError.
    """
    sources = {path: os.path.realpath(path) for path in (*system(), *readable, *writable)}
    mount("none", "/", None, _RECURSIVE | _PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, "mode=0755,size=16m")  # noqa: S108 - what is there is not used
    os.chdir("/tmp")  # noqa: S108
    os.mkdir(f".{_OLD}")
    syscalls.call("pivot_root", b".", f".{_OLD}".encode())
    os.chdir("/")
    for path in [each for each in system() if each not in _OWN]:
        _take(path, sources[path], read_only=True)
    _devices()
    for path in (*TEMPORARY, "/home"):
        os.makedirs(path, exist_ok=True)
    for path in TEMPORARY:
        mount("tmpfs", path, "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={TEMPORARY_SIZE},nr_inodes=65536")
    _names(user)
    for path in readable:
        _take(path, sources[path], read_only=True)
    for path in writable:
        _take(path, sources[path], read_only=False)
    for alias, path in aliases.items():
        _take(alias, sources[path], read_only=False)
    new = _processes()
    syscalls.libc("umount2", _OLD.encode(), _DETACH)
    os.rmdir(_OLD)
    if new:
        mount("none", "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    return new


def own_process() -> None:
    """Where /proc is the old one, show only this process to itself there."""
    mount(f"{_OLD_PROC}/self", "/proc/self", None, _BIND | _RECURSIVE)
    syscalls.libc("umount2", _OLD_PROC.encode(), _DETACH)
    mount("none", "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def mount(source: str, place: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Mount something, as mount(2) does. Raises OSError."""
    try:
        syscalls.libc(
            "mount", os.fsencode(source), os.fsencode(place), kind and kind.encode(), flags, data and data.encode()
        )
    except OSError as error:
        raise OSError(error.errno, f"mount of {place}: {os.strerror(error.errno or 0)}") from None


def _take(path: str, source: str, *, read_only: bool) -> None:
    """Show the outer `source` at `path`, if it exists; a link to a path that is shown anyway stays a link."""
    outside = _OLD + source
    try:
        mode = os.stat(outside).st_mode
    except OSError:
        return
    with suppress(OSError):
        if path in SYSTEM and source != path and stat.S_ISDIR(mode) and source.startswith("/usr/"):
            os.symlink(source, path)
            return
    if not os.path.lexists(path):
        _make(path, directory=stat.S_ISDIR(mode))
    mount(outside, path, None, _BIND | _RECURSIVE)
    _limit(path, _NOSUID | _NODEV | (_RDONLY if read_only else 0))


def _make(path: str, *, directory: bool) -> None:
    os.makedirs(path if directory else os.path.dirname(path), exist_ok=True)
    if not directory:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _limit(path: str, flags: int) -> None:
    """Add flags to a mount and to all below it; only to itself before Linux 5.12."""
    attributes = struct.pack("QQQQ", flags, 0, 0, 0)  # MOUNT_ATTR_RDONLY, _NOSUID and _NODEV are the same bits
    try:
        place = os.fsencode(path)
        syscalls.call("mount_setattr", _HERE, place, _ATTRIBUTES_RECURSIVE, attributes, len(attributes))
    except OSError:
        there = os.statvfs(path).f_flag
        kept = sum(bit for flag, bit in _INHERITED.items() if there & flag)
        mount("none", path, None, _REMOUNT | _BIND | kept | flags)


def _devices() -> None:
    os.makedirs("/dev", exist_ok=True)
    for name in DEVICES:
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
        mount(f"{_OLD}/dev/{name}", f"/dev/{name}", None, _BIND)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"/dev/{name}")
    os.symlink("/proc/self/fd", "/dev/fd")


def _names(user: tuple[int, int]) -> None:
    """Name the command's user, whose home nobody can write to, as on a node, and the host."""
    uid, gid = user
    person = f"{USER}:x:{uid}:{gid}:{USER}:/home:/bin/sh\n" if uid else ""
    texts = (
        f"root:x:0:0:root:/home:/bin/sh\n{person}",
        "root:x:0:\n" + (f"{USER}:x:{gid}:\n" if gid else ""),
        f"127.0.0.1 localhost {HOST}\n::1 localhost {HOST}\n",
    )
    os.makedirs("/etc", exist_ok=True)
    for path, text in zip(_OWN, texts, strict=True):
        with open(path, "w") as file:
            file.write(text)


def _processes() -> bool:
    os.makedirs("/proc", exist_ok=True)
    try:
        mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    except OSError:
        return _old_processes()
    for name in _PROC_READ_ONLY:
        if os.path.exists(f"/proc/{name}"):
            mount(f"/proc/{name}", f"/proc/{name}", None, _BIND | _RECURSIVE)
            _limit(f"/proc/{name}", _RDONLY | _NOSUID | _NODEV | _NOEXEC)
    for name in _PROC_HIDDEN:
        if os.path.exists(f"/proc/{name}"):
            mount("/dev/null", f"/proc/{name}", None, _BIND)
    return True


def _old_processes() -> bool:
    os.makedirs("/proc/self", exist_ok=True)
    for name in FACTS:
        _take(f"/proc/{name}", f"/proc/{name}", read_only=True)
    os.mkdir(_OLD_PROC)
    mount(f"{_OLD}/proc", _OLD_PROC, None, _BIND | _RECURSIVE)
    return False
