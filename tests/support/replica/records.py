"""The sample of conda-forge beside the project: its records, and which PyPI project a package holds."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SAMPLE = Path(__file__).parents[4] / "shared" / "conda-forge"
"""Beside the project's root; no part of the project."""

SUBDIRS = ("linux-64", "noarch")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record of the sample's repodata."""

    subdir: str
    file: str
    """The package's file name."""
    json: dict[str, Any]
    """As it stands in the repodata."""
    project: str | None
    """The PyPI project whose distribution the package holds; None when it holds none."""

    @property
    def name(self) -> str:
        """Return the conda name."""
        return str(self.json["name"])

    @property
    def version(self) -> str:
        """Return the conda version."""
        return str(self.json["version"])

    @property
    def depends(self) -> tuple[str, ...]:
        """Return the names of the packages that it depends on, virtual ones included."""
        return tuple(spec.split()[0] for spec in self.json["depends"])

    @property
    def is_noarch_python(self) -> bool:
        """Whether it is linked as noarch: the field says so, not the subdir (CEP 20)."""
        return self.json.get("noarch") == "python"

    @property
    def size(self) -> int | None:
        """Return the real package's size in bytes, where it is known."""
        return self.json.get("size")


def sample() -> Path:
    """Return the sample's directory; skip where it is not there, in CI too: it is no part of the project."""
    if not SAMPLE.is_dir():
        pytest.skip(f"no sample of conda-forge: there is no {SAMPLE.parent.name}/{SAMPLE.name} beside the project")
    return SAMPLE


@cache
def repodata(subdir: str) -> dict[str, Any]:
    """Return the sample's repodata of a subdir. It is shared: read it, do not change it."""
    read: dict[str, Any] = json.loads(gzip.decompress((sample() / subdir / "repodata.json.gz").read_bytes()))
    return read


@cache
def projects() -> dict[str, str | None]:
    """Return the PyPI project of each conda-forge name, None where it has none."""
    read: dict[str, str | None] = json.loads(gzip.decompress((sample() / "names.json.gz").read_bytes()))
    return read


def records(index: dict[str, dict[str, Any]]) -> dict[tuple[str, str], Record]:
    """Return every record of a channel, whose repodata is given by subdir, by subdir and file name."""
    return {
        (subdir, file): Record(subdir=subdir, file=file, json=value, project=_project(value))
        for subdir, channel in index.items()
        for key in ("packages", "packages.conda")
        for file, value in channel[key].items()
    }


def _project(value: dict[str, Any]) -> str | None:
    """Return the project that a package holds: none when one that it depends on holds the same.

    `matplotlib`, `dask` and `pyarrow` only bring `matplotlib-base`, `dask-core` and `pyarrow-core` along.
    """
    project = projects().get(value["name"])
    needed = {spec.split()[0] for spec in value["depends"]} - {value["name"]}
    is_python = value.get("noarch") == "python" or not needed.isdisjoint({"python", "python_abi"})
    if not is_python or any(projects().get(name) == project for name in needed):
        return None
    return project
