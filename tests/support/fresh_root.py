"""Fresh machines: Debian roots with nothing but Python, make and git, where `make` runs as a person runs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.cache import kept

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("python3", "python3-venv", "make", "git", "ca-certificates")
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
PERSON = 1234
"""The number of the ordinary user."""

_ENTER = """
mount --make-rprivate / && mount -t proc proc "$1/proc" || exit 125
for one in null zero full random urandom tty; do
    test -e "$1/dev/$one" || touch "$1/dev/$one" && mount --bind "/dev/$one" "$1/dev/$one" || exit 125
done
mkdir -p "$1/dev/shm" && mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm" || exit 125
"${@:2}"
exit $?
"""
"""Gives a root /proc, the usual devices, shared memory and, in the shell, an init that takes in what others leave
behind. There is no pseudo-terminal, as in small containers."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One copy of a Debian root, thrown away after use, with a clone of this repository."""

    root: Path
    user: str
    """`root` or `person`."""

    @property
    def home(self) -> str:
        return "/root" if self.user == "root" else "/home/person"

    def run(self, command: Sequence[str], directory: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the user in a directory of the root; both outputs are in `stdout`."""
        number = 0 if self.user == "root" else PERSON
        enter = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "bash",
            "-c",
            _ENTER,
            "bash",
            str(self.root),
        ]
        become = ["chroot", f"--userspec={number}:{number}", "--groups=", str(self.root)]
        variables = {
            "HOME": self.home,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "USER": self.user,
            **_reaching(),
        }
        told = [f"{name}={value}" for name, value in variables.items()]
        return subprocess.run(
            [*enter, *become, "env", "-i", f"--chdir={directory}", *told, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def make(self, *targets: str) -> subprocess.CompletedProcess[str]:
        """Run `make` in the clone."""
        return self.run(["make", *targets], f"{self.home}/envpack")


def _reaching() -> dict[str, str]:
    """Return the variables by which this machine reaches its package index."""
    found = {name: value for name, value in os.environ.items() if name.lower().endswith(("_proxy", "_index_url"))}
    if "SSL_CERT_FILE" in os.environ:
        found["SSL_CERT_FILE"] = f"/{CERTIFICATES}"
    return found


def machine(suite: str, user: str, directory: Path) -> Machine:
    """Return a machine with a release of Debian, such as `trixie`; skips the test where none can be made."""
    if os.geteuid():
        pytest.skip("only root can make a root of Debian's packages")
    if not shutil.which("debootstrap"):
        pytest.skip("there is no debootstrap on PATH: apt-get install debootstrap")
    made = kept(f"fresh-{suite}", lambda home: _bootstrap(suite, home / "root"))
    root = directory / f"{suite}-{user}"
    subprocess.run(["cp", "--archive", "--reflink=auto", made / "root", root], check=True)
    machine = Machine(root=root, user=user)
    _welcome(machine)
    return machine


def _bootstrap(suite: str, root: Path) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(root)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        pytest.skip(f"debootstrap cannot make {suite} here: {done.stdout.strip().splitlines()[-1]}")


def _welcome(machine: Machine) -> None:
    """Let the machine reach what this one reaches, and give its user a clone."""
    root = machine.root
    for name in ("etc/resolv.conf", "etc/hosts"):
        with contextlib.suppress(OSError):
            shutil.copyfile(Path("/", name), root / name)
    if (own := Path("/", CERTIFICATES)).exists():
        shutil.copyfile(own, root / CERTIFICATES)
    (root / "etc/pip.conf").write_text(f"[global]\ncert = /{CERTIFICATES}\n")
    home = root / machine.home.lstrip("/")
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "clone", "--quiet", f"file://{ROOT}", home / "envpack"], check=True)
    if machine.user != "root":
        with (root / "etc/passwd").open("a") as users:
            users.write(f"{machine.user}:x:{PERSON}:{PERSON}::{machine.home}:/bin/bash\n")
        subprocess.run(["chown", "--recursive", f"{PERSON}:{PERSON}", home], check=True)
