"""Takes away from a Python on Linux what macOS does not have; it is imported when that Python starts.

What stays Linux: the programs, the file system that tells small letters from capital ones, GNU's C library.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import types
from typing import Any

LACKING = (
    *("sched_getaffinity", "sched_setaffinity", "O_PATH", "O_TMPFILE", "O_DIRECT", "O_NOATIME"),
    *("memfd_create", "pidfd_open", "eventfd", "pipe2", "splice", "copy_file_range", "posix_fadvise"),
    *("posix_fallocate", "getxattr", "setxattr", "listxattr", "removexattr", "unshare", "setns"),
    *("setresuid", "setresgid", "getresuid", "getresgid", "getrandom"),
)
"""Names of `os` (https://docs.python.org/3/library/os.html, the notes on availability)."""


class _Darwin(tuple[str, ...]):
    """What `os.uname` answers."""

    __slots__ = ()
    sysname, nodename, release, version = "Darwin", "mac", "23.0.0", "Darwin Kernel"
    machine = os.uname().machine


def _without_proc(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes)):
        path = os.fsdecode(arguments[0])
        if path == "/proc" or path.startswith("/proc/"):
            raise FileNotFoundError(2, "No such file or directory", path)


def _become() -> None:
    for name in LACKING:
        if hasattr(os, name):
            delattr(os, name)
    told = _Darwin(("Darwin", "mac", "23.0.0", "Darwin Kernel", _Darwin.machine))
    setattr(os, "uname", lambda: told)  # noqa: B010 - mypy knows what it should return
    proxies = types.ModuleType("_scproxy")
    vars(proxies).update(_get_proxy_settings=dict, _get_proxies=dict)
    sys.modules["_scproxy"] = proxies
    name = sysconfig._get_sysconfigdata_name()  # type: ignore[attr-defined]
    os.environ["_PYTHON_SYSCONFIGDATA_NAME"] = name
    sys.platform = "darwin"
    sys.addaudithook(_without_proc)


_become()
