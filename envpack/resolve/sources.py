"""Decide for each requirement line whether a conda channel or PyPI answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from envpack.errors import Unsatisfiable
from envpack.resolve import match_spec
from envpack.resolve.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpack.requirements import PyRequirement
    from envpack.resolve.conda import Carried, Channels
    from envpack.resolve.request import Request


@dataclass(frozen=True)
class Shares:
    """Requirement lines, shared out between conda and PyPI."""

    specs: tuple[str, ...]
    pypi: tuple[PyRequirement, ...]
    notes: tuple[str, ...]


def share_out(lines: Iterable[PyRequirement], request: Request, channels: Channels) -> Shares:
    """Decide for each line whether conda or PyPI answers it."""
    lines = tuple(lines)
    bounds = request.bounds()
    open_to_conda = [line for line in lines if _may_be_conda(line, request)]
    candidates = {line.name: request.names.conda_candidates(line.name) for line in open_to_conda}
    carried = channels.carried(name for names in candidates.values() for name in names) if candidates else {}
    specs, from_pypi, notes = [], [], []
    for line in lines:
        found = _conda_name(line, request, carried) if line in open_to_conda else None
        wanted = SpecifierSet(line.specifier) & SpecifierSet(bounds.get(line.name, ""))
        forced = line.name in request.from_conda
        if found is None:
            if forced:
                raise Unsatisfiable(
                    f"{line.name} must come from conda (--from-conda), and no channel carries it",
                    hint=did_you_mean(line.name, channels.names()),
                )
            from_pypi.append(line)
        elif not forced and not _some_version_fits(wanted, carried[found]):
            notes.append(_no_version_note(line, wanted, carried[found]))
            from_pypi.append(line)
        else:
            specs.append(match_spec.from_pep440(found, line.specifier))
    return Shares(tuple(specs), tuple(from_pypi), tuple(notes))


def _may_be_conda(line: PyRequirement, request: Request) -> bool:
    if line.name in request.from_conda:
        return True
    if line.name in request.from_pypi:
        return False
    if not request.requirements.conda_first and line.name not in request.conda_first:
        return False
    return not (line.extras or line.url or line.hashes)


def _conda_name(line: PyRequirement, request: Request, carried: Mapping[str, Carried]) -> str | None:
    forced = line.name in request.from_conda
    names = [
        name
        for name in request.names.conda_candidates(line.name)
        # A channel's `graphviz` or `zlib` is not PyPI's project of that name but a C program or library.
        if name in carried and (forced or request.names.is_certain(line.name, name) or carried[name].is_python)
    ]
    wanted = SpecifierSet(line.specifier)
    return next((name for name in names if _some_version_fits(wanted, carried[name])), next(iter(names), None))


def _some_version_fits(specifier: SpecifierSet, carried: Carried) -> bool:
    return any(_fits(version, specifier) for version in carried.versions)


def _fits(version: str, specifier: SpecifierSet) -> bool:
    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return not specifier


def _no_version_note(line: PyRequirement, specifier: SpecifierSet, carried: Carried) -> str:
    newest = carried.versions[-3:]
    return f"{line.name}: conda carries {', '.join(newest)}, none fits {specifier}; taken from PyPI"
