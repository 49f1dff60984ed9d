"""Solve a request: share its lines out, let rattler and uv answer, and put both answers into one lock."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from envpack.errors import Unsatisfiable
from envpack.lock.lock import CondaPackage, Lock, Wheel
from envpack.progress import SILENT, Progress
from envpack.redact import redact
from envpack.requirements import Origin, pep508
from envpack.resolve import match_spec, pypi
from envpack.resolve.conda import Channels, Machine, channel_url, is_python_distribution
from envpack.resolve.explain import with_hints
from envpack.resolve.limits import within_limits
from envpack.resolve.names import did_you_mean
from envpack.resolve.sources import Shares, share_out

if TYPE_CHECKING:
    from envpack.config.target import Target
    from envpack.files.cache import Cache
    from envpack.requirements import PyRequirement, Requirements
    from envpack.resolve.request import Addition, Request

_ABOUT_PYTHON = re.compile(r"\b(python_version|python_full_version|implementation_version)\b")


@dataclass(frozen=True)
class Resolved:
    """The answer to a request."""

    lock: Lock
    notes: tuple[str, ...]
    """What a person may want to know of how it was found."""


@dataclass(frozen=True)
class _Answer:
    """What conda and PyPI answer together."""

    packages: tuple[CondaPackage, ...]
    wheels: tuple[Wheel, ...]
    notes: tuple[str, ...]


def resolve(request: Request, *, cache: Cache, scratch: Path, progress: Progress = SILENT) -> Resolved:
    """Solve a request for its target.

    `scratch` is an empty directory. Raises Unsatisfiable with the solver's explanation, Unreachable when a
    channel or an index does not answer, and UsageError for a channel directory that is none.
    """
    base = request.requirements.path.parent
    urls = [channel_url(channel, base) for channel in request.channels]
    channels = Channels(urls, Machine.of_target(request.target), cache.repodata)
    with progress.step("solve") as step:
        try:
            answer = within_limits(request, lambda asked: _complete(asked, channels, cache.uv, scratch))
        except Unsatisfiable as error:
            raise with_hints(error, request, channels) from error
        step.note(f"{len(answer.packages)} conda packages, {len(answer.wheels)} wheels")
    python = _python_of(answer.packages)
    lock = Lock(
        target=request.target,
        channels=tuple(redact(url) for url in urls),
        indexes=tuple(redact(url) for url in _index_urls(request.requirements)),
        packages=answer.packages,
        wheels=answer.wheels,
        requested=_requested(request, python),
        variables=dict(request.requirements.variables),
        request=request.digest(),
    )
    return Resolved(lock, answer.notes)


def _complete(request: Request, channels: Channels, cache: Path, scratch: Path) -> _Answer:
    """Answer a request, once more where what was found does not work without an addition."""
    answer = _answer(request, channels, cache, scratch)
    missing = [addition for addition in request.additions if _is_missing(addition, answer, request)]
    if not missing:
        return answer
    try:
        complete = _answer(_adding([added.name for added in missing], request), channels, cache, scratch)
    except Unsatisfiable:
        notes = [f"{added.name} cannot be added: no channel and no index has one that fits" for added in missing]
        return replace(answer, notes=(*answer.notes, *notes))
    notes = [f"{added.name} is added: {added.reason}" for added in missing]
    return replace(complete, notes=(*complete.notes, *notes))


def _answer(request: Request, channels: Channels, cache: Path, scratch: Path) -> _Answer:
    shares, packages = _solve_conda(request, channels)
    answer = _solve_pypi(request, shares, packages, cache, scratch)
    needed = {spec.split()[0] for package in packages for spec in package.depends} | {*answer.left_out}
    left_out = [f"{p.name} is left out: {p.reason}" for p in request.provided if p.name in needed and p.reason]
    return _Answer(packages, answer.wheels, (*shares.notes, *answer.warnings, *left_out))


def _is_missing(addition: Addition, answer: _Answer, request: Request) -> bool:
    names = {*(request.names.project(p.name) for p in answer.packages), *(wheel.name for wheel in answer.wheels)}
    on_this_python = SpecifierSet(addition.python).contains(_python_of(answer.packages), prereleases=True)
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


def _solve_conda(request: Request, channels: Channels) -> tuple[Shares, tuple[CondaPackage, ...]]:
    """Share the lines out and solve conda's part, twice where markers ask for the Python that was chosen."""
    lines = request.requirements.pypi
    _check_known(request, channels)
    certain = [line for line in lines if not _waits_for_python(line)]
    python_spec = match_spec.of_python(request.python)
    shares = share_out(certain, request, channels)
    packages = _solve(request, channels, shares, python_spec)
    if len(certain) < len(lines):
        python = _python_of(packages)
        shares = share_out([line for line in lines if _applies(line, request.target, python)], request, channels)
        packages = _solve(request, channels, shares, f"python {python.rsplit('.', 1)[0]}.*")
    return shares, packages


def _solve(request: Request, channels: Channels, shares: Shares, python_spec: str) -> tuple[CondaPackage, ...]:
    own = [spec.text for spec in request.requirements.conda]
    constraints = [
        match_spec.from_pep440(conda_name, specifier)
        for name, specifier in request.bounds().items()
        for conda_name in request.names.conda_carriers(name)
    ]
    if request.requirements.conda_first:
        constraints += share_out(request.requirements.constraints, request, channels).specs
    provided = {given.name: given.versions for given in request.provided}
    return channels.solve([python_spec, *own, *shares.specs], constraints, provided)


def _solve_pypi(
    request: Request, shares: Shares, packages: tuple[CondaPackage, ...], cache: Path, scratch: Path
) -> pypi.Answer:
    linked = {request.names.project(p.name): p.version for p in packages if is_python_distribution(p.depends)}
    for line in shares.pypi:
        if line.extras and line.name in linked:
            raise Unsatisfiable(
                f"{line.origin.file}:{line.origin.line}: {line.name} comes from conda here, because another conda "
                f"package needs it, and conda knows no extras ({', '.join(line.extras)})",
                hint=f"write {line.name} without extras, and what the extras need on lines of their own",
            )
    question = pypi.Question(
        requirements=shares.pypi,
        constraints=request.requirements.constraints,
        bounds={name: specifier for name, specifier in request.bounds().items() if name != "python"},
        linked=linked,
        provided=request.provided,
        indexes=request.requirements.indexes,
        python=_python_of(packages),
        target=request.target,
    )
    # What an earlier attempt left would be taken for a preference.
    return pypi.solve(question, cache=cache, scratch=Path(tempfile.mkdtemp(prefix="uv-", dir=scratch)))


def _check_known(request: Request, channels: Channels) -> None:
    """Report every name of an environment file's `dependencies` that no channel carries, at once."""
    specs = [spec for spec in request.requirements.conda if "::" not in spec.text]
    carried = channels.carried(spec.name for spec in specs) if specs else {}
    unknown = [spec for spec in specs if spec.name not in carried]
    if unknown:
        known = channels.names()
        raise Unsatisfiable(
            "\n".join(
                f"{spec.origin.file}:{spec.origin.line}: no channel carries {spec.name}"
                f"{_suggestion(spec.name, known)}"
                for spec in unknown
            ),
            hint="a PyPI project belongs under `pip:`; another channel is named with --channel or `channels:`",
        )


def _waits_for_python(line: PyRequirement) -> bool:
    return bool(line.marker and _ABOUT_PYTHON.search(line.marker))


def _applies(line: PyRequirement, target: Target, python: str) -> bool:
    environment: dict[str, Any] = {**target.marker_environment(python), "extra": ""}
    return line.marker is None or Marker(line.marker).evaluate(environment)


def _requested(request: Request, python: str) -> tuple[str, ...]:
    lines = [line.name for line in request.requirements.pypi if _applies(line, request.target, python)]
    specs = [str(canonicalize_name(spec.name)) for spec in request.requirements.conda]
    return tuple(sorted({*lines, *specs} - {"python"}))


def _python_of(packages: tuple[CondaPackage, ...]) -> str:
    return next(package.version for package in packages if package.name == "python")


def _index_urls(requirements: Requirements) -> tuple[str, ...]:
    indexes = requirements.indexes
    return (*((indexes.index_url,) if indexes.index_url else ()), *indexes.extra_index_urls)


def _suggestion(name: str, known: frozenset[str]) -> str:
    question = did_you_mean(name, known)
    return f"; {question}" if question else ""
