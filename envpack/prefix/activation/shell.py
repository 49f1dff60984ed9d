"""Run an activation script in a shell of its own and see which variables it exports."""

from __future__ import annotations

import os
import shlex
import stat
from typing import TYPE_CHECKING

from envpack.prefix.activation.script import NOTHING, Place, ScriptOutcome
from envpack.progress import SILENT
from envpack.redact import redact
from envpack.tools import cage
from envpack.tools.cage import Cage, Confine, Limits
from envpack.tools.process import lines_of
from envpack.tools.walls import landlock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpack.progress import Progress
    from envpack.tools.cage import Ended

SHELLS = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/run/current-system/sw/bin/bash")
"""Paths at which bash may be. conda's scripts are written for it."""

OF_THE_MACHINE = ("PATH", "HOME", "TMPDIR")
"""Variables of a clean shell whose values differ between machines."""

LIMITS = Limits(processes=512, file_size=16 << 20, disk=64 << 20, output=16 << 20)
"""Limits for one script, which does little and prints little."""

_MOST_VARIABLES = 1 << 20
"""Bytes of all exported variables; the kernel allows a process about as much."""
_SHOWN = 200

# compgen and printf are part of bash: what the script did to PATH or LD_LIBRARY_PATH does not reach them.
_PROGRAM = """\
. {script}
builtin printf '%s' "$?" >| {status}
builtin trap - DEBUG ERR EXIT
IFS=$' \\t\\n'
for __name in $(builtin compgen -e); do builtin printf '%s=%s\\0' "$__name" "${{!__name-}}"; done >| {after}
builtin printf end >| {end}
"""


def usable(confine: Confine = Confine.BEST) -> str | None:
    """Return the bash that scripts can be run with, or None when they cannot be run safely on this machine.

    A script may write anywhere. Without walls it could change the prefix, and through its hard links the package
    cache; then scripts are read instead, unless the user has switched the walls off.
    """
    found = next((shell for shell in SHELLS if os.access(shell, os.X_OK)), None)
    return found if found and (landlock.version() or confine is Confine.OFF) else None


def clean_environ(place: Place) -> dict[str, str]:
    """Return the variables that a shell has in which conda has just activated the prefix, and no others.

    It contains nothing of the caller's environment. Source: conda's activate.py, `_build_activate_stack`.
    """
    return {
        "PATH": f"{place.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(place.directory / "home"),
        "TMPDIR": str(place.directory / "tmp"),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "CONDA_PREFIX": str(place.prefix),
        "CONDA_DEFAULT_ENV": str(place.prefix),
        "CONDA_SHLVL": "1",
    }


def run(
    script: Path,
    environ: Mapping[str, str],
    place: Place,
    *,
    shell: str,
    timeout: float,
    confine: Confine = Confine.BEST,
    progress: Progress = SILENT,
) -> ScriptOutcome:
    """Source a script as conda does, in a bash with these variables, and return what it exported.

    It runs in a cage, has no input and no terminal, and is killed with all that it started after `timeout` seconds.
    A script that ends its shell, or is killed, counts as one that sets nothing.
    """
    room = place.directory / "shell"
    for name in ("home", "tmp", "work", "shell"):
        (place.directory / name).mkdir(exist_ok=True)
    files = {name: room / name for name in ("status", "after", "end")}
    for file in files.values():
        file.unlink(missing_ok=True)
    quoted = {name: shlex.quote(str(file)) for name, file in files.items()}
    program = _PROGRAM.format(script=shlex.quote(str(script)), **quoted)
    ended = cage.run(
        [shell, "--noprofile", "--norc", "-c", program],
        Cage(
            directory=place.directory / "work",
            environ=environ,
            readable=[place.prefix, *script.parents[3:4]],
            writable=[place.directory],
            limits=LIMITS,
            confine=confine,
            progress=progress,
        ),
        timeout=timeout,
    )
    said = _last_line(ended.output, place)
    status, after = _read(files["status"]), _read(files["after"])
    if status is None or after is None or _read(files["end"]) is None:
        return ScriptOutcome(changed=NOTHING, problem=f"{_ending(ended)}{said}")
    failed = status != b"0"
    left = _variables(after)
    return ScriptOutcome(
        changed={name: value for name, value in left.items() if environ.get(name) != value},
        removed=frozenset(environ.keys() - left.keys()),
        problem=f"failed with status {_status(status)}{said}" if failed and said else None,
    )


def _read(file: Path) -> bytes | None:
    """Return what a script wrote into a file; None when there is no regular file."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _MOST_VARIABLES:
            return None
        return opened.read(_MOST_VARIABLES)


def _status(text: bytes) -> str:
    return text.decode() if text.isdigit() and len(text) <= 3 else "unknown"


def _variables(data: bytes) -> dict[str, str]:
    pairs = (os.fsdecode(entry).partition("=") for entry in data.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def _ending(ended: Ended) -> str:
    if ended.code is not None and ended.code >= 0:
        return f"ended its shell with exit code {ended.code}"
    return ended.problem or "did not end"


def _last_line(output: bytes, place: Place) -> str:
    """Return the last line that a script printed, as words to add, without paths of this machine."""
    for path, shown in ((place.prefix, b"$CONDA_PREFIX"), (place.directory, b"$HOME")):
        output = output.replace(os.fsencode(path), shown)
    lines = lines_of(output)
    return f": {redact(lines[-1])[:_SHOWN]}" if lines else ""
