"""A conda channel of empty packages: enough to solve against, for every Python that a test wants to choose from."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rattler.index import index_fs

from envpack.channel import conda_file
from tests.support.loop import in_a_loop

PYTHONS = ("3.10.9", "3.11.9", "3.12.9", "3.13.9")


def write_channel(directory: Path, packages: dict[str, list[str]]) -> Path:
    """Write a channel with all of `PYTHONS` and with packages, each `NAME VERSION` with what it depends on."""
    noarch = directory / "noarch"
    noarch.mkdir(parents=True)
    for package, depends in {**{f"python {version}": [] for version in PYTHONS}, **packages}.items():
        name, version = package.split()
        with tempfile.TemporaryDirectory() as root:
            index = {
                "name": name,
                "version": version,
                "build": "0",
                "build_number": 0,
                "subdir": "noarch",
                "noarch": "generic" if name == "python" else "python",
                "depends": depends,
            }
            conda_file.write(Path(root), noarch / f"{name}-{version}-0.conda", index=index, about={})
    in_a_loop(index_fs(directory, force=True))
    return directory
