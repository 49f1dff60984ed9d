"""Which of the user's lines exclude each other, and which of them to loosen: found by trying."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from envpack.errors import Unsatisfiable
from envpack.requirements import CondaSpec, PyRequirement
from envpack.requirements.match_spec import MatchSpec
from envpack.resolve import solver_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envpack.requirements import Origin
    from envpack.resolve.request import Request

MOST = 10
"""Up to so many lines, each is tried; with more, the lines that the solver names are shown and none is tried."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A line of the user's files."""

    kind: Literal["conda", "pypi", "constraint"]
    line: PyRequirement | CondaSpec

    @property
    def origin(self) -> Origin:
        """Its place."""
        return self.line.origin

    def __str__(self) -> str:
        return f"{self.line.origin}: {self.line.text}"

    def names(self, request: Request) -> set[str]:
        """Return the names that solvers may use for its package."""
        if isinstance(self.line, CondaSpec):
            return {self.line.name}
        return {self.line.name, *request.names.conda_candidates(self.line.name)}

    def loose(self) -> Asked | None:
        """Return the line for any version, or None when it names none."""
        line = self.line
        if isinstance(line, CondaSpec):
            spec = MatchSpec(name=line.name, channel=line.spec.channel)
            return replace(self, line=replace(line, spec=spec, text=line.name)) if spec != line.spec else None
        if not line.specifier:
            return None
        extras = f"[{','.join(line.extras)}]" if line.extras else ""
        marker = f" ; {line.marker}" if line.marker else ""
        return replace(self, line=replace(line, text=f"{line.name}{extras}{marker}", specifier="", hashes=()))


@dataclass(frozen=True, kw_only=True)
class SolverConflict:
    """Lines that cannot be fulfilled together; without any one of them, the others can."""

    lines: tuple[Asked, ...]
    """In the files' order; empty when the request fails without any line."""
    looser: tuple[Asked, ...] = ()
    """Those of the lines that make the request possible when they allow any version."""


def find(request: Request, message: str, solve: Callable[[Request], object]) -> SolverConflict:
    """Return the conflict that makes a request fail; `message` is the solver's explanation.

    `solve` raises Unsatisfiable for a request that cannot be fulfilled.
    """

    def fails(lines: Sequence[Asked]) -> bool:
        return not works(_with(request, lines), solve)

    every = _lines(request)
    words = solver_text.names(message)
    kept = [asked for asked in every if asked.names(request) & words]
    if len(kept) > MOST or (not kept and len(every) > MOST):
        return SolverConflict(lines=tuple(kept))
    if not kept or not fails(kept):
        if len(every) > MOST:
            return SolverConflict(lines=tuple(kept))
        kept = every
    if fails([]):
        return SolverConflict(lines=())
    for asked in tuple(kept):
        rest = [other for other in kept if other is not asked]
        if rest and fails(rest):
            kept = rest
    return SolverConflict(
        lines=tuple(kept),
        looser=tuple(
            asked
            for asked in kept
            if (loose := asked.loose()) and not fails([loose if other is asked else other for other in every])
        ),
    )


def works(request: Request, solve: Callable[[Request], object]) -> bool:
    """Return whether a request can be fulfilled."""
    try:
        solve(request)
    except Unsatisfiable:
        return False
    return True


def _lines(request: Request) -> list[Asked]:
    asked = request.requirements
    found = [
        *(Asked(kind="conda", line=line) for line in asked.conda),
        *(Asked(kind="pypi", line=line) for line in asked.pypi),
        *(Asked(kind="constraint", line=line) for line in asked.constraints),
    ]
    return sorted(found, key=lambda asked: asked.origin)


def _with(request: Request, lines: Sequence[Asked]) -> Request:
    def of(kind: str) -> tuple[PyRequirement, ...]:
        return tuple(a.line for a in lines if a.kind == kind and isinstance(a.line, PyRequirement))

    conda = tuple(asked.line for asked in lines if isinstance(asked.line, CondaSpec))
    asked = replace(request.requirements, pypi=of("pypi"), constraints=of("constraint"), conda=conda)
    return replace(request, requirements=asked)
