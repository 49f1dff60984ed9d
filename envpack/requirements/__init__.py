"""A person's requirements file as values: `*.txt` as pip reads it, `*.yml` as conda does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from envpack.errors import BadRequirements
from envpack.requirements import clashes, yml
from envpack.requirements.pep508 import pinned_version
from envpack.requirements.text import Refused, check_path
from envpack.requirements.txt import Reading, Source
from envpack.requirements.values import CondaSpec, Indexes, Origin, PyRequirement, Requirements

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["CondaSpec", "Indexes", "Origin", "PyRequirement", "Requirements", "read"]


def read(path: Path) -> Requirements:
    """Return what a requirements file and all files that it includes ask for.

    Raises BadRequirements with every problem of all the files, each as `file:line: reason`.
    """
    reading = Reading(root=path.parent)
    source = Source(path=path, shown=str(path))
    environment = yml.Environment()
    match path.suffix.lower():
        case ".txt":
            reading.read_file(source)
        case ".yml" | ".yaml":
            environment = yml.read(source, reading)
        case _:
            reading.refuse(source.at(0), _no_requirements(path))
    for origin, reason in _of_the_whole(reading, environment, source):
        reading.refuse(origin, reason)
    if reading.problems:
        raise BadRequirements(reading.problems)
    return Requirements(
        path=path,
        stem=environment.name or path.stem,
        pypi=tuple(reading.pypi),
        conda_first=path.suffix.lower() == ".txt",
        conda=environment.conda,
        constraints=tuple(reading.constraints),
        channels=environment.channels,
        indexes=_effective(reading.indexes),
        variables=environment.variables,
        files=tuple(reading.files),
        places=reading.places,
        warnings=tuple(reading.warnings),
    )


def _no_requirements(path: Path) -> str:
    """Return why a path without one of the suffixes that envpack reads cannot be read."""
    try:
        check_path(path)
    except Refused as refused:
        return refused.reason
    match path.suffix:
        case ".lock":
            remedy = f"give {path.stem}; envpack uses the lock beside it by itself"
        case ".toml":
            remedy = f"`uv pip compile {path.name} -o requirements.txt` makes one of it"
        case _:
            remedy = "rename it if it is one of these"
    return f"is neither requirement lines (*.txt) nor a conda environment file (*.yml, *.yaml); {remedy}"


def _of_the_whole(reading: Reading, environment: yml.Environment, source: Source) -> Iterator[tuple[Origin, str]]:
    """Yield place and reason of the problems that no single line has."""
    if not (reading.pypi or environment.conda or reading.problems):
        yield source.at(0), "asks for no package"
    yield from clashes.find(reading.pypi, reading.constraints)
    if reading.needs_hashes:
        for requirement in reading.pypi:
            if not requirement.hashes or pinned_version(requirement) is None:
                yield requirement.origin, f"--require-hashes wants `{requirement.name}==VERSION` with a --hash"


def _effective(indexes: Indexes) -> Indexes:
    """Return the indexes that will be asked: none under `--no-index`."""
    return replace(indexes, index_url=None, extra_index_urls=()) if indexes.no_index else indexes
