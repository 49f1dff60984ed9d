"""Solve a request: distribute its lines, let rattler and uv answer, and join both answers in one lock."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpack.errors import Unsatisfiable
from envpack.lock.lock import CondaPackage, Lock, Wheel
from envpack.progress import SILENT, Progress
from envpack.requirements import Origin, markers, pep508
from envpack.requirements.names import CondaName
from envpack.resolve import heavier, pypi, python_bounds
from envpack.resolve.as_is import lock_as_is
from envpack.resolve.channel_addresses import channel_addresses
from envpack.resolve.conda import Channels, Platform, is_python_distribution
from envpack.resolve.conda_part import python_of, solve_conda
from envpack.resolve.explain import Asking, explained
from envpack.resolve.limits import within_limits
from envpack.resolve.names import near
from envpack.resolve.with_sources import with_sources
from envpack.units import count

if TYPE_CHECKING:
    from envpack.files.cache import Cache
    from envpack.requirements import Requirements
    from envpack.requirements.match_spec import MatchSpec
    from envpack.requirements.names import ProjectName
    from envpack.resolve.building import Builder
    from envpack.resolve.conda_part import CondaPart
    from envpack.resolve.request import Addition, Request


@dataclass(frozen=True)
class Resolved:
    """The answer to a request."""

    lock: Lock
    notes: tuple[str, ...]
    """Notes for the user on how it was found."""


@dataclass(frozen=True)
class _Answer:
    """The answers of conda and PyPI together."""

    packages: tuple[CondaPackage, ...]
    wheels: tuple[Wheel, ...]
    requested: tuple[CondaName | ProjectName, ...]
    notes: tuple[str, ...]


def resolve(
    request: Request, *, cache: Cache, scratch: Path, builder: Builder | None = None, progress: Progress = SILENT
) -> Resolved:
    """Solve a request for its target.

    `scratch` is an empty directory; `builder` builds wheels from sources; without one none is built. Raises
    Unsatisfiable with the solver's explanation, Unreachable when a channel or an index does not answer, and
    UsageError for a directory that is not a channel.
    """
    base = request.requirements.path.parent
    addresses = channel_addresses(request.channels, base, request.requirements.place)
    channels = Channels(addresses, Platform.of_target(request.target), cache.repodata)
    if request.requirements.pinned:
        return Resolved(lock_as_is(request, request.requirements.pinned, channels), ())

    def solve(asked: Request) -> _Answer:
        return _complete(asked, channels, cache.uv, scratch, builder)

    with progress.step("solve") as step:
        try:
            answer = within_limits(request, solve)
        except Unsatisfiable as error:
            asking = Asking(channels=channels, solve=solve, cache=cache.uv, scratch=scratch)
            raise explained(error, request, asking) from error
        step.note(f"{count(len(answer.packages), 'conda package')}, {count(len(answer.wheels), 'wheel')}")
    lock = Lock(
        target=request.target,
        channels=tuple(address.locked for address in addresses),
        indexes=tuple(request.requirements.place(url) for url in _index_urls(request.requirements)),
        packages=answer.packages,
        wheels=answer.wheels,
        requested=answer.requested,
        variables=dict(request.requirements.variables),
        request=request.digest(),
        asked=request.parts(),
        frame=request.frame() if request.contents else "",
    )
    return Resolved(lock, answer.notes)


def _complete(request: Request, channels: Channels, cache: Path, scratch: Path, builder: Builder | None) -> _Answer:
    """Answer a request, a second time if the first answer does not work without an addition."""
    answer = _answer(request, channels, cache, scratch, builder)
    missing = [addition for addition in request.additions if _is_missing(addition, answer, request)]
    if not missing:
        return answer
    try:
        wider = _adding([added.name for added in missing], request)
        complete = _answer(wider, channels, cache, scratch, builder)
    except Unsatisfiable:
        notes = [f"{added.name} cannot be added: no channel and no index has one that fits" for added in missing]
        return replace(answer, notes=(*answer.notes, *notes))
    notes = [f"{added.name} is added: {added.reason}" for added in missing]
    return replace(complete, notes=(*complete.notes, *notes))


def _answer(request: Request, channels: Channels, cache: Path, scratch: Path, builder: Builder | None) -> _Answer:
    _check_known(request, channels)
    conda = solve_conda(request, channels)
    _check_environments(request, conda.python)
    answer = _solve_pypi(request, conda, cache, scratch, builder)
    needed = {spec.split()[0] for package in conda.packages for spec in package.depends} | {*answer.left_out}
    left_out = [f"{p.name} is left out: {p.reason}" for p in request.provided if p.name in needed and p.reason]
    own = [each.name for each in request.requirements.conda]
    costs = heavier.notes([*own, *map(CondaName, conda.shares.asked)], conda.packages, request.names)
    notes = (*conda.shares.notes, *answer.warnings, *_kernel_notes(request, conda), *left_out, *costs)
    return _Answer(conda.packages, answer.wheels, _requested(request, conda), notes)


def _check_environments(request: Request, python: str) -> None:
    """Raise Unsatisfiable where a lock is for environments that the target is none of."""
    asked = request.requirements
    values = request.target.marker_environment(python)
    if asked.environments and not any(markers.holds(marker, values) for marker in asked.environments):
        raise Unsatisfiable(
            f"{asked.path} is not locked for {request.target.platform} with Python {python}, but for "
            f"{' or '.join(asked.environments)}",
            hint="lock again with this environment, or choose another Python with --python",
        )


def _kernel_notes(request: Request, conda: CondaPart) -> list[str]:
    applying = {line.origin for line in (*conda.situation.lines, *conda.situation.constraints)}
    asked = request.requirements
    return [
        f"{line.origin}: the kernel of the nodes is not known; {line.name} is "
        f"{'kept' if line.origin in applying else 'left out'}"
        for line in markers.about_the_kernel((*asked.pypi, *asked.constraints))
    ]


def _is_missing(addition: Addition, answer: _Answer, request: Request) -> bool:
    names = {*(request.names.project(p.name) for p in answer.packages), *(wheel.name for wheel in answer.wheels)}
    on_this_python = SpecifierSet(addition.python).contains(python_of(answer.packages), prereleases=True)
    return on_this_python and addition.name not in names and not addition.beside.isdisjoint(names)


def _adding(names: list[str], request: Request) -> Request:
    """Return the request with lines for further projects, from a channel that carries them or else from PyPI."""
    asked = request.requirements
    origin = Origin(file=str(asked.path), line=0)
    lines = [pep508.read(name, hashes=(), origin=origin, folder=asked.path.parent) for name in names]
    return replace(
        request,
        requirements=replace(asked, pypi=(*asked.pypi, *lines)),
        conda_first=request.conda_first.union(names),
    )


def _solve_pypi(
    request: Request, conda: CondaPart, cache: Path, scratch: Path, builder: Builder | None
) -> pypi.Answer:
    linked = {request.names.project(p.name): p.version for p in conda.packages if is_python_distribution(p.depends)}
    for line in conda.shares.pypi:
        if line.extras and line.name in linked:
            raise Unsatisfiable(
                f"{line.origin}: {line.name} comes from conda, because another conda "
                f"package needs it, and conda packages have no extras ({', '.join(line.extras)})",
                hint=f"write {line.name} without extras, and add the packages of the extras as separate lines",
            )
    question = pypi.Question(
        requirements=conda.shares.pypi,
        constraints=conda.situation.constraints,
        bounds={name: specifier for name, specifier in request.bounds().items() if name != "python"},
        linked=linked,
        provided=request.provided,
        indexes=request.requirements.indexes,
        python=conda.python,
        target=request.target,
        with_dependencies=not request.requirements.exact,
    )

    def solve(asked: pypi.Question) -> pypi.Answer:
        # Output of an earlier attempt would be read as preferences.
        return python_bounds.solve(
            asked, cache=cache, scratch=lambda: Path(tempfile.mkdtemp(prefix="uv-", dir=scratch))
        )

    yielding = {name for limit in request.limits if limit.soft for name in limit.bounds}
    answer = with_sources(question, conda.packages, builder, solve, yielding=yielding)
    if not request.without_project:
        return answer
    own = {line.name for line in conda.shares.pypi if line.source and line.source.kind == "project"}
    return replace(answer, wheels=tuple(wheel for wheel in answer.wheels if wheel.name not in own))


def _check_known(request: Request, channels: Channels) -> None:
    """Report all names of an environment file's `dependencies` that no channel has, at once."""
    asked = [each for each in request.requirements.conda if _is_looked_up(each.spec, channels)]
    carried = channels.carried(each.name for each in asked) if asked else {}
    unknown = [each for each in asked if each.name not in carried]
    if unknown:
        known = channels.names()
        raise Unsatisfiable(
            [
                f"{spec.origin.file}:{spec.origin.line}: no channel has {spec.name}{_suggestion(spec.name, known)}"
                for spec in unknown
            ],
            hint=_without_pip({str(spec.name) for spec in unknown})
            or "write a PyPI project under `pip:`; add another channel with --channel or `channels:`",
        )


def _without_pip(names: set[str]) -> str | None:
    """Return what to do about a `- pip` that the channels lack, when they lack nothing else."""
    if names != {"pip"}:
        return None
    return "leave `- pip` out: envpack installs wheels without it, those of a `pip:` list too"


def _is_looked_up(spec: MatchSpec, channels: Channels) -> bool:
    """Return whether a listed channel has to have a spec's package."""
    virtual = spec.name.startswith("__")
    return not virtual and "url" not in spec.keys and not (spec.channel and not channels.listed(spec.channel))


def _requested(request: Request, conda: CondaPart) -> tuple[CondaName | ProjectName, ...]:
    left_out = request.without_project
    lines = [
        line.name
        for line in conda.situation.lines
        if not (left_out and line.source and line.source.kind == "project")
    ]
    packages = [each.name for each in request.requirements.conda if each.name != "python"]
    return tuple(sorted({*lines, *packages}))


def _index_urls(requirements: Requirements) -> tuple[str, ...]:
    indexes = requirements.indexes
    return (*((indexes.index_url,) if indexes.index_url else ()), *indexes.extra_index_urls)


def _suggestion(name: str, known: frozenset[str]) -> str:
    question = near(name, known)
    return f"; {question}" if question else ""
