"""The end of a process: killing its group, its last output."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

_LONGEST, _MOST = 2000, 100
"""Characters and lines; searching them for secrets takes time."""

if TYPE_CHECKING:
    import subprocess


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that was started in its own session, with all that stayed in its group, and reap it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def lines_of(output: bytes) -> list[str]:
    """Return the last lines that a process printed, without empty ones, control characters and very long ends."""
    text = output.decode("utf-8", "replace").replace("\r", "\n")
    lines = ("".join(char for char in line[:_LONGEST] if char.isprintable()).strip() for line in text.splitlines())
    return [line for line in lines if line][-_MOST:]


def how_it_ended(code: int) -> str:
    """Say how a process ended by its exit code, which is negative for a signal, as `subprocess` gives it."""
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
