"""Decide for each requested project whether it comes from a conda channel or from PyPI."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpack.errors import Unsatisfiable
from envpack.requirements.names import ProjectName
from envpack.resolve import pep440
from envpack.resolve.names import near

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from envpack.requirements import PyRequirement
    from envpack.requirements.markers import Situation
    from envpack.requirements.names import CondaName
    from envpack.resolve.conda import Carried, Channels
    from envpack.resolve.request import Request


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Requirement lines, divided between conda and PyPI."""

    specs: tuple[str, ...]
    """Match specs, one for each project from conda."""
    constraints: tuple[str, ...]
    """Match specs that restrict packages, and add none."""
    pypi: tuple[PyRequirement, ...]
    """The lines for PyPI."""
    asked: Mapping[str, tuple[PyRequirement, ...]]
    """Conda names to the lines that ask for them."""
    lacking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Projects that the channels have only in unwanted versions, to those versions, oldest first."""
    notes: tuple[str, ...] = ()


def share_out(situation: Situation, request: Request, channels: Channels) -> Shares:
    """Decide for each project whether it comes from conda or from PyPI.

    All lines, constraints and limits of a project are one request, as in pip. Raises
    Unsatisfiable when a project that must come from conda is in no channel.
    """
    lines: defaultdict[ProjectName, list[PyRequirement]] = defaultdict(list)
    for line in situation.lines:
        lines[line.name].append(line)
    bounds = _bounds(situation, request)
    open_to_conda = {name for name, own in lines.items() if all(_may_be_conda(line, request) for line in own)}
    candidates = {name: request.names.conda_candidates(name) for name in {*open_to_conda, *bounds}}
    carried = channels.carried(name for names in candidates.values() for name in names) if candidates else {}
    specs, from_pypi, notes = [], list[ProjectName](), list[str]()
    asked: dict[str, tuple[PyRequirement, ...]] = {}
    lacking: dict[str, tuple[str, ...]] = {}
    for name, own in lines.items():
        wanted = _together(line.specifier for line in own) & bounds.get(name, SpecifierSet())
        found = _conda_name(name, wanted, request, carried) if name in open_to_conda else None
        forced = name in request.from_conda
        if found is None:
            if forced:
                raise Unsatisfiable(
                    f"{own[0].origin}: {name} must come from conda (--from-conda), but no channel has it",
                    hint=near(name, channels.names())
                    or f"leave out --from-conda {name} to take it from PyPI, or add a channel with --channel",
                )
            from_pypi.append(name)
        elif not forced and not pep440.admitted(wanted, carried[found].versions):
            lacking[name] = pep440.in_order(carried[found].versions)
            notes.append(_lacking_note(name, wanted, lacking[name]))
            from_pypi.append(name)
        else:
            specs.append(_spec(found, wanted, carried[found]))
            asked[found] = tuple(own)
            if name in bounds:
                bounds[name] = wanted
    return Shares(
        specs=tuple(specs),
        constraints=tuple(_constraints(bounds, candidates, request, carried, asked)),
        pypi=tuple(line for line in situation.lines if line.name in from_pypi),
        asked=asked,
        lacking=lacking,
        notes=tuple(notes),
    )


def newest(versions: Sequence[str]) -> str:
    """Return the newest of a package's versions as a text for messages; `versions` are in order."""
    return f"{'... ' if len(versions) > 3 else ''}{', '.join(versions[-3:])}"


def _bounds(situation: Situation, request: Request) -> dict[ProjectName, SpecifierSet]:
    """Return the limits of each project, and its constraints where they apply to conda."""
    found = {ProjectName(name): SpecifierSet(specifier) for name, specifier in request.bounds().items()}
    if request.requirements.conda_first:
        for line in situation.constraints:
            found[line.name] = found.get(line.name, SpecifierSet()) & SpecifierSet(line.specifier)
    return found


def _constraints(
    bounds: Mapping[ProjectName, SpecifierSet],
    candidates: Mapping[ProjectName, Sequence[CondaName]],
    request: Request,
    carried: Mapping[str, Carried],
    asked: Collection[str],
) -> Iterable[str]:
    """Yield the specs that restrict packages without a line, and other packages that hold a requested project."""
    for project, bound in bounds.items():
        for name in candidates[project]:
            if name in carried and bound and name not in asked and _holds(project, name, request, carried):
                yield _spec(name, bound, carried[name])


def _together(specifiers: Iterable[str]) -> SpecifierSet:
    return SpecifierSet(",".join(specifier for specifier in specifiers if specifier))


def _spec(name: str, wanted: SpecifierSet, carried: Carried) -> str:
    versions = pep440.version_spec(wanted, carried.versions)
    return f"{name} {versions}" if versions else name


def _may_be_conda(line: PyRequirement, request: Request) -> bool:
    if line.name in request.from_conda:
        return True
    if line.name in request.from_pypi:
        return False
    if not request.requirements.conda_first and line.name not in request.conda_first:
        return False
    return not (line.extras or line.url or line.hashes)


def _conda_name(
    project: ProjectName, wanted: SpecifierSet, request: Request, carried: Mapping[str, Carried]
) -> CondaName | None:
    """Return the first of a project's packages that has a wanted version, else the first one."""
    held = [
        name
        for name in request.names.conda_candidates(project)
        if name in carried and _holds(project, name, request, carried)
    ]
    fitting = (name for name in held if pep440.admitted(wanted, carried[name].versions))
    return next(fitting, held[0] if held else None)


def _holds(project: ProjectName, name: CondaName, request: Request, carried: Mapping[str, Carried]) -> bool:
    """Return whether a package in the channels is a project's.

    A channel's `graphviz` or `zlib` is not PyPI's project of that name but a C program or library.
    """
    sure = project == "python" or request.names.is_certain(project, name) or project in request.from_conda
    return sure or carried[name].is_python


def _lacking_note(name: str, wanted: SpecifierSet, versions: Sequence[str]) -> str:
    return f"{name}: conda carries {newest(versions)}, none fits {wanted}; taken from PyPI"
