from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.command import Desk
from tests.support.missing import missing
from tests.support.wheels import write_wheel


def on_a_terminal(desk: Desk, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run envpack with a terminal as its stdout and stderr; return its exit code and what the terminal showed."""
    try:
        master, slave = pty.openpty()
    except OSError as error:
        missing(f"this machine has no pseudo-terminals: {error}")
    process = subprocess.Popen(
        desk.command(*arguments),
        cwd=desk.home,
        env={**desk.environment, "TERM": "xterm", "COLUMNS": "100", **variables},
        stdout=slave,
        stderr=slave,
        stdin=subprocess.DEVNULL,
    )
    os.close(slave)
    shown = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 0.2)
        if ready:
            try:
                shown += os.read(master, 65536)
            except OSError:
                break
        elif process.poll() is not None:
            break
    os.close(master)
    return process.wait(10), shown.decode("utf-8", "replace")


def test_a_terminal_shows_bars_while_steps_run_and_a_line_for_each_when_it_has_ended(
    desk: Desk, seed: Path
) -> None:
    desk.write("r.txt", "greeter")
    desk.forget_pieces(but=seed)
    code, shown = on_a_terminal(desk, "build", "r.txt")
    assert code == 0
    assert "━" in shown
    for step in ("solve", "link", "compile", "pack", "verify", "upload"):
        assert f"\n{step} " in shown.replace("\x1b[2K", "\n").replace("\r", "\n"), step
    assert "--archives" in shown


def test_quiet_shows_the_answer_only(desk: Desk) -> None:
    desk.write("r.txt", "greeter")
    code, shown = on_a_terminal(desk, "lock", "r.txt", "--quiet")
    assert (code, shown.strip()) == (0, f"{desk.home}/r.txt.lock".removeprefix(f"{desk.home}/"))


def test_verbose_tells_what_is_run(desk: Desk) -> None:
    write_wheel(desk.home, "party", "1")
    desk.write("r.txt", "--no-index", "--find-links .", "party")
    ran = desk.run("lock", "r.txt", "--verbose")
    assert "envpack.tools.uv: run " in ran.err


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_errors_are_coloured_on_a_terminal_unless_unwanted(
    desk: Desk, variables: dict[str, str], coloured: bool
) -> None:
    code, shown = on_a_terminal(desk, "show", "nothing", **variables)
    assert code == 2
    assert ("\x1b[31m" in shown) is coloured
    assert "hint:" in shown


def test_errors_are_plain_elsewhere(desk: Desk) -> None:
    assert "\x1b" not in desk.run("show", "nothing").err


def test_a_full_disk_is_named_with_the_way_out(desk: Desk, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    desk.write("r.txt", "greeter")
    mount = f"mount -t tmpfs -o size=15m tmpfs {shlex.quote(str(small))}"
    build = shlex.join([*desk.command("build", "r.txt"), "--cache-dir", str(small)])
    alone = ["unshare", "--mount", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("a file system of its own cannot be mounted here")
    ran = subprocess.run(
        [*alone, "sh", "-c", f"{mount} && exec {build}"],
        cwd=desk.home,
        env=desk.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 6, ran.stderr
    assert "full" in ran.stderr
    assert "ENVPACK_CACHE_DIR" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert desk.releases() == []
