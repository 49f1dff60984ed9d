"""Solve PyPI's part where some lines name sources, and some projects have no wheel that fits."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpack.errors import NoSolution, Unsatisfiable
from envpack.requirements import pep508
from envpack.requirements.names import ProjectName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from envpack.lock.lock import CondaPackage, Wheel
    from envpack.requirements import PyRequirement
    from envpack.resolve import pypi
    from envpack.resolve.building import Builder, BuiltWheel

MOST_BUILDS = 40
"""Projects without a wheel of one solve."""

_WITHOUT_WHEEL = re.compile(r"Wheels are required for `([\w.-]+)`")
"""uv 0.13's message for projects that have only source distributions."""


def with_sources(
    question: pypi.Question,
    packages: Sequence[CondaPackage],
    builder: Builder | None,
    solve: Callable[[pypi.Question], pypi.Answer],
    *,
    yielding: Collection[str] = (),
) -> pypi.Answer:
    """Return the answer, with wheels built where there are none; `packages` hold the Python.

    `yielding` are the projects that have a soft limit: it gives way before an older release is built from source.
    Raises the errors of `solve` and of a build.
    """
    built: dict[ProjectName, BuiltWheel] = {}
    lines = []
    for line in question.requirements:
        if line.source is None:
            lines.append(line)
        elif builder is None:
            raise Unsatisfiable(
                f"{line.origin}: {line.name} is built from its source, and builds are not possible here"
            )
        else:
            built[line.name] = builder.of_line(line, packages)
            lines.append(_by_file(line, built[line.name]))
    question = replace(question, requirements=tuple(lines))
    tried: set[ProjectName] = set()
    while True:
        try:
            answer = solve(question)
            break
        except NoSolution as error:
            name = next((each for each in _without_wheel(error.message) if each not in tried), None)
            if builder is None or name is None or len(tried) >= MOST_BUILDS:
                raise
            if name in question.linked or name in yielding:
                raise
            tried.add(name)
            found = builder.of_index(name, _allowed(name, question), _hashes(name, question), packages)
            if found is None:
                raise
            built[name] = found
            question = _with_wheel(question, name, found)
    return replace(answer, wheels=tuple(_locked(wheel, built) for wheel in answer.wheels))


def _by_file(line: PyRequirement, built: BuiltWheel) -> PyRequirement:
    """Return a line that asks for the wheel that was built from its source."""
    extras = f"[{','.join(line.extras)}]" if line.extras else ""
    marker = f" ; {line.marker}" if line.marker else ""
    text = f"{line.name}{extras} @ {built.path.as_uri()}{marker}"
    found = pep508.read(text, hashes=(), origin=line.origin, folder=built.path.parent)
    return replace(found, address=None)


def _with_wheel(question: pypi.Question, name: ProjectName, built: BuiltWheel) -> pypi.Question:
    """Return the question with a built wheel available, and only in its version."""
    bounds = {**question.bounds}
    bounds[name] = ",".join(filter(None, [bounds.get(name), f"=={built.wheel.version}"]))
    links = (*question.indexes.find_links, str(built.path.parent))
    # The lines' hashes are the source's, which have been checked.
    lines = tuple(replace(line, hashes=()) if line.name == name else line for line in question.requirements)
    return replace(question, bounds=bounds, requirements=lines, indexes=replace(question.indexes, find_links=links))


def _allowed(name: ProjectName, question: pypi.Question) -> SpecifierSet:
    """Return the versions that the lines, the constraints and the limits allow."""
    said = [line.specifier for line in (*question.requirements, *question.constraints) if line.name == name]
    return SpecifierSet(",".join(filter(None, [*said, question.bounds.get(name, "")])))


def _hashes(name: ProjectName, question: pypi.Question) -> tuple[str, ...]:
    """Return the hashes that the lines allow; none where they allow every file."""
    lines = (*question.requirements, *question.constraints)
    return tuple(sorted({value for line in lines if line.name == name for value in line.hashes}))


def _without_wheel(message: str) -> Iterator[ProjectName]:
    yield from map(ProjectName, _WITHOUT_WHEEL.findall(message))


def _locked(wheel: Wheel, built: dict[ProjectName, BuiltWheel]) -> Wheel:
    own = built.get(wheel.name)
    return own.wheel if own and own.wheel.version == wheel.version else wheel
