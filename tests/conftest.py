"""Fixtures that many tests share live in `tests/support`, one module per real thing they set up."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpack.tools import cage
from tests.support import later

if TYPE_CHECKING:
    from collections.abc import Generator

later.wait("rfc3987_syntax", "is_valid_syntax")

# Where Python is told to keep no bytecode, every process that the tests start would compile all of envpack again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# How wide the terminal is that the tests were started in: what the tests compare has the width of no terminal.
os.environ.pop("COLUMNS", None)
os.environ.pop("LINES", None)

# pytest registers a module before any other imports it: those that build on others come last.
pytest_plugins = [
    "tests.support.own_process",
    "tests.support.archives",
    "tests.support.browser",
    "tests.support.channel",
    "tests.support.replica",
    "tests.support.command",
    "tests.support.job",
    "tests.support.s3",
    "tests.support.spark",
    "tests.support.yarn",
    "tests.support.livy",
]

SLOW = {"acceptance": "acceptance", "yarn": "yarn", "fresh_roots": "fresh-roots"}
"""Markers of tests, and the target of `make` that runs them."""


LONGEST_TMPDIR = 60
"""Bytes. Packages have room for a prefix's path of 255, sockets for one of 107, and tests add long names."""


IN_MEMORY = Path("/dev/shm")  # noqa: S108
"""Where the quick tests write if it has room: they make and remove many small files, and before ext4 without a
journal makes one, it looks at all removed of late. Source: Linux, fs/ext4/ialloc.c, recently_deleted."""

ROOM = 6 << 30
"""Bytes. Three workers need one GB at a time; failed tests leave what they wrote."""


def pytest_configure() -> None:
    """Prepare this process and those that it starts."""
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST_TMPDIR and os.access("/tmp", os.W_OK):  # noqa: S108
        os.environ["TMPDIR"] = tempfile.tempdir = "/tmp"  # noqa: S108
    if "TMPDIR" not in os.environ and not os.environ.get("ENVPACK_ACCEPTANCE") and _has_room(IN_MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)
    _hear_ctrl_c()


def _has_room(memory: Path) -> bool:
    """Return whether the quick tests can write to a file system in memory, and run programs there.

    A cage without namespaces shares it, but what lies beside its own directories is to be out of its reach.
    """
    if not memory.is_mount() or not os.access(memory, os.W_OK) or cage.examine().level != "full":
        return False
    there = os.statvfs(memory)
    (line,) = (line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
    available = int(line.split()[1]) << 10
    return not there.f_flag & os.ST_NOEXEC and min(there.f_bavail * there.f_frsize, available) >= ROOM


def _hear_ctrl_c() -> None:
    """Let Ctrl-C be heard by what tests start: a shell's background jobs ignore it, and so would all below them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while tests are collected, and never among them: it is half of what collecting takes."""
    gc.disable()
    _begin_elsewhere()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _begin_elsewhere() -> None:
    """Let each worker begin with another share of the files: what one has rewritten for pytest is there for all."""
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER"), os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    if worker and workers:
        files = sorted(Path(__file__).parent.glob("test_*.py"))
        first = len(files) * int(worker.removeprefix("gw")) // int(workers)
        for file in files[first:] + files[:first]:
            with contextlib.suppress(Exception, pytest.skip.Exception):  # pytest tells when it comes to the file
                importlib.import_module(f"{__package__}.{file.stem}")


def pytest_xdist_auto_num_workers() -> int:
    """Have one worker more than cores: many tests wait for a server, a time-out or the disk."""
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) + 1


def pytest_make_parametrize_id(val: object, argname: str) -> None:
    """Ask for a name where bytes would be one: a gzip has the second it was made in, and workers compare names."""
    if isinstance(val, bytes) and not val.decode("latin-1").isprintable():
        pytest.fail(
            f"{argname}: give these parameters ids, bytes like {val[:12]!r} are no name for a test", pytrace=False
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is slow, by name, unless it is asked for."""
    if os.environ.get("ENVPACK_ACCEPTANCE"):
        return
    for item in items:
        for name, target in SLOW.items():
            if item.get_closest_marker(name):
                item.add_marker(
                    pytest.mark.skip(reason=f"slow: `make {target}` runs it, with ENVPACK_ACCEPTANCE=1")
                )
