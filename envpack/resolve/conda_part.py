"""Conda's part of a solve: the Python, the lines that apply on it, and the packages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpack.errors import Unsatisfiable
from envpack.requirements import markers
from envpack.requirements.markers import Situation
from envpack.resolve import match_spec, pep440, specs
from envpack.resolve.sources import Shares, share_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from envpack.lock.lock import CondaPackage
    from envpack.resolve.conda import Channels
    from envpack.resolve.request import Request


@dataclass(frozen=True, kw_only=True)
class CondaPart:
    """Conda's answer."""

    situation: Situation
    """The lines that apply on the chosen Python."""
    shares: Shares
    packages: tuple[CondaPackage, ...]

    @property
    def python(self) -> str:
        """The full version of the chosen Python."""
        return python_of(self.packages)


def solve_conda(request: Request, channels: Channels) -> CondaPart:
    """Distribute the lines and solve conda's part.

    Where markers depend on the Python, the one that the other lines lead to is tried first. If its lines cannot be
    fulfilled, others are tried, newest first, on which lines for the same projects apply: no project is left out to
    get an answer. Raises Unsatisfiable.
    """
    asked = request.requirements
    known = markers.situations(
        asked.pypi, asked.constraints, _pythons(request, channels), request.target.marker_environment
    )
    spec = match_spec.of_python(request.python)
    if len(known) == 1:
        return _solve(request, channels, known[0], spec)
    everywhere = _in_all(known)
    first = _solve(request, channels, everywhere, spec)
    failure: Unsatisfiable | None = None
    ordered = sorted(known, key=lambda situation: first.python not in situation.pythons)
    wanted = {line.name for line in ordered[0].lines}
    for situation in (each for each in ordered if wanted <= {line.name for line in each.lines}):
        if first.python in situation.pythons and _same(situation, everywhere):
            return CondaPart(situation=situation, shares=first.shares, packages=first.packages)
        try:
            return _solve(request, channels, situation, f"python {_one_of(situation.pythons, known)}")
        except Unsatisfiable as error:
            failure = failure or error
    assert failure is not None  # noqa: S101 - there are situations, and each has failed
    raise failure


def python_of(packages: Iterable[CondaPackage]) -> str:
    """Return the full version of the Python among packages."""
    return next(package.version for package in packages if package.name == "python")


def _solve(request: Request, channels: Channels, situation: Situation, python: str) -> CondaPart:
    shares = share_out(situation, request, channels)
    own = specs.for_solver(request.requirements.conda, channels)
    provided = {given.name: given.versions for given in request.provided}
    packages = channels.solve([python, *own, *shares.specs], shares.constraints, provided)
    return CondaPart(situation=situation, shares=shares, packages=packages)


def _pythons(request: Request, channels: Channels) -> tuple[str, ...]:
    """Return the Pythons to choose from, newest first."""
    lines = (*request.requirements.pypi, *request.requirements.constraints)
    carried = channels.carried(["python"]).get("python") if any(line.marker for line in lines) else None
    if carried is None:
        return ()
    bound = SpecifierSet(request.bounds().get("python", ""))
    chosen = match_spec.admitting(match_spec.of_python(request.python))
    own = [each.spec.version for each in request.requirements.conda if each.name == "python" and each.spec.version]
    fitting = [
        version
        for version in pep440.admitted(bound, carried.versions)
        if chosen(version) and all(specs.admits(spec, version) for spec in own)
    ]
    return tuple(reversed(fitting))


def _in_all(known: Sequence[Situation]) -> Situation:
    """Return the lines that apply on every Python."""
    lines, constraints = known[0].lines, known[0].constraints
    for situation in known[1:]:
        lines = tuple(line for line in lines if line in situation.lines)
        constraints = tuple(line for line in constraints if line in situation.constraints)
    return Situation(pythons=(), lines=lines, constraints=constraints)


def _same(one: Situation, other: Situation) -> bool:
    return (one.lines, one.constraints) == (other.lines, other.constraints)


def _one_of(pythons: Sequence[str], known: Sequence[Situation]) -> str:
    """Return the version spec that admits some of the known Pythons, whole minors where it can."""
    others = {_minor(python) for situation in known for python in situation.pythons if python not in pythons}
    whole = dict.fromkeys(f"{_minor(python)}.*" for python in pythons if _minor(python) not in others)
    single = [f"=={python}" for python in pythons if _minor(python) in others]
    return "|".join([*whole, *single])


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])
