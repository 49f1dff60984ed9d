"""The programs that a team's own script is made of, in a virtual environment of their own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from uv import find_uv_bin

from bench import places
from envpack import digest

if TYPE_CHECKING:
    from pathlib import Path

_DAY = "2026-11-26T00:00:00Z"
"""What they need is taken as PyPI had it then."""

_PACKAGES = ("awscli==1.46.1", "conda-pack==0.9.2")


def programs() -> Path:
    """Return the directory that has `aws` and `conda-pack`."""
    key = digest.of_json([_PACKAGES, sys.version])[:12]
    return places.kept(f"tools-{key}", _install) / "bin"


def _install(folder: Path) -> None:
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder], check=True)
    subprocess.run(
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "--exclude-newer",
            _DAY,
            "--compile-bytecode",
            "--python",
            folder / "bin/python",
            *_PACKAGES,
        ],
        check=True,
    )
