"""Debian for another processor: packages that apt downloads and dpkg-deb unpacks, and qemu to run them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpack import digest
from tests.support.cache import kept

if TYPE_CHECKING:
    from collections.abc import Sequence

QEMU = "qemu-user-static"
PYTHON = ("python3", "libc6", "libgcc-s1", "libstdc++6")
"""A Python and what wheels take from the system."""

_SECONDS = 300


def root(architecture: str, packages: Sequence[str] = PYTHON) -> Path:
    """Return a directory with packages of Debian for a processor and all that they need; no script of them ran."""
    key = digest.of_json([architecture, *packages])[: digest.SHORT]
    return kept(f"debian-{architecture}-{key}", lambda directory: _unpack(directory, architecture, packages))


def qemu() -> Path:
    """Return a directory with qemu's programs: those of this machine, or those of a package that is unpacked."""
    if found := shutil.which("qemu-aarch64"):
        return Path(found).parent
    return kept("debian-qemu", _unpack_qemu) / "usr/bin"


def static_qemu() -> Path:
    """Return qemu's program for aarch64 that needs no library, so that it runs in any root."""
    name = "qemu-aarch64-static"
    found = shutil.which(name)
    return Path(found) if found else kept("debian-qemu", _unpack_qemu) / "usr/bin" / name


def _unpack_qemu(directory: Path) -> None:
    _run(["apt-get", "download", QEMU], directory)
    _unpack_all(directory, directory)


def _unpack(directory: Path, architecture: str, packages: Sequence[str]) -> None:
    state = directory / ".apt"
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    options = {
        "Dir::State::status": state / "status",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "archives",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    apt = [
        "apt-get",
        "--quiet",
        "--quiet",
        *(word for pair in options.items() for word in ("-o", "{}={}".format(*pair))),
    ]
    _run([*apt, "update"], directory)
    _run([*apt, "install", "--yes", "--download-only", "--no-install-recommends", *packages], directory)
    _unpack_all(state / "archives", directory)
    shutil.rmtree(state)


def _unpack_all(packages: Path, directory: Path) -> None:
    for package in packages.glob("*.deb"):
        _run(["dpkg-deb", "--extract", str(package), str(directory)], directory)
        package.unlink()


def _run(command: Sequence[str], directory: Path) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"no packages of Debian: there is no {command[0]}")
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        pytest.skip(f"no packages of Debian: {' '.join(command[:1])} said {done.stderr.strip()[-400:]}")
