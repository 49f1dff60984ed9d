"""Say why a request cannot be fulfilled: the user's lines, the solver's chain, and what would help."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpack.errors import EnvpackError, NoSolution, Unsatisfiable
from envpack.requirements import CondaSpec, PyRequirement
from envpack.resolve import conflict, offers, pep440, pypi, solver_text, specs
from envpack.resolve.conda_part import solve_conda
from envpack.resolve.names import did_you_mean
from envpack.resolve.sources import newest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from envpack.resolve.conda import Channels
    from envpack.resolve.conflict import Asked
    from envpack.resolve.request import Request

_ANYTHING = "loosen a version in the requirements, or try another Python with --python"
_NOT_FOUND = re.compile(r"\b([\w.-]+) was not found in the")
_WITHOUT_WHEEL = re.compile(r"Wheels are required for `([\w.-]+)`")
_NO_PYTHON = re.compile(r"No candidates were found for python\b")
_INDEXES_DIFFER = re.compile(r"\B--index-strategy\b")
_PRE_RELEASE = re.compile(r"Pre-releases are available for `?([\w.-]+)`?")


@dataclass(frozen=True, kw_only=True)
class Asking:
    """The questions that an explanation may ask."""

    channels: Channels
    solve: Callable[[Request], object]
    """Raises Unsatisfiable for a request that cannot be fulfilled."""
    cache: Path
    """uv's."""
    scratch: Path


@dataclass(kw_only=True)
class _Findings:
    reasons: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


def explained(error: Unsatisfiable, request: Request, asking: Asking) -> Unsatisfiable:
    """Return an error with the explanation for the user.

    An error that is not a solver's answer is unchanged.
    """
    if not isinstance(error, NoSolution):
        return Unsatisfiable(error.texts, hint=error.hint or _ANYTHING)
    # Limits that took part are already in the hint; without a hint the request fails without limits as well.
    firm = replace(request, limits=tuple(limit for limit in request.limits if error.hint and not limit.soft))
    found, of_lines = conflict.SolverConflict(lines=()), _Findings()
    # Trying must not hide what is already known: an index may fail in the meantime.
    with contextlib.suppress(EnvpackError):
        found = conflict.find(firm, error.message, asking.solve)
        if len(found.lines) == 1 and not error.hint:
            of_lines = _of_single_line(found.lines[0], firm, asking)
    lines = [f"  {asked}" for asked in found.lines if not of_lines.reasons]
    told = [
        f"no set of packages satisfies the requirements on {asking.channels.machine}:",
        *lines,
        *(f"  {reason}" for reason in of_lines.reasons),
        *(f"  {line}" for line in solver_text.cleaned(error.message).splitlines()),
    ]
    hints = [error.hint] if error.hint else [*of_lines.hints, *_of_message(error.message, firm, asking.channels)]
    if not error.hint:
        hints += _of_conflict(found.lines, found.looser, firm, asking)
    hints = list(dict.fromkeys(hints)) or [
        "loosen a version in the requirements, or try another Python with --python"
    ]
    return Unsatisfiable("\n".join(told), hint="; ".join(hints))


def _of_conflict(
    lines: Sequence[Asked], looser: Sequence[Asked], request: Request, asking: Asking
) -> Iterator[str]:
    """Yield the changes that were tried and would help."""
    if looser:
        which = " or ".join(f"{asked.origin} ({asked.line.text})" for asked in looser)
        yield f"loosen {which}: with another version the rest can be installed"
    if request.python and lines and conflict.works(replace(request, python=None), asking.solve):
        yield f"leave out --python {request.python}: then envpack chooses a Python that fits all lines"


def _of_single_line(asked: Asked, request: Request, asking: Asking) -> _Findings:
    """Say what channels and indexes have instead of one line that fails alone."""
    if isinstance(asked.line, CondaSpec):
        return _of_spec(asked.line, asking.channels)
    if asked.kind == "constraint":
        return _Findings()
    return _of_requirement(asked.line, request, asking)


def _of_spec(asked: CondaSpec, channels: Channels) -> _Findings:
    carried = channels.carried([asked.name]).get(asked.name)
    if carried is None or asked.spec.channel:
        return _Findings()
    versions = pep440.in_order(carried.versions)
    fitting = [v for v in versions if asked.spec.version is None or specs.admits(asked.spec.version, v)]
    if not fitting:
        return _Findings(
            reasons=[f"{asked.origin}: no version fits {asked.text}: the channels carry {newest(versions)}"]
        )
    builds = [str(record.build) for _, record in channels.records(asked.name) if str(record.version) in fitting]
    if asked.spec.build and not any(specs.fits(build, asked.spec.build) for build in builds):
        return _Findings(
            reasons=[
                f"{asked.origin}: no build fits {asked.text}: the channels carry {newest(sorted(set(builds)))}"
            ]
        )
    return _Findings()


def _of_forced(line: PyRequirement, request: Request, channels: Channels) -> _Findings:
    """Say which versions conda has of a project that must come from conda, if none of them is wanted."""
    wanted = SpecifierSet(line.specifier)
    carried = channels.carried(request.names.conda_candidates(line.name))
    versions = {version for each in carried.values() for version in each.versions}
    if not versions or any(pep440.admitted(wanted, each.versions) for each in carried.values()):
        return _Findings()
    have = newest(pep440.in_order(versions))
    reason = f"{line.origin}: no version of {line.name} fits {wanted}: the channels carry {have}"
    return _Findings(reasons=[reason], hints=[f"without --from-conda {line.name} an index is asked as well"])


def _of_requirement(line: PyRequirement, request: Request, asking: Asking) -> _Findings:
    if line.source:
        return _Findings()
    if line.name in request.from_conda:
        return _of_forced(line, request, asking.channels)
    try:
        part = solve_conda(request, asking.channels)
    except Unsatisfiable:
        return _Findings()
    if line.name not in {other.name for other in part.shares.pypi}:
        return _Findings()
    question = pypi.Question(
        requirements=(line,),
        constraints=(),
        bounds={},
        linked={},
        provided=(),
        indexes=request.requirements.indexes,
        python=part.python,
        target=request.target,
    )
    offer = offers.offer(line, question, cache=asking.cache, scratch=asking.scratch)
    if offer is None:
        return _Findings()
    lacking = part.shares.lacking.get(line.name, ())
    near = None if offer.known or lacking else did_you_mean(line.name, asking.channels.names())
    reason, hint = offers.told(line, offer, lacking, question, near)
    return _Findings(reasons=[reason], hints=[hint] if hint else [])


def _of_message(message: str, request: Request, channels: Channels) -> Iterator[str]:
    """Yield what a solver's message suggests."""
    asked = {line.name for line in request.requirements.pypi}
    for name in dict.fromkeys(_NOT_FOUND.findall(message)):
        if name not in asked:
            yield f"{name}: {did_you_mean(name, channels.names()) or 'no channel and no index has it'}"
    for name in dict.fromkeys(_WITHOUT_WHEEL.findall(message)):
        if name not in asked:
            yield offers.make_a_wheel(name, name)
    for name in dict.fromkeys(_PRE_RELEASE.findall(message)):
        yield f"{name} has pre-releases that would fit: to allow them, write one, such as `{name}>=2.0rc1`"
    if _INDEXES_DIFFER.search(message):
        yield "the first index that has a project is used; --index-strategy unsafe-best-match compares all indexes"
    if _NO_PYTHON.search(message):
        carried = channels.carried(["python"])
        versions = newest(pep440.in_order(carried["python"].versions)) if carried else "no Python"
        yield f"for {request.target.platform} the channels carry {versions}; see --python and --channel"
    if "__glibc" in message:
        yield f"packages need a newer glibc than {request.target.glibc}: if the nodes have it, give it with --glibc"
    if "__cuda" in message and request.target.cuda is None:
        yield "packages need a GPU: give the CUDA version that the nodes' driver supports with --cuda"
