"""What is left of a process: its group to be killed, its last words."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that was started in a session of its own, with all that stayed in its group, and reap it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def lines_of(output: bytes) -> list[str]:
    """Return what a process printed as lines without the empty ones and without control characters."""
    text = output.decode("utf-8", "replace").replace("\r", "\n")
    lines = ("".join(char for char in line if char.isprintable()).strip() for line in text.splitlines())
    return [line for line in lines if line]


def how_it_ended(code: int) -> str:
    """Say how a process ended by its exit code, which is negative for a signal, as `subprocess` gives it."""
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
