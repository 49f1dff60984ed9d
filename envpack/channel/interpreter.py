"""Ask a Python for its files and properties."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.config.addresses import directory_at
from envpack.errors import UsageError
from envpack.files import elf
from envpack.redact import without_secrets
from envpack.tools import emulator

if TYPE_CHECKING:
    from envpack.tools.emulator import Emulator

_QUESTIONS = """
import json, os, platform, sys, sysconfig
print(json.dumps({
    "implementation": sys.implementation.name,
    "version": platform.python_version(),
    "abiflags": sys.abiflags,
    "executable": os.path.realpath(sys._base_executable),
    "stdlib": sysconfig.get_path("stdlib"),
    "platlibdir": sys.platlibdir,
    "platform": sysconfig.get_platform(),
    "libc": platform.libc_ver()[0],
}))
"""
"""Runs in the other Python, which may be older or newer than this one."""

_USUAL = Path("/usr/bin/python3")

_SUBDIRS = {"linux-x86_64": "linux-64", "linux-aarch64": "linux-aarch64"}


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python of this machine, without virtual environments."""

    version: str
    """Such as `3.11.7`."""
    executable: Path
    """The program itself, links resolved."""
    stdlib: Path
    """The directory of the standard library."""
    subdir: str
    """conda's name of the platform."""
    emulator: Emulator | None = None
    """Its emulator, where it belongs to another system; the emulator's root is that system's."""

    @property
    def short_version(self) -> str:
        """The part of the version that names directories, such as `3.11`."""
        return ".".join(self.version.split(".")[:2])


def ask(python: Path) -> Interpreter:
    """Return the data of `python`; for a virtual environment, of the Python below it.

    Raises UsageError when it does not run, or cannot be in a starter channel.
    """
    return _described(python, _answer([str(python)], python), None)


def ask_in(root: Path, python: Path | None = None) -> Interpreter:
    """Return the data of another system's Python, whose directories are below `root`; qemu runs it.

    `python` is its path from that root. Raises UsageError as `ask` does, and when there is no qemu for it.
    """
    root = Path(directory_at(root, Path.cwd()))
    program = root / (python or _USUAL).relative_to("/")
    binary = elf.read(program, program.name) if program.is_file() else None
    if binary is None:
        raise UsageError(
            f"{program} is not a Linux executable",
            hint="give the path of the Python inside --root with --python, such as /usr/bin/python3.11",
        )
    try:
        found = emulator.find(binary.machine, root)
    except emulator.NoEmulator as error:
        raise UsageError(
            f"{program} cannot be run: {error}", hint="install qemu-user (Debian: `apt install qemu-user`)"
        ) from error
    return _described(program, _answer([*found.words, str(program)], program), found)


def _described(python: Path, answer: dict[str, str], runs: Emulator | None) -> Interpreter:
    if answer["platform"] not in _SUBDIRS or answer["libc"] != "glibc":
        raise UsageError(
            f"`envpack channel init` cannot use a Python for {answer['platform']}",
            hint="make the channel on a Linux with glibc and the cluster's processor, and copy the directory",
        )
    if answer["implementation"] != "cpython" or answer["abiflags"] or answer["platlibdir"] != "lib":
        raise UsageError(
            f"`envpack channel init` cannot use the Python {python}: {_kind(answer)}",
            hint="give another Python with --python, such as one from python.org, pyenv, uv or Debian",
        )
    return Interpreter(
        version=answer["version"].rstrip("+"),
        executable=Path(answer["executable"]),
        stdlib=Path(answer["stdlib"]),
        subdir=_SUBDIRS[answer["platform"]],
        emulator=runs,
    )


def _answer(words: list[str], python: Path) -> dict[str, str]:
    command = [*words, "-I", "-c", _QUESTIONS]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=without_secrets(os.environ))
        answer: dict[str, str] = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        raise _unusable(python, error.stderr.strip().rpartition("\n")[2] or str(error)) from error
    except OSError as error:
        raise _unusable(python, error.strerror or str(error)) from error
    except ValueError as error:
        raise _unusable(python, "it does not run as a Python") from error
    return answer


def _unusable(python: Path, reason: str) -> UsageError:
    return UsageError(f"{python} cannot be used: {reason}", hint="give another Python with --python")


def _kind(answer: dict[str, str]) -> str:
    flags = {"t": "free-threaded", "d": "built for debugging"}
    kinds = [answer["implementation"], *(flags.get(flag, flag) for flag in answer["abiflags"])]
    if answer["platlibdir"] != "lib":
        kinds.append(f"its library is in {answer['platlibdir']}")
    return ", ".join(kinds)
