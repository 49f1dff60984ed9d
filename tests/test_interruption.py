from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.command import Desk, copy_of, desk_at

STEPS = ("solve", "link", "compile", "pack", "verify", "upload")


def wait_for(process: subprocess.Popen[str], step: str) -> None:
    """Read what the build tells until a step has ended."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(step):
            return
    raise AssertionError(f"the build ended before {step}")


def end(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=60)
    return process.returncode


def leftovers(desk: Desk) -> list[Path]:
    return [*desk.cache.glob("scratch/*"), *(path for path in desk.store.rglob("*") if "part" in path.name)]


@pytest.mark.acceptance
def test_a_build_killed_at_any_step_leaves_nothing_and_the_next_one_succeeds(desk: Desk, seed: Path) -> None:
    desk.write("r.txt", "greeter")
    for step in STEPS[:-1]:
        desk.forget_pieces(but=seed)
        process = desk.start("build", "r.txt", "--upgrade")
        wait_for(process, step)
        os.kill(process.pid, signal.SIGKILL)
        end(process)
        assert desk.releases() == [], step
        assert desk.run("list").out == "", step
    assert desk.build("r.txt")["reused"] is False
    assert len(desk.releases()) == 1
    assert leftovers(desk) == []


STEPS_TO_INTERRUPT = pytest.mark.parametrize("step", ["solve", "link", "compile", "pack"])


def seconds_to_end(desk: Desk, step: str, seed: Path | None = None) -> float:
    """Interrupt a build after a step; return how long it took to end, with the exit code of an interruption.

    Everything is made anew, but what a `seed` knows.
    """
    desk.forget_pieces(but=seed)
    process = desk.start("build", "r.txt", "--upgrade")
    wait_for(process, step)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    code = end(process)
    seconds = time.monotonic() - start
    assert code == 130
    assert desk.releases() == []
    return seconds


@STEPS_TO_INTERRUPT
def test_ctrl_c_ends_a_build_and_leaves_nothing(desk: Desk, seed: Path, step: str) -> None:
    desk.write("r.txt", "greeter")
    seconds_to_end(desk, step, seed)
    assert desk.run("lock", "r.txt", "--upgrade").code == 0
    assert leftovers(desk) == []


@pytest.mark.acceptance
@STEPS_TO_INTERRUPT
def test_ctrl_c_ends_a_build_within_a_second(desk: Desk, step: str) -> None:
    desk.write("r.txt", "greeter")
    assert any(seconds_to_end(desk, step) < 1 for _ in range(3)), (
        "not once in three times, however busy the machine is"
    )


def test_a_terminated_build_says_so_with_its_exit_code(desk: Desk) -> None:
    desk.write("r.txt", "greeter")
    process = desk.start("build", "r.txt")
    wait_for(process, "solve")
    process.terminate()
    assert end(process) == 143
    assert desk.run("lock", "r.txt", "--upgrade").code == 0
    assert leftovers(desk) == []


@pytest.mark.acceptance
def test_two_builds_at_once_with_one_cache_and_one_store_publish_one_release(
    desk: Desk, seed: Path, tmp_path: Path
) -> None:
    cache = copy_of(seed, tmp_path / "a cache that knows Python alone")
    desks = [desk_at(tmp_path / name, desk.channel, cache) for name in ("one", "two")]
    processes = []
    for each in desks:
        each.write("r.txt", "greeter")
        processes.append(each.start("build", "r.txt", "--store", str(desk.store), "--output", "json"))
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert len(desk.releases()) == 1
    assert len({line for out, _ in outputs for line in out.splitlines() if '"reference"' in line}) == 1
