"""A whole system for another processor: Debian's root, its programs and all that they start run under qemu.

Linux 6.7 and newer keep formats of programs for each user namespace, so nothing of this machine is changed.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpack import digest
from tests.support import debian
from tests.support.cache import kept

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES = (*debian.PYTHON, "coreutils", "dash")

_REPOSITORY = Path(__file__).parent.parent.parent
_SECONDS = 800

_ENTER = r"""
set -e
IFS=$'\n'
root=$1 qemu=$2 scratch=$3 shared=$4
shift 4
mount -t tmpfs none "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/system" "$scratch/formats"
mount -t binfmt_misc none "$scratch/formats"
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":aarch64:M::$magic:$mask:$qemu:FP" > "$scratch/formats/register"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/system"
for path in /proc /dev /etc/ssl /etc/resolv.conf /etc/hosts $shared; do
    if [ -d "$path" ]; then mkdir -p "$scratch/system$path"; else : > "$scratch/system$path"; fi
    mount --rbind "$path" "$scratch/system$path"
done
mkdir -p "$scratch/system/tmp"
exec chroot "$scratch/system" "$@"
"""


@dataclass(frozen=True, kw_only=True)
class System:
    """Debian for aarch64, as if it had been booted."""

    root: Path
    qemu: Path
    """The program, which needs no library of this machine."""
    scratch: Path
    """An empty directory, for what the system writes of its own."""

    def run(
        self, *command: str | Path, shared: tuple[Path, ...] = (), variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the system; `shared` are directories of this machine that it sees under their paths."""
        places = [str(path) for path in (self.root, self.qemu, self.scratch)]
        script = ["bash", "-c", _ENTER, "enter", *places, "\n".join(map(str, shared))]
        return subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", *script, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            env={**(variables or {}), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
        )

    def envpack(self, *arguments: str | Path, shared: tuple[Path, ...], variables: Mapping[str, str]) -> str:
        """Run this repository's envpack there, with what it needs for that processor, and return what it prints."""
        site = packages()
        python = {**variables, "PYTHONPATH": f"{site}:{_REPOSITORY}", "PYTHONDONTWRITEBYTECODE": "1"}
        command = ["/usr/bin/python3", "-m", "envpack", *arguments]
        done = self.run(*command, shared=(*shared, site, _REPOSITORY / "envpack"), variables=python)
        assert done.returncode == 0, done.stderr
        return done.stdout


def system(scratch: Path) -> System:
    """Return such a system, which writes into `scratch`; skips with the reason where it cannot run."""
    found = System(root=debian.root("arm64", PACKAGES), qemu=debian.static_qemu(), scratch=scratch)
    tried = found.run("/bin/sh", "-c", "/bin/true && echo runs")
    if tried.stdout != "runs\n":
        pytest.skip(f"no system for aarch64 runs here: {tried.stderr.strip()[-200:]}")
    return found


def packages() -> Path:
    """Return a directory with what envpack needs, as wheels for Debian's Python on aarch64."""
    files = [(_REPOSITORY / name).read_text("utf-8") for name in ("pyproject.toml", "constraints.txt")]
    key = digest.of_json(files)
    return kept(f"envpack-aarch64-{key[: digest.SHORT]}", _install)


def _install(directory: Path) -> None:
    words = [
        *("uv", "pip", "install", "--quiet", "--only-binary", ":all:", "--target", str(directory)),
        *("--python-platform", "aarch64-unknown-linux-gnu", "--python-version", "3.11"),
        *("--constraint", "constraints.txt", "--requirements", "pyproject.toml"),
    ]
    subprocess.run([sys.executable, "-m", *words], cwd=_REPOSITORY, check=True)
