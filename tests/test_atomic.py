"""A file that is written is whole or not there, whatever fails meanwhile."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import envpack
from envpack.files.atomic import FORGOTTEN, keep, replacing, sweep, write


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for data in (b"one", b"two"):
        write(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert names(tmp_path) == ["file"]


def test_it_gets_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    write(tmp_path / "file", b"")
    (tmp_path / "ordinary").touch()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, OSError, RuntimeError])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(
    failure: type[BaseException], tmp_path: Path
) -> None:
    write(tmp_path / "file", b"old")

    def interrupted() -> None:
        with replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise failure

    with pytest.raises(failure):
        interrupted()
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_file_too_large_for_the_disk_leaves_nothing_though_closing_it_fails(tmp_path: Path) -> None:
    """A limit of the process stands in for the disk; what is buffered fails again when the file is closed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError) as failed:  # noqa: PT011 - the number is compared
            write(tmp_path / "file", bytes(100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert failed.value.errno == errno.EFBIG
    assert names(tmp_path) == []


def test_a_directory_that_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "missing" / "file", b"")


def test_what_a_killed_writer_left_is_swept_when_it_is_old_and_nothing_else_is(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from envpack.files.atomic import replacing\n"
        "with replacing(Path(sys.argv[1])) as file: os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "file"], check=False)
    (left,) = tmp_path.iterdir()
    for name in (".hidden.part", "file.0123abcd.part", ".lock"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    sweep(tmp_path)
    assert left.exists()
    old = time.time() - FORGOTTEN
    os.utime(left, (old, old))
    sweep(tmp_path)
    assert names(tmp_path) == [".hidden.part", ".lock", "file.0123abcd.part"]
    sweep(tmp_path / "missing")


def test_what_only_saves_time_is_kept_where_it_can_be_and_missing_where_not(tmp_path: Path) -> None:
    left = tmp_path / "deep" / ".other.0123abcd.part"
    left.parent.mkdir()
    left.touch()
    os.utime(left, (0, 0))
    keep(tmp_path / "deep" / "file", b"data")
    assert (tmp_path / "deep" / "file").read_bytes() == b"data"
    assert names(tmp_path / "deep") == ["file"]
    keep(tmp_path / "deep" / "file" / "below", b"data")
    assert names(tmp_path / "deep") == ["file"]


WRITERS = {"files/atomic.py", "stores/local.py"}
"""Where a file gets its name when it is complete; objects of a store are created exclusively."""


def test_nothing_else_gives_a_finished_file_its_name() -> None:
    package = Path(envpack.__file__).parent
    # The first runs in the packed Python and imports nothing of envpack; the second moves what the first wrote.
    foreign = {"archive/compile_share.py", "archive/bytecode.py"}
    renames = re.compile(r"(part|draft|partial|temporary)\w*\.(replace|rename)\(|os\.(replace|rename)\(")
    modules = {path.relative_to(package).as_posix(): path.read_text("utf-8") for path in package.rglob("*.py")}
    found = {name for name, text in modules.items() if renames.search(text)}
    assert found - foreign <= WRITERS
