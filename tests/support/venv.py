"""Virtual environments of the tests' Python with real programs from PyPI, made once and kept for later runs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from uv import find_uv_bin

from envpack import digest
from tests.support import pypi
from tests.support.cache import kept
from tests.support.missing import missing

if TYPE_CHECKING:
    from collections.abc import Sequence


def venv_with(name: str, packages: Sequence[str], *, without: Sequence[str] = ()) -> Path:
    """Return a virtual environment with packages and all they need, less the packages `without`."""
    python = sys.version.split()[0]
    left_out = [f"without {package}" for package in without]
    key = digest.of_json([*packages, *left_out, python, sys.base_prefix])[: digest.SHORT]
    return kept(f"{name}-{key}", lambda venv: _install(venv, packages, without))


def _install(venv: Path, packages: Sequence[str], without: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        overrides = Path(directory, "overrides.txt")
        overrides.write_text("".join(f"{package} ; python_version < '3'\n" for package in without))
        uv = find_uv_bin()
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)],
            [
                *(uv, "pip", "install", "--quiet", "--python", str(venv / "bin/python")),
                *("--exclude-newer", pypi.DAY, "--override", str(overrides), *packages),
            ],
        ):
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            if answer.returncode:
                missing(f"{' '.join(packages)} cannot be installed: {answer.stderr}")
