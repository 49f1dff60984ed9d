"""Find the cluster's Spark version, and leave its own Python packages to it: pyspark in requirements."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envpack.errors import BadRequirements, Problem, UsageError
from envpack.requirements import markers, pep508
from envpack.resolve import match_spec
from envpack.resolve.request import Limit, Provided
from envpack.spark.versions import LINES, dotted, minor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from envpack.config.target import Target
    from envpack.requirements import CondaSpec, Origin, PyRequirement, Requirements
    from envpack.spark.versions import Minor

PROJECTS: Mapping[str, frozenset[str]] = {
    "pyspark": frozenset(),
    "pyspark-client": frozenset({"connect"}),
    "pyspark-connect": frozenset({"connect"}),
}
"""The distributions of the module pyspark, each with the extras of pyspark that it represents."""

_ARROW = ("numpy", "pandas", "pyarrow")

_CONDA_NEEDS = _ARROW
"""What a channel's pyspark needs besides py4j. Source: conda-forge's pyspark-feedstock."""

EXTRAS: tuple[tuple[Minor, str, tuple[str, ...]], ...] = (
    ((2, 4), "ml", ("numpy",)),
    ((2, 4), "mllib", ("numpy",)),
    ((2, 4), "sql", ("pandas", "pyarrow")),
    ((3, 2), "pandas-on-spark", _ARROW),
    ((3, 4), "sql", _ARROW),
    ((3, 4), "connect", (*_ARROW, "grpcio>=1.48.1", "grpcio-status>=1.48.1", "googleapis-common-protos>=1.56.4")),
    ((3, 5), "connect", (*_ARROW, "grpcio>=1.56.0", "grpcio-status>=1.56.0", "googleapis-common-protos>=1.56.4")),
    ((4, 0), "connect", (*_ARROW, "grpcio>=1.67.0", "grpcio-status>=1.67.0", "googleapis-common-protos>=1.65.0")),
    *(
        (
            (4, 1),
            extra,
            (*_ARROW, "grpcio>=1.76.0", "grpcio-status>=1.76.0", "googleapis-common-protos>=1.71.0", *own),
        )
        for extra, own in (
            ("connect", ("zstandard>=0.25.0",)),
            ("pipelines", ("zstandard>=0.25.0", "pyyaml>=3.11")),
        )
    ),
)
"""The needs of pyspark's extras since a Spark version; a later row replaces an earlier one of the same extra.

The versions of numpy, pandas and pyarrow are in envpack/spark/compatibility.py. Source: `extras_require` in
setup.py of pyspark 2.4.8, 3.0.3, 3.1.3, 3.2.4, 3.3.4, 3.4.4, 3.5.6, 4.0.2, 4.1.2, 4.2.1 and 4.3.0.
"""

_REASON = "the cluster's own is used (--with-pyspark keeps it)"

_PATCHES = 20
"""How many patch releases are assumed for each Spark version; none had more than ten."""

_PYTHONS = tuple(f"3.{number}.0" for number in range(4, 20))
_ONE_PYTHON = re.compile(r"3\.\d+(\.\d+)?")
_NUMBERS = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True, kw_only=True)
class Understood:
    """Requirements and related facts, once the cluster's Spark version is known."""

    requirements: Requirements
    """Without the cluster's packages, unless they are kept."""
    conda_first: frozenset[str] = frozenset()
    """Those of its PyPI lines that represent the needs of a conda package."""
    spark: str | None
    """The cluster's Spark, `3.5` or `3.5.6`; None when unknown."""
    provided: tuple[Provided, ...] = ()
    limits: tuple[Limit, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left out, and where the version comes from."""


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A place in the requirements that asks for pyspark."""

    origin: Origin
    text: str
    marker: str | None
    admits: Callable[[Version], bool]
    mentioned: tuple[Version, ...]
    """The versions in its text."""


def understand(
    asked: Requirements, *, spark: str | None, said_by: str, target: Target, python: str | None, with_pyspark: bool
) -> Understood:
    """Return the requirements without pyspark, and the Spark version that they or the configuration name.

    `spark` is the configured version, and `said_by` the flag, variable or file with it. `python` is the requested
    Python. With `with_pyspark` pyspark is kept, and must be of the cluster's version. Raises BadRequirements for
    lines that allow no release of that Spark or exclude each other, and UsageError when pyspark is to be kept and
    nothing says which Spark the cluster has.
    """
    pythons = [python] if python and _ONE_PYTHON.fullmatch(python) else _PYTHONS
    everywhere = _lines(asked)
    situations = list(_situations(everywhere, target, pythons))
    lines = [line for line in everywhere if any(line in situation for situation in situations)]
    allowed = _allowed(situations, spark)
    if lines:
        _refuse_contradiction(lines, allowed, spark, said_by)
    known = spark or (dotted(allowed[0]) if len(allowed) == 1 else None)
    notes = [*_about_version(known), *_undetermined(lines, known), *_unknown_extras(asked, known)]
    if with_pyspark:
        return Understood(requirements=asked, spark=known, limits=(_same_version(known),), notes=tuple(notes))
    instead, conda_first = _needs(asked, known)
    rest = replace(
        asked,
        pypi=(*(line for line in asked.pypi if line.name not in PROJECTS), *instead),
        conda=tuple(spec for spec in asked.conda if spec.name not in PROJECTS),
    )
    brought = sorted({line.name for line in instead} - {line.name for line in asked.pypi})
    if lines:
        stays = f"; {', '.join(brought)} stay, which it would have brought" if brought else ""
        says = next((line for line in lines if line.mentioned), lines[0])
        source = f"; {says.origin} says that it is Spark {known}" if known and not spark else ""
        notes.insert(0, f"pyspark is left out: {_REASON}{stays}{source}")
    provided = Provided(
        name="pyspark", versions=_releases(known), extras=_extras(known), reason="" if lines else _REASON
    )
    limits = (_cluster_has(known),) if known else ()
    return Understood(
        requirements=rest,
        conda_first=conda_first,
        spark=known,
        provided=(provided,),
        limits=limits,
        notes=tuple(notes),
    )


def _lines(asked: Requirements) -> list[_Line]:
    """Return the places that ask for pyspark; if there are any, also those that constrain it."""
    lines = [_line_of_pypi(line) for line in asked.pypi if line.name in PROJECTS]
    lines += [_line_of_conda(spec) for spec in asked.conda if spec.name in PROJECTS]
    constraints = [_line_of_pypi(line) for line in asked.constraints if line.name in PROJECTS]
    return [*lines, *constraints] if lines else []


def _line_of_pypi(line: PyRequirement) -> _Line:
    pinned = pep508.pinned_version(line)
    if line.url and pinned:
        return _Line(
            origin=line.origin,
            text=f"{line.name} {pinned}",
            marker=line.marker,
            admits=lambda version: version == pinned,
            mentioned=(pinned,),
        )
    specifiers = SpecifierSet(line.specifier)
    return _Line(
        origin=line.origin,
        text=f"{line.name} {line.specifier}".strip(),
        marker=line.marker,
        admits=lambda version: specifiers.contains(version, prereleases=True),
        mentioned=tuple(Version(part.version.removesuffix(".*")) for part in specifiers),
    )


def _line_of_conda(spec: CondaSpec) -> _Line:
    admits = match_spec.admitting(spec.text)
    return _Line(
        origin=spec.origin,
        text=spec.text,
        marker=None,
        admits=lambda version: admits(str(version)),
        mentioned=tuple(Version(number) for number in _NUMBERS.findall(spec.text)),
    )


def _situations(lines: Sequence[_Line], target: Target, pythons: Iterable[str]) -> Iterator[tuple[_Line, ...]]:
    """Yield the lines that apply together, for each Python on which any applies."""
    for python in pythons:
        environment = target.marker_environment(python)
        holding = tuple(line for line in lines if markers.applies(line, environment))
        if holding:
            yield holding


def _allowed(situations: Iterable[tuple[_Line, ...]], spark: str | None) -> list[Minor]:
    """Return the Spark versions of which the lines allow a release, on any Python."""
    different = dict.fromkeys(situations)
    mentioned = {version for situation in different for line in situation for version in line.mentioned}
    versions = _known_releases({*_minors(mentioned), *([minor(spark)] if spark else ())}) | mentioned
    return sorted(
        {
            found
            for situation in different
            for found in _minors(version for version in versions if all(line.admits(version) for line in situation))
        }
    )


def _known_releases(more: Iterable[Minor]) -> set[Version]:
    """Return every release of the known Spark versions, of those that may follow, and of others."""
    (major, last), oldest = LINES[-1].version, LINES[0].version
    around = {(oldest[0], oldest[1] - 1), (major, last + 1), (major + 1, 0)}
    return {
        Version(f"{dotted(version)}.{patch}")
        for version in {*(line.version for line in LINES), *around, *more}
        for patch in range(_PATCHES)
    }


def _minors(versions: Iterable[Version]) -> set[Minor]:
    return {(version.major, version.minor) for version in versions}


def _refuse_contradiction(
    lines: Sequence[_Line], allowed: Sequence[Minor], spark: str | None, said_by: str
) -> None:
    """Raise BadRequirements when the lines allow no Spark at all, or no release of the one that is configured."""
    if (minor(spark) in allowed) if spark else allowed:
        return
    wrong = [line for line in lines if spark and minor(spark) not in _allowed([(line,)], spark)]
    if wrong:
        told = [(line.origin, f"{line.text} is not the cluster's Spark: {said_by} says {spark}") for line in wrong]
        hint = f"change the line, or {said_by}"
    else:
        first, *others = lines
        told = [(line.origin, f"{line.text} goes with no Spark that {first.origin} allows") for line in others]
        told = told or [(first.origin, f"{first.text} allows no Spark")]
        hint = "write one version of pyspark"
    raise BadRequirements([Problem(origin.file, origin.line, reason) for origin, reason in told], hint=hint)


def _about_version(known: str | None) -> Iterator[str]:
    newest = LINES[-1].version
    if known and minor(known) > newest:
        yield (
            f"envpack does not know Spark {known} yet: it requires what Spark {dotted(newest)} needs, and "
            "more may be needed"
        )


def _undetermined(lines: Sequence[_Line], known: str | None) -> Iterator[str]:
    if lines and not known:
        yield f"{lines[0].origin}: {lines[0].text} leaves the cluster's Spark version open: give it with --spark"


def _unknown_extras(asked: Requirements, known: str | None) -> Iterator[str]:
    for line in (line for line in asked.pypi if line.name in PROJECTS):
        for extra in sorted({*line.extras} - _extras(known).keys()):
            yield f"{line.origin}: pyspark{f' {known}' if known else ''} has no extra {extra}"


def _needs(asked: Requirements, known: str | None) -> tuple[list[PyRequirement], frozenset[str]]:
    """Return lines for the dependencies of the removed pyspark, and which of them are conda's.

    These are the needs of its extras, and of its conda package.
    """
    extras = _extras(known)
    lines: list[PyRequirement] = []
    for line in (line for line in asked.pypi if line.name in PROJECTS):
        texts = _needs_of(PROJECTS[line.name] | {*line.extras}, extras)
        marker = f" ; {line.marker}" if line.marker else ""
        lines += [_requirement(f"{text}{marker}", line.origin) for text in texts]
    there = {*(spec.name for spec in asked.conda), *(line.name for line in (*asked.pypi, *lines))}
    of_conda: dict[str, PyRequirement] = {}
    for spec in (spec for spec in asked.conda if spec.name in PROJECTS):
        needs = [_requirement(text, spec.origin) for text in _needs_of(PROJECTS[spec.name], extras) or _CONDA_NEEDS]
        of_conda |= {need.name: need for need in needs if need.name not in there}
    return [*lines, *of_conda.values()], frozenset(of_conda)


def _needs_of(wanted: Iterable[str], extras: Mapping[str, tuple[str, ...]]) -> list[str]:
    return sorted({text for extra in wanted for text in extras.get(extra, ())})


def _requirement(text: str, origin: Origin) -> PyRequirement:
    return pep508.read(text, hashes=(), origin=origin, folder=Path())


def _extras(known: str | None) -> dict[str, tuple[str, ...]]:
    """Return the needs of this Spark's pyspark extras; without a Spark the newest's, in any version."""
    found = {extra: needs for since, extra, needs in EXTRAS if known is None or since <= minor(known)}
    if known:
        return found
    return {extra: tuple(Requirement(text).name for text in needs) for extra, needs in found.items()}


def _releases(known: str | None) -> tuple[str, ...]:
    releases = _known_releases([minor(known)] if known else ())
    return tuple(str(version) for version in sorted({*releases, *([Version(known)] if known else ())}))


def _cluster_has(known: str) -> Limit:
    return Limit(bounds={"pyspark": _equal(known)}, reason=f"the cluster's Spark is {known}")


def _same_version(known: str | None) -> Limit:
    if known is None:
        raise UsageError(
            "--with-pyspark needs the version of the cluster's Spark", hint="give it, for example: --spark 3.5.6"
        )
    return Limit(
        bounds=dict.fromkeys(PROJECTS, _equal(known)),
        reason=f"a pyspark in the archive must be of the cluster's version, and that is {known}",
    )


def _equal(spark: str) -> str:
    return f"=={spark}" if spark.count(".") == 2 else f"=={spark}.*"
