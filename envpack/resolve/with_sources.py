"""Solve PyPI's part where some lines name sources, and some projects have no wheel that fits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from envpack.errors import EnvpackError, NoSolution, Unsatisfiable
from envpack.requirements import Origin, pep508
from envpack.requirements.names import ProjectName
from envpack.resolve import pypi

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from envpack.lock.lock import CondaPackage, Wheel
    from envpack.requirements import PyRequirement
    from envpack.resolve.building import Builder, BuiltWheel, Offered

MOST_BUILDS = 40
"""Projects without a wheel of one solve."""

MOST_VERSIONS = 5
"""Versions of one project that are built until the others can be fulfilled."""

_WITHOUT_WHEEL = re.compile(r"Wheels are required for `([\w.-]+)`")
"""uv 0.13's message for projects that have only source distributions."""

_YANKED = re.compile(r"\b(?P<name>[\w.-]+)==(?P<version>[\w.!+-]+) was yanked")
"""uv 0.13's message for a version that was withdrawn and that no line of the request pins."""

_PIN = re.compile(r"\bdepends? on (?P<name>[\w.-]+)==(?P<version>\d[\w.!+-]*\w|\d)(?![\w*]|\.\*)")
"""uv 0.13's words for a package that needs one version of another."""


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
                f"{line.origin}: {line.name} would be built from source, which is not possible here",
                hint="give a wheel of it",
            )
        else:
            built[line.name] = builder.of_line(line, packages)
            lines.append(_by_file(line, built[line.name]))
    question = replace(question, requirements=tuple(lines))
    ways = _Ways(builder=builder, packages=packages, yielding=frozenset(yielding))
    while True:
        try:
            answer = solve(question)
        except NoSolution as error:
            question = _pinned(question, error) or ways.admitted(question, error)
            continue
        chosen = [wheel for wheel in answer.wheels if wheel.version in question.sources.get(wheel.name, ())]
        if not chosen:
            break
        question = ways.with_built(question, chosen)
    built |= {name: wheel for (name, version), wheel in ways.built.items() if _has(answer, name, version)}
    warnings = (*answer.warnings, *ways.withdrawn(answer))
    return replace(answer, wheels=tuple(_locked(wheel, built) for wheel in answer.wheels), warnings=warnings)


def _pinned(question: pypi.Question, error: NoSolution) -> pypi.Question | None:
    """Return the question that admits the yanked versions that packages pin; None where they pin none.

    PEP 592 admits a yanked version where `==` pins it, whoever does. uv looks at the request alone.
    """
    known = {line.text for line in question.constraints}
    message = error.message
    pins = {
        f"{found['name']}=={found['version']}"
        for found in _YANKED.finditer(message)
        if _read(found["version"]) in _depended_on(ProjectName(found["name"]), message)
    }
    if not pins - known:
        return None
    origin = Origin(file="yanked", line=0)
    lines = [pep508.read(pin, hashes=(), origin=origin, folder=Path()) for pin in sorted(pins - known)]
    return replace(question, constraints=(*question.constraints, *lines))


@dataclass(kw_only=True)
class _Ways:
    """The source distributions of projects without a wheel: those that may be chosen, and those that were built.

    uv chooses among empty wheels that stand in for them, so that the bounds of whoever needs a project count. Each
    chosen one is built, and uv chooses again, knowing what it needs.
    """

    builder: Builder | None
    packages: Sequence[CondaPackage]
    yielding: frozenset[str]
    built: dict[tuple[ProjectName, str], BuiltWheel] = field(default_factory=dict)
    _offered: dict[ProjectName, dict[str, Offered]] = field(default_factory=dict)
    _withdrawn: dict[ProjectName, dict[str, Offered]] = field(default_factory=dict)
    _failed: dict[tuple[ProjectName, str], EnvpackError] = field(default_factory=dict)

    def admitted(self, question: pypi.Question, error: NoSolution) -> pypi.Question:
        """Return the question with the sources of one more project; raise `error` where there are none.

        Yanked ones are among them where a line or, by uv's explanation, another package pins their version.
        """
        for name in _without_wheel(error.message):
            if name in self._offered:
                more = self._pinned(name, error)
            elif (
                self.builder and len(self._offered) < MOST_BUILDS and name not in {*question.linked, *self.yielding}
            ):
                more = self._of_project(name, question, self.builder) | self._pinned(name, error)
            else:
                raise error
            if more:
                self._offered[name] |= more
                versions = question.sources.get(name, frozenset()) | more.keys()
                return replace(question, sources={**question.sources, name: versions})
            if name not in question.sources:
                break
        raise error

    def _of_project(self, name: ProjectName, question: pypi.Question, builder: Builder) -> dict[str, Offered]:
        """Return the sources of a project by version; yanked ones that no line pins are kept apart."""
        allowed = _allowed(name, question)
        found = {
            str(source.version): source
            for source in builder.offered(name, _hashes(name, question), self.packages)
            if allowed.contains(source.version, prereleases=True) and not pypi.has_fitting(source.wheels, question)
        }
        apart = {at for at, source in found.items() if source.yanked is not None and not _pins(allowed, source)}
        self._withdrawn[name] = {version: found.pop(version) for version in apart}
        self._offered[name] = {}
        return found

    def _pinned(self, name: ProjectName, error: NoSolution) -> dict[str, Offered]:
        """Return the yanked sources that another package pins."""
        kept = self._withdrawn.get(name, {})
        pinned = _depended_on(name, error.message)
        return {version: kept.pop(version) for version in [*kept] if Version(version) in pinned}

    def with_built(self, question: pypi.Question, chosen: Sequence[Wheel]) -> pypi.Question:
        """Return the question with the wheels of the chosen sources.

        A failed build is raised only when its version is chosen again with all others known.
        """
        assert self.builder is not None  # noqa: S101 - for the type checker: only a builder offers sources
        failures = []
        for wheel in chosen:
            which = (wheel.name, wheel.version)
            if which in self._failed:
                failures.append(self._failed[which])
                continue
            source, hashes = self._offered[wheel.name][wheel.version], _hashes(wheel.name, question)
            try:
                self.built[which] = self.builder.of_index(wheel.name, source, hashes, self.packages)
            except EnvpackError as error:
                self._failed[which] = error
                failures.append(error)
                continue
            question = self._with_wheel(question, wheel, self.built[which])
        if len(failures) == len(chosen):
            raise failures[0]
        return question

    def withdrawn(self, answer: pypi.Answer) -> Iterator[str]:
        """Yield a warning for each chosen source that was yanked."""
        for wheel in answer.wheels:
            source = self._offered.get(wheel.name, {}).get(wheel.version)
            if source and source.yanked is not None and (wheel.name, wheel.version) in self.built:
                reason = f": {source.yanked}" if source.yanked else ""
                yield f"{wheel.name} {wheel.version} was yanked by its maintainers{reason}"

    def _with_wheel(self, question: pypi.Question, chosen: Wheel, built: BuiltWheel) -> pypi.Question:
        """Return the question with a built wheel in place of its stand-in."""
        rest = question.sources[chosen.name] - {chosen.version}
        if sum(name == chosen.name for name, _ in self.built) >= MOST_VERSIONS:
            rest = frozenset()
        links = (*question.indexes.find_links, str(built.path.parent))
        own = f"sha256:{built.wheel.sha256}"

        def allowing(lines: Sequence[PyRequirement]) -> tuple[PyRequirement, ...]:
            # The lines' hashes are the source's, which have been checked.
            return tuple(
                replace(line, hashes=(*line.hashes, own)) if line.name == chosen.name and line.hashes else line
                for line in lines
            )

        return replace(
            question,
            sources={**question.sources, chosen.name: rest},
            requirements=allowing(question.requirements),
            constraints=allowing(question.constraints),
            indexes=replace(question.indexes, find_links=links),
        )


def _by_file(line: PyRequirement, built: BuiltWheel) -> PyRequirement:
    """Return a line that asks for the wheel that was built from its source."""
    extras = f"[{','.join(line.extras)}]" if line.extras else ""
    marker = f" ; {line.marker}" if line.marker else ""
    text = f"{line.name}{extras} @ {built.path.as_uri()}{marker}"
    found = pep508.read(text, hashes=(), origin=line.origin, folder=built.path.parent)
    return replace(found, address=None)


def _allowed(name: ProjectName, question: pypi.Question) -> SpecifierSet:
    """Return the versions that the lines, the constraints and the limits allow."""
    said = [line.specifier for line in (*question.requirements, *question.constraints) if line.name == name]
    return SpecifierSet(",".join(filter(None, [*said, question.bounds.get(name, "")])))


def _depended_on(name: ProjectName, message: str) -> set[Version]:
    """Return the versions of a project that packages pin, by uv's explanation."""
    told = (found["version"] for found in _PIN.finditer(message) if ProjectName(found["name"]) == name)
    return {version for text in told if (version := _read(text))}


def _read(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _pins(allowed: SpecifierSet, source: Offered) -> bool:
    """Return whether a specifier names this very version, so that a yanked one is taken too (PEP 592)."""
    return any(
        each.operator in ("==", "===") and not each.version.endswith(".*") and each.contains(source.version, True)
        for each in allowed
    )


def _hashes(name: ProjectName, question: pypi.Question) -> tuple[str, ...]:
    """Return the hashes that the lines allow; none where they allow every file."""
    lines = (*question.requirements, *question.constraints)
    return tuple(sorted({value for line in lines if line.name == name for value in line.hashes}))


def _without_wheel(message: str) -> Iterator[ProjectName]:
    yield from map(ProjectName, _WITHOUT_WHEEL.findall(message))


def _has(answer: pypi.Answer, name: ProjectName, version: str) -> bool:
    return any((wheel.name, wheel.version) == (name, version) for wheel in answer.wheels)


def _locked(wheel: Wheel, built: dict[ProjectName, BuiltWheel]) -> Wheel:
    own = built.get(wheel.name)
    return own.wheel if own and own.wheel.version == wheel.version else wheel
