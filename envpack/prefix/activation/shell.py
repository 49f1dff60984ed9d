"""Run an activation script in a shell of its own and see which variables it exports."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.prefix.activation import confine
from envpack.prefix.activation.script import NOTHING, Place, ScriptOutcome
from envpack.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHELLS = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/run/current-system/sw/bin/bash")
"""Where a bash may be. conda's scripts are written for it."""

OF_THE_MACHINE = ("PATH", "HOME", "TMPDIR")
"""Those of a clean shell's variables whose values differ from one machine to the next."""

_CONFINE = Path(confine.__file__)
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


def usable() -> str | None:
    """Return the bash that scripts can be run with, or None when they cannot be run safely on this machine.

    A script may write anywhere. Run without Landlock it could change the prefix, and through its hard links the
    package cache.
    """
    found = next((shell for shell in SHELLS if os.access(shell, os.X_OK)), None)
    return found if found and confine.version() else None


def clean_environ(place: Place) -> dict[str, str]:
    """Return the variables that a shell has in which conda has just activated the prefix, and no others.

    Nothing of the caller's environment is in it. Source: conda's activate.py, `_build_activate_stack`.
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


def run(script: Path, environ: Mapping[str, str], place: Place, *, shell: str, timeout: float) -> ScriptOutcome:
    """Source a script as conda does, in a bash with these variables, and return what it exported.

    It has no input and no terminal, can write to the place's directory only, and is killed with all that it
    started after `timeout` seconds. A script that ends its shell, or is killed, counts as one that set nothing.
    """
    room = place.directory / "shell"
    for name in ("home", "tmp", "work", "shell"):
        (place.directory / name).mkdir(exist_ok=True)
    files = {name: room / name for name in ("status", "after", "end")}
    for file in files.values():
        file.unlink(missing_ok=True)
    quoted = {name: shlex.quote(str(file)) for name, file in files.items()}
    program = _PROGRAM.format(script=shlex.quote(str(script)), **quoted)
    given = room / "environ"
    given.write_bytes(b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environ.items()))
    command = [
        *(sys.executable, "-I", "-S", str(_CONFINE), str(place.directory), str(place.prefix), str(given)),
        *(shell, "--noprofile", "--norc", "-c", program),
    ]
    with _process(command, room / "output", place.directory / "work") as process:
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            return ScriptOutcome(changed=NOTHING, problem=f"did not end within {timeout:g} s")
    said = _last_line(room / "output", place)
    if not files["end"].exists():
        return ScriptOutcome(changed=NOTHING, problem=f"{_ending(code)}{said}")
    after = _variables(files["after"].read_bytes())
    status = files["status"].read_text()
    return ScriptOutcome(
        changed={name: value for name, value in after.items() if environ.get(name) != value},
        removed=frozenset(environ.keys() - after.keys()),
        problem=f"failed with status {status}{said}" if status != "0" and said else None,
    )


@contextmanager
def _process(command: list[str], output: Path, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command without a terminal, and kill it with all it started when the block ends."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _variables(data: bytes) -> dict[str, str]:
    pairs = (os.fsdecode(entry).partition("=") for entry in data.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def _ending(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended its shell with exit code {code}"


def _last_line(output: Path, place: Place) -> str:
    """Return the last line that a script printed, as words to add; paths of this machine are not in it."""
    with output.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 14)))
        text = file.read().decode(errors="replace")
    for path, shown in ((place.prefix, "$CONDA_PREFIX"), (place.directory, "$HOME")):
        text = text.replace(str(path), shown)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f": {redact(lines[-1])[:_SHOWN]}" if lines else ""
