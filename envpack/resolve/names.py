"""A project's names in conda channels, the reverse, and the known names that are similar to a misspelt one."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

from envpack.errors import UsageError
from envpack.requirements.names import CondaName, ProjectName, problem_of
from envpack.resolve import mapping

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


@dataclass(frozen=True)
class Names:
    """The table that maps project names to conda names; the user's own entries come first."""

    extra: Mapping[str, str] = field(default_factory=dict)
    """PyPI name to conda name, from the configuration."""

    def conda_candidates(self, project: ProjectName) -> tuple[CondaName, ...]:
        """Return the conda names that may hold a project, most wanted first.

        The user's own entry is the only answer. Otherwise the packages that the table names come first, the
        smallest that is the project before others, then the guess of the rule, unless that is known to be another
        project.
        """
        project = ProjectName(project)
        if project in self._own:
            return (self._own[project],)
        guesses = (name for name in mapping.guesses(project) if self._to_project.get(name, project) == project)
        return tuple(dict.fromkeys((*mapping.known().get(project, ()), *guesses)))

    def is_certain(self, project: ProjectName, conda: CondaName) -> bool:
        """Return whether a table, not a guess, says that a conda package holds a project."""
        return self._own.get(project) == conda or conda in mapping.known().get(project, ())

    def project(self, conda: CondaName) -> ProjectName:
        """Return the project name under which a conda package's distribution is known."""
        return self._to_project.get(CondaName(conda), ProjectName(conda))

    def smaller(self, conda: CondaName) -> CondaName | None:
        """Return the smaller package that holds the same project, if any: `matplotlib-base` of `matplotlib`."""
        names = mapping.known().get(ProjectName(conda), ())
        return names[0] if conda in names[1:] and names[0].startswith(f"{conda}-") else None

    def meant(self, name: str, among: Collection[ProjectName]) -> ProjectName:
        """Return the project that the user means by a name of either kind.

        A name in `among`, the projects to choose from, means that project. Otherwise a conda package's name means
        the project it holds: `pytorch` is `torch`.
        """
        project = ProjectName(name)
        return project if project in among else self.project(CondaName(name))

    @cached_property
    def _own(self) -> dict[ProjectName, CondaName]:
        return {ProjectName(project): CondaName(conda) for project, conda in self.extra.items()}

    @cached_property
    def _to_project(self) -> dict[CondaName, ProjectName]:
        # Two projects may share a package (opencv-python and its headless twin): the first in the table is
        # returned.
        found: dict[CondaName, ProjectName] = {conda: project for project, conda in self._own.items()}
        for project, names in mapping.known().items():
            for conda in names:
                found.setdefault(conda, project)
        return found


def checked_names(extra: Mapping[str, str], said_by: str) -> Names:
    """Return the table with the user's own entries, from `said_by`. Raises UsageError for an invalid one."""
    problems = [
        f"{said_by}: {conda!r}, for {project}, is not a conda package: {problem}"
        for project, conda in extra.items()
        if (problem := problem_of(CondaName(conda)))
    ]
    if problems:
        raise UsageError(problems, hint="write `names: {PROJECT: PACKAGE}`")
    return Names(extra)


def did_you_mean(name: str, others: Iterable[str] = ()) -> str | None:
    """Return a question that offers names near a misspelt one that a channel or PyPI may have, as `near` does.

    `others` are names known from elsewhere, such as a channel's.
    """
    return near(name, {*others, *_well_known(), *mapping.known()})


def near(name: str, known: Iterable[str]) -> str | None:
    """Return a question that offers up to three of the known names near a misspelt one, or None."""
    found = difflib.get_close_matches(ProjectName(name), sorted({*known} - {name}), n=3, cutoff=0.75)
    return f"did you mean {' or '.join(found)}?" if found else None


def _well_known() -> tuple[str, ...]:
    text = files("envpack.resolve").joinpath("well_known.txt").read_text("utf-8")
    return tuple(line for line in text.split() if not line.startswith("#"))
