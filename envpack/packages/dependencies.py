"""Find which packages of an environment need which, and the chain that brought one in."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement

from envpack.files import installed
from envpack.requirements.names import CondaName, ProjectName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from envpack.lock.lock import Lock
    from envpack.packages.package import PackedPackage

_SPEC_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def with_requires(
    packages: Iterable[PackedPackage],
    lock: Lock,
    prefix: Path | None,
    *,
    extras: Mapping[ProjectName, Collection[str]],
    project: Callable[[CondaName], ProjectName],
) -> tuple[PackedPackage, ...]:
    """Return the packages of a lock, each with the names of the others that it needs.

    A conda package's needs are in the lock, a wheel's in its metadata in `prefix`; without a prefix they are not
    known. Markers are evaluated for the target. `extras` are those asked for, by project name. `project` gives the
    project name of a conda package.
    """
    conda = _of_conda(lock)
    requirements = _requirements_in(prefix) if prefix else {}
    wheels = _of_wheels(lock, requirements, extras, {project(name): name for name in conda})
    return tuple(
        replace(
            package,
            requires=tuple(
                sorted(
                    conda[CondaName(package.name)]
                    if package.source == "conda"
                    else wheels[ProjectName(package.name)]
                )
            ),
        )
        for package in packages
    )


def named(
    packages: Iterable[PackedPackage], name: str, project: Callable[[CondaName], ProjectName] = ProjectName
) -> str | None:
    """Return the package that the user means by a name of either kind, or None when there is none.

    A conda package's own name has priority over the project that it holds, which `project` gives.
    """
    packages = tuple(packages)
    for package in packages:
        own = ProjectName(name) if package.source == "pypi" else CondaName(name)
        if own == package.name:
            return package.name
    held = (p.name for p in packages if p.source == "conda" and project(CondaName(p.name)) == ProjectName(name))
    return next(held, None)


def chains(
    packages: Sequence[PackedPackage],
    requested: Iterable[str],
    name: str,
    project: Callable[[CondaName], ProjectName] = ProjectName,
) -> list[tuple[str, ...]]:
    """Return the shortest chain from each requested package to the named one, shortest first.

    A chain begins with a requested package and ends with the named one; names are of either kind (see `named`).
    Empty when there is no such package or no requested package needs it.
    """
    needs = {p.name: p.requires or () for p in packages}
    goal = named(packages, name, project)
    roots = dict.fromkeys(root for each in requested if (root := named(packages, each, project)))
    found = [chain for root in roots if goal and (chain := _shortest(needs, root, goal))]
    return sorted(found, key=lambda chain: (len(chain), chain))


def _shortest(needs: Mapping[str, Iterable[str]], root: str, goal: str) -> tuple[str, ...] | None:
    came_from: dict[str, str | None] = {root: None}
    waiting = deque([root])
    while waiting:
        here = waiting.popleft()
        if here == goal:
            return tuple(reversed(list(_back(came_from, here))))
        for need in needs.get(here, ()):
            if need not in came_from:
                came_from[need] = here
                waiting.append(need)
    return None


def _back(came_from: Mapping[str, str | None], name: str | None) -> Iterable[str]:
    while name is not None:
        yield name
        name = came_from[name]


def _of_conda(lock: Lock) -> dict[CondaName, set[CondaName]]:
    names = {package.name for package in lock.packages}
    return {
        package.name: names & {CondaName(match[0]) for spec in package.depends if (match := _SPEC_NAME.match(spec))}
        for package in lock.packages
    }


def _of_wheels(
    lock: Lock,
    requirements: Mapping[ProjectName, Sequence[Requirement]],
    extras: Mapping[ProjectName, Collection[str]],
    linked: Mapping[ProjectName, CondaName],
) -> dict[ProjectName, set[str]]:
    """Return what each wheel needs; extras that wheels ask of others are followed until nothing is added."""
    target: dict[str, Any] = {**lock.target.marker_environment(lock.python)}
    there: dict[ProjectName, str] = {**linked, **{wheel.name: wheel.name for wheel in lock.wheels}}
    wanted = {wheel.name: {"", *extras.get(wheel.name, ())} for wheel in lock.wheels}
    needs: dict[ProjectName, set[str]] = {wheel.name: set() for wheel in lock.wheels}
    waiting = deque(needs)
    while waiting:
        name = waiting.popleft()
        for requirement in requirements.get(name, ()):
            needed = ProjectName(requirement.name)
            if needed not in there or not _applies(requirement, wanted[name], target):
                continue
            needs[name].add(there[needed])
            if needed in wanted and not requirement.extras <= wanted[needed]:
                wanted[needed] |= requirement.extras
                waiting.append(needed)
    return needs


def _applies(requirement: Requirement, extras: Iterable[str], target: Mapping[str, Any]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**target, "extra": extra}) for extra in extras)


def _requirements_in(prefix: Path) -> dict[ProjectName, list[Requirement]]:
    """Return the requirements of the distributions in a prefix, by project name."""
    found_in: dict[ProjectName, list[Requirement]] = {}
    for each in installed.read(prefix).distributions:
        parsed = [found for text in each.metadata.requires or () if (found := _parsed(text))]
        found_in[ProjectName(each.project)] = parsed
    return found_in


def _parsed(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:  # written before PEP 508; uv ignored or corrected it
        return None
