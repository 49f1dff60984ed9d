"""Which conda packages of conda-forge hold a project's distribution: a data file and the program that makes it.

    python -m envpack.resolve.mapping NAMES YYYY-MM-DD     # `make names` renews the file

NAMES is JSON, gzipped or not: each conda name with the project whose distribution the package holds, or null, as
parselmouth (github: prefix-dev/parselmouth) finds by looking into the packages. Only entries that a rule does not
give are kept: see `guesses`.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import defaultdict
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.requirements.names import CondaName, ProjectName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

FILE = "conda_names.txt"
"""Beside this module: a line for each project, with its conda names, most wanted first."""

_SOURCE = "parselmouth's map of conda-forge (github: prefix-dev/parselmouth)"
_SMALLER = ("-base", "-core")
_PYTHON = ("python-", "py-", "-python", "-py", ".py", "py")

# Where the smallest package is not the project: the project's own requirements, or half of it, are in the other
# one.
_WHOLE = {
    "cupy": "cupy-core leaves CUDA's libraries to the machine",
    "cvxpy": "cvxpy-base has no solver",
    "geopandas": "geopandas-base reads no files: it has neither pyogrio nor fiona",
    "pyarrow": "pyarrow-core has neither datasets nor Parquet",
}

# What the map lacks: distributions that conda-forge builds under another project's name.
_ADDED: Mapping[str, tuple[str, ...]] = {
    "graphviz": ("python-graphviz",),
    "kubernetes": ("python-kubernetes",),
    "opencv-python-headless": ("py-opencv",),
    "psycopg2": ("psycopg2",),
    "psycopg2-binary": ("psycopg2",),
    "tzdata": ("python-tzdata",),
}


def guesses(project: ProjectName) -> tuple[CondaName, ...]:
    """Return a project's conda names by the rule, without the data file: its own name, with `-`, `_` or `.`."""
    return tuple(dict.fromkeys(CondaName(project.replace("-", sign)) for sign in "-_."))


@cache
def known() -> Mapping[ProjectName, tuple[CondaName, ...]]:
    """Return the conda names of each project whose names differ from `guesses`, most wanted first."""
    text = files("envpack.resolve").joinpath(FILE).read_text("utf-8")
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {ProjectName(project): tuple(map(CondaName, names)) for project, *names in lines}


def differing(names: Mapping[str, str | None]) -> dict[ProjectName, tuple[CondaName, ...]]:
    """Return the entries of a map from conda names to projects that `guesses` lacks, sorted by project."""
    found: defaultdict[ProjectName, list[CondaName]] = defaultdict(list)
    for conda, project in names.items():
        if project:
            found[ProjectName(project)].append(CondaName(conda))
    for added, more in _ADDED.items():
        found[ProjectName(added)] = [*map(CondaName, more), *found.get(ProjectName(added), [])]
    ordered = {project: _ordered(project, found[project]) for project in sorted(found)}
    return {project: conda for project, conda in ordered.items() if not _is_guessed(project, conda, names)}


def _is_guessed(project: ProjectName, conda: Sequence[CondaName], names: Mapping[str, str | None]) -> bool:
    """Return whether the rule gives the same names in the same order."""
    guessed = [name for name in guesses(project) if name in names]
    return guessed == list(conda) and project not in _ADDED


def _ordered(project: ProjectName, names: Collection[CondaName]) -> tuple[CondaName, ...]:
    """Return the packages that hold a project's distribution, the smallest that is the project first.

    Packages that hold it in addition to their own (`inkscape` has lxml's) are left out where another has the
    project's name.
    """
    related = [name for name in names if _is_related(project, name)]

    def rank(name: CondaName) -> tuple[int, int, str]:
        return _rank(project, name), len(name), name

    return tuple(sorted(dict.fromkeys(related or names), key=rank))


def _is_related(project: ProjectName, name: CondaName) -> bool:
    return ProjectName(name) == project or _plain(project) in _plain(name) or _plain(name) in _plain(project)


def _plain(name: str) -> str:
    """Return a name without separators and without the parts that mean Python."""
    text = name.lower()
    for word in _PYTHON[:-1]:
        text = text.removeprefix(word) if word.endswith("-") else text.removesuffix(word)
    return text.translate(str.maketrans("", "", "-_."))


def _rank(project: ProjectName, name: CondaName) -> int:
    """Return how well a package's name matches exactly the project."""
    normal = ProjectName(name)
    smaller = any(normal == f"{_stem(each)}{end}" for each in (project, normal) for end in _SMALLER)
    if smaller and project not in _WHOLE and _plain(_stem(normal)) == _plain(project):
        return 0
    if normal != project and _plain(name) == _plain(project):
        return 1  # `python-xrootd` beside `xrootd`, which is more than Python
    return 2 if normal == project else 3


def _stem(name: str) -> str:
    return next((name.removesuffix(end) for end in _SMALLER if name.endswith(end)), name)


def dump(names: Mapping[ProjectName, Iterable[CondaName]], made: date) -> str:
    """Return the data file's text; `made` is the day of the map."""
    head = [
        f"# From {_SOURCE}, taken over on {made.isoformat()}.",
        "# Made by `python -m envpack.resolve.mapping`: a project, then the conda packages that hold it.",
    ]
    return "".join(f"{line}\n" for line in [*head, *(" ".join((p, *conda)) for p, conda in names.items())])


def load(path: Path) -> dict[str, str | None]:
    """Return a map from conda names to projects, gzipped or not."""
    data = path.read_bytes()
    names: dict[str, str | None] = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    return names


if __name__ == "__main__":
    Path(__file__).with_name(FILE).write_text(
        dump(differing(load(Path(sys.argv[1]))), date.fromisoformat(sys.argv[2])), "utf-8"
    )
