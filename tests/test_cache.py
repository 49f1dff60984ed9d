from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from envpack.errors import PackingFailed, UsageError
from envpack.files import workspace
from envpack.files.cache import Cache
from envpack.files.remove import remove
from envpack.files.workspace import room

HOLD = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from envpack.files.cache import Cache
with Cache(Path(sys.argv[1])).scratch() as directory:
    (directory / "big").write_text("x")
    print(directory, flush=True)
    time.sleep(60)
"""


def held_by_another_process(root: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_scratch_directory_goes_when_its_block_ends(tmp_path: Path) -> None:
    with Cache(tmp_path).scratch() as directory:
        (directory / "sub").mkdir()
        (directory / "sub" / "file").write_text("x")
        (directory / "sub").chmod(0o555)
    assert not directory.exists()


def test_a_killed_builds_directory_is_removed_by_the_next_and_a_living_ones_is_kept(tmp_path: Path) -> None:
    dead, left_behind = held_by_another_process(tmp_path)
    living, in_use = held_by_another_process(tmp_path)
    try:
        os.kill(dead.pid, signal.SIGKILL)
        dead.wait()
        assert (left_behind / "big").exists()
        with Cache(tmp_path).scratch():
            assert not left_behind.exists()
            assert (in_use / "big").exists()
    finally:
        living.kill()
        for process in (dead, living):
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_a_cache_that_cannot_be_made_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError) as caught, Cache(tmp_path / "file").scratch():
        pass
    assert "ENVPACK_CACHE_DIR" in str(caught.value.hint)


def test_two_that_remove_one_directory_do_not_disturb_each_other(tmp_path: Path) -> None:
    for number in range(20):
        directory = tmp_path / str(number)
        for name in range(100):
            (directory / str(name)).mkdir(parents=True)
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(remove, directory) for _ in range(4)]:
                done.result()
        assert not directory.exists()


def test_a_cache_in_which_nobody_may_write_is_said_to_be_unusable(tmp_path: Path) -> None:
    """Root may write everywhere, so a file stands where the directory would be."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "scratch").write_text("")
    with pytest.raises(UsageError, match="cannot be used") as refused, Cache(tmp_path / "cache").scratch():
        pass
    assert refused.value.hint
    assert "ENVPACK_CACHE_DIR" in refused.value.hint


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(13, "Permission denied", "{cache}/pkgs/six"), UsageError),
        (OSError(28, "No space left on device"), PackingFailed),
        (PermissionError(13, "Permission denied", "/elsewhere"), PermissionError),
        (ValueError("a bug"), ValueError),
    ],
    ids=["another user's package", "a full disk", "not the cache", "no error of files"],
)
def test_what_fails_in_the_cache_is_told_from_what_fails_elsewhere(
    error: Exception, expected: type[Exception], tmp_path: Path
) -> None:
    if isinstance(error, OSError) and error.filename:
        error.filename = error.filename.format(cache=tmp_path)
    with pytest.raises(expected), Cache(tmp_path).scratch():
        raise error
    assert list((tmp_path / "scratch").iterdir()) == []


def test_nothing_behind_a_link_is_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("mine")
    (tmp_path / "theirs").symlink_to(tmp_path / "mine")
    remove(tmp_path / "theirs")
    assert not os.path.lexists(tmp_path / "theirs")
    assert (tmp_path / "mine/file").read_text() == "mine"


def test_an_interruption_at_any_line_leaves_no_room(tmp_path: Path) -> None:
    lines = left = 0

    def interrupt(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal left
        files = {__file__, workspace.__file__}
        if not (frame.f_back and {frame.f_code.co_filename, frame.f_back.f_code.co_filename} & files):
            return None
        left -= event == "line"
        if not left:
            raise KeyboardInterrupt
        return interrupt

    while True:
        lines = left = lines + 1
        tracing = sys.gettrace()
        try:
            sys.settrace(interrupt)
            with room(tmp_path) as made:
                (made / "file").touch()
        except KeyboardInterrupt:
            pass
        else:
            break
        finally:
            sys.settrace(tracing)
        assert list(tmp_path.iterdir()) == [], f"line {lines}"
    assert lines > 20


def test_a_link_that_another_user_made_where_rooms_are_is_not_taken_for_a_dead_room(tmp_path: Path) -> None:
    shared, mine = tmp_path / "shared", tmp_path / "mine"
    shared.mkdir()
    mine.mkdir()
    (mine / "file").write_text("mine")
    (shared / ".there.part-x").symlink_to(mine)
    with room(shared, ".there.part-") as made:
        assert made.is_dir()
    assert sorted(path.name for path in mine.iterdir()) == ["file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to another")
def test_a_room_of_another_user_stays(tmp_path: Path) -> None:
    theirs = tmp_path / ".there.part-x"
    theirs.mkdir()
    (theirs / "file").write_text("theirs")
    os.chown(theirs, 65534, 65534)
    with room(tmp_path, ".there.part-"):
        pass
    assert [path.name for path in theirs.iterdir()] == ["file"]
