"""How a project is called on PyPI and in conda channels, and which known name a misspelt one is nearest to."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Where the conda name is not the project's own, or the project's own name is another thing in conda channels.
# Seen in conda-forge's recipes, whose package metadata names the PyPI project.
CONDA_NAMES: Mapping[str, str] = {
    "annoy": "python-annoy",
    "blosc": "python-blosc",
    "brotli": "brotli-python",
    "build": "python-build",
    "confluent-kafka": "python-confluent-kafka",
    "docker": "docker-py",
    "duckdb": "python-duckdb",
    "flatbuffers": "python-flatbuffers",
    "graphviz": "python-graphviz",
    "hdfs": "python-hdfs",
    "igraph": "python-igraph",
    "kaleido": "python-kaleido",
    "kubernetes": "python-kubernetes",
    "lmdb": "python-lmdb",
    "msgpack": "msgpack-python",
    "opencv-python": "py-opencv",
    "opencv-python-headless": "py-opencv",
    "psycopg2-binary": "psycopg2",
    "pyqt5": "pyqt",
    "rapidjson": "python-rapidjson",
    "snappy": "python-snappy",
    "tables": "pytables",
    "torch": "pytorch",
    "torch-geometric": "pytorch_geometric",
    "tzdata": "python-tzdata",
    "xxhash": "python-xxhash",
}

# Packages that hold a project's distribution where the package of its own name only adds libraries.
# Seen in conda-forge's pyarrow-feedstock.
_CONDA_CORES: Mapping[str, str] = {"pyarrow": "pyarrow-core"}


@dataclass(frozen=True)
class Names:
    """The table that maps project names to conda names; a person's own entries come first."""

    extra: Mapping[str, str] = field(default_factory=dict)
    """PyPI name to conda name, from the configuration."""

    def conda_candidates(self, project: str) -> tuple[str, ...]:
        """Return the conda names a project may have, most likely first.

        A name from a table stands alone. Otherwise channels keep the project's own name, with `-`, `_` or `.`
        as its authors write it.
        """
        project = canonicalize_name(project)
        if project in self._to_conda:
            return (self._to_conda[project],)
        return tuple(dict.fromkeys((project, project.replace("-", "_"), project.replace("-", "."))))

    def conda_carriers(self, project: str) -> tuple[str, ...]:
        """Return every conda name under which a project's distribution may be linked."""
        core = _CONDA_CORES.get(project)
        return (*self.conda_candidates(project), *((core,) if core else ()))

    def project(self, conda_name: str) -> str:
        """Return the project name under which a conda package's distribution is known."""
        return self._to_project.get(conda_name, str(canonicalize_name(conda_name)))

    def is_certain(self, project: str) -> bool:
        """Return whether a table, not a guess, names the project's conda package."""
        return canonicalize_name(project) in self._to_conda

    @cached_property
    def _to_conda(self) -> dict[str, str]:
        return {**CONDA_NAMES, **{str(canonicalize_name(k)): v for k, v in self.extra.items()}}

    @cached_property
    def _to_project(self) -> dict[str, str]:
        pairs = (*_CONDA_CORES.items(), *reversed(self._to_conda.items()))
        return {conda: project for project, conda in pairs}


def did_you_mean(name: str, others: Iterable[str] = ()) -> str | None:
    """Return a question that offers up to three known names near a misspelt one, or None when none is near.

    `others` are names known from elsewhere, such as a channel's.
    """
    known = sorted({*others, *_well_known(), *CONDA_NAMES} - {name})
    found = difflib.get_close_matches(canonicalize_name(name), known, n=3, cutoff=0.75)
    return f"did you mean {' or '.join(found)}?" if found else None


def _well_known() -> tuple[str, ...]:
    text = files("envpack.resolve").joinpath("well_known.txt").read_text("utf-8")
    return tuple(line for line in text.split() if not line.startswith("#"))
