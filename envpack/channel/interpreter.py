"""Ask a Python what it is made of."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from envpack.errors import UsageError
from envpack.redact import without_secrets

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
"""Runs in the Python that is asked, which may be older or newer than this one."""

_SUBDIRS = {"linux-x86_64": "linux-64", "linux-aarch64": "linux-aarch64"}


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python of this machine, its virtual environments left behind."""

    version: str
    """Such as `3.11.7`."""
    executable: Path
    """The program itself, links resolved."""
    stdlib: Path
    """The directory of the standard library."""
    subdir: str
    """conda's name of the platform."""

    @property
    def short_version(self) -> str:
        """The part of the version that names directories, such as `3.11`."""
        return ".".join(self.version.split(".")[:2])


def ask(python: Path) -> Interpreter:
    """Return what `python` is; a virtual environment's is the Python below it.

    Raises UsageError when it does not run, or is none that a starter channel can carry.
    """
    answer = _answer(python)
    if answer["platform"] not in _SUBDIRS or answer["libc"] != "glibc":
        raise UsageError(
            f"a starter channel cannot be made from a Python for {answer['platform']}",
            hint="make it on Linux with glibc, on the cluster's processor, and copy the directory",
        )
    if answer["implementation"] != "cpython" or answer["abiflags"] or answer["platlibdir"] != "lib":
        raise UsageError(
            f"{python} is a Python that a starter channel cannot carry: {_kind(answer)}",
            hint="name another with --python: python.org's, pyenv's, uv's and Debian's will do",
        )
    return Interpreter(
        version=answer["version"].rstrip("+"),
        executable=Path(answer["executable"]),
        stdlib=Path(answer["stdlib"]),
        subdir=_SUBDIRS[answer["platform"]],
    )


def _answer(python: Path) -> dict[str, str]:
    command = [str(python), "-I", "-c", _QUESTIONS]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=without_secrets(os.environ))
        answer: dict[str, str] = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        raise _unusable(python, error.stderr.strip().rpartition("\n")[2] or str(error)) from error
    except OSError as error:
        raise _unusable(python, error.strerror or str(error)) from error
    except ValueError as error:
        raise _unusable(python, "it does not answer as Python does") from error
    return answer


def _unusable(python: Path, reason: str) -> UsageError:
    return UsageError(f"{python} cannot be used: {reason}", hint="name a Python with --python")


def _kind(answer: dict[str, str]) -> str:
    flags = {"t": "free-threaded", "d": "built for debugging"}
    kinds = [answer["implementation"], *(flags.get(flag, flag) for flag in answer["abiflags"])]
    if answer["platlibdir"] != "lib":
        kinds.append(f"its library is in {answer['platlibdir']}")
    return ", ".join(kinds)
