"""macOS' sandbox, for the parts of a cage that it can provide: no network, no home, no writing elsewhere.

Source: sandbox-exec(1) and the profiles below /System/Library/Sandbox/Profiles. Apple calls it deprecated; Bazel
and Homebrew also use it. It cannot be nested, so whether it works is tested.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PROGRAM = "/usr/bin/sandbox-exec"
_HOMES = ("/Users", "/var/root", "/private/var/root")


def words(readable: Sequence[Path], writable: Sequence[Path], *, confined: bool) -> list[str]:
    """Return the words before a command that confine it; none where this is not possible."""
    return [_PROGRAM, "-p", profile(readable, writable)] if names(confined=confined) else []


def names(*, confined: bool) -> tuple[str, ...]:
    """Return the name of this wall, if it works here."""
    return ("seatbelt",) if confined and sys.platform == "darwin" and _works() else ()


def profile(readable: Sequence[Path], writable: Sequence[Path]) -> str:
    """Return the rules; the last matching one counts."""
    return "\n".join(
        [
            "(version 1)",
            "(allow default)",
            "(deny network*)",
            "(deny signal)",
            "(allow signal (target same-sandbox))",
            "(deny process-info*)",
            "(allow process-info* (target same-sandbox))",
            "(deny file-write*)",
            *(f"(deny file-read* (subpath {_quoted(home)}))" for home in _HOMES),
            *(f"(allow file-read* (subpath {_quoted(path.resolve())}))" for path in (*readable, *writable)),
            '(allow file-write* (literal "/dev/null"))',
            *(f"(allow file-write* (subpath {_quoted(path.resolve())}))" for path in writable),
        ]
    )


def _quoted(path: str | Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


@functools.lru_cache(maxsize=1)
def _works() -> bool:
    command = [_PROGRAM, "-p", "(version 1)(allow default)", "/usr/bin/true"]
    try:
        return subprocess.run(command, capture_output=True, check=False, env={}).returncode == 0
    except OSError:
        return False
