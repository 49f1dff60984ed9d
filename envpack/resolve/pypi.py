"""Resolve PyPI requirements for the target's platform and Python: the part of the resolver that uses uv."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging import tags
from packaging.specifiers import SpecifierSet
from packaging.utils import parse_wheel_filename
from packaging.version import InvalidVersion, Version

from envpack.errors import NoSolution, Unsatisfiable
from envpack.lock.lock import Wheel
from envpack.redact import hide, public, redact, take_apart
from envpack.requirements import Indexes, Origin, pep508
from envpack.requirements.names import ProjectName
from envpack.tools import uv
from envpack.tools.uv_access import access, write_requirements

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from envpack.config.target import Target
    from envpack.requirements import PyRequirement
    from envpack.resolve.request import Provided
    from envpack.tools.uv_access import Access


_STAND_INS = "provided"
"""The folder of the empty wheels, which uv looks into."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """The question for uv."""

    requirements: tuple[PyRequirement, ...]
    constraints: tuple[PyRequirement, ...]
    bounds: Mapping[str, str]
    """Further constraints: normalised names to PEP 440 specifiers."""
    linked: Mapping[ProjectName, str]
    """Distributions in conda packages, with their versions, which are fixed."""
    provided: tuple[Provided, ...]
    """Distributions that the cluster provides."""
    indexes: Indexes
    python: str
    """The environment's Python, such as `3.11.7`."""
    target: Target
    with_dependencies: bool = True
    """Whether the requirements' dependencies are resolved as well."""
    sources: Mapping[ProjectName, frozenset[str]] = field(default_factory=dict)
    """Versions that have to be built. An empty wheel stands in for each: what they need is not known yet."""


@dataclass(frozen=True)
class Answer:
    """uv's answer."""

    wheels: tuple[Wheel, ...] = ()
    """Sorted by name."""
    warnings: tuple[str, ...] = ()
    """uv's warnings, such as an extra that a project does not have."""
    left_out: tuple[str, ...] = ()
    """Those that the cluster provides and that are needed."""


def solve(question: Question, *, cache: Path, scratch: Path) -> Answer:
    """Return the wheels that fulfil the requirements together with conda's packages.

    Raises NoSolution with uv's explanation, and the other errors of `tools.uv_failures`.
    """
    if not question.requirements:
        return Answer()
    warnings: list[str] = []

    def listen(line: str) -> None:
        if line.startswith("warning: "):
            warnings.append(redact(line.removeprefix("warning: ").strip()))

    found = _packages(question, cache, scratch, listen)
    if question.indexes.owners and not question.indexes.no_index:
        found |= _of_owners(found, question, cache, scratch)
    given = {project.name for project in question.provided}
    lines = (*question.requirements, *question.constraints)
    with_hashes = {line.name: line for line in lines if line.hashes}
    ranks = _ranks(question.target, question.python)
    named = {line.name: line.address for line in question.requirements if line.address}
    wheels = (
        _wheel(package, ranks, None if _is_stand_in(package, question) else with_hashes.get(name), named.get(name))
        for name, package in found.items()
        if name not in question.linked and name not in given
    )
    return Answer(
        wheels=tuple(sorted(wheels, key=lambda wheel: wheel.name)),
        warnings=tuple(warnings),
        left_out=tuple(sorted(given & found.keys())),
    )


def _packages(
    question: Question, cache: Path, scratch: Path, listen: Callable[[str], None] | None = None
) -> dict[ProjectName, dict[str, Any]]:
    """Return uv's answer, by name, in the form of pylock.toml."""
    answer = scratch / "pylock.toml"
    reach = access_of(question.indexes)
    uv.run(_arguments(question, reach, scratch, answer), cache=cache, workdir=scratch, access=reach, on_line=listen)
    packages = tomllib.loads(answer.read_text("utf-8")).get("packages", [])
    return {ProjectName(package["name"]): package for package in packages}


def _of_owners(
    found: Mapping[ProjectName, dict[str, Any]], question: Question, cache: Path, scratch: Path
) -> dict[ProjectName, dict[str, Any]]:
    """Return the packages that only one index may provide, from that index.

    It was asked before the others; where it lacks a project, uv has taken another index's project of the same name.
    Raises Unsatisfiable for these. Folders of `--find-links` are the user's own, and may provide all.
    """
    asked: dict[str, list[PyRequirement]] = {}
    folders = {Path(link).as_uri() for link in question.indexes.find_links if "://" not in link}
    folders.add((scratch / _STAND_INS).as_uri())
    for name, package in found.items():
        owner = question.indexes.owner_of(name)
        here = any(_address(file).rpartition("/")[0] in folders for file in package.get("wheels", ()))
        if owner and "archive" not in package and not here and name not in question.linked:
            text = f"{name}=={package['version']}"
            origin = Origin(file="package-index", line=0)
            asked.setdefault(owner, []).append(pep508.read(text, hashes=(), origin=origin, folder=scratch))
    owned: dict[ProjectName, dict[str, Any]] = {}
    for owner, lines in asked.items():
        try:
            owned |= _of_index(owner, lines, question, cache, scratch)
        except NoSolution as error:
            raise _strangers(owner, lines, question, cache, scratch) or error from error
    return owned


def _of_index(
    index: str, lines: Sequence[PyRequirement], question: Question, cache: Path, scratch: Path
) -> dict[ProjectName, dict[str, Any]]:
    """Return the packages of lines from one index only, without their dependencies."""
    alone = Question(
        requirements=tuple(lines),
        constraints=(),
        bounds={},
        linked={},
        provided=(),
        indexes=Indexes(index_url=index),
        python=question.python,
        target=question.target,
        with_dependencies=False,
    )
    return _packages(alone, cache, Path(tempfile.mkdtemp(prefix="owner-", dir=scratch)))


def _strangers(
    owner: str, lines: Sequence[PyRequirement], question: Question, cache: Path, scratch: Path
) -> Unsatisfiable | None:
    """Return the error for the projects that are missing in their own index."""
    told = []
    for line in lines:
        try:
            _of_index(owner, [line], question, cache, scratch)
        except NoSolution:
            told.append(f"{line.text} must come from {public(owner)} (package-index), which does not have it")
    if not told:
        return None
    return Unsatisfiable(
        "\n".join(told),
        hint="correct the name, or upload the project to that index; another index may have a stranger's project "
        "of "
        "this name",
    )


def _arguments(question: Question, reach: Access, scratch: Path, answer: Path) -> list[str]:
    stand_ins = scratch / _STAND_INS
    fixed, left_out = _stand_ins(question.linked, stand_ins)
    for project in question.provided:
        _stand_in_for_all(project, SpecifierSet(question.bounds.get(project.name, "")), stand_ins)
    for name, versions in question.sources.items():
        for version in versions:
            _write_stand_in(stand_ins, name, version)
    bounds = [f"{name}{specifier}" for name, specifier in question.bounds.items()]
    constraints = [*fixed, *bounds, *(constraint.text for constraint in question.constraints)]
    requirements = scratch / "requirements.txt"
    write_requirements(requirements, [*reach.lines, *(r.text for r in question.requirements)])
    return [
        *("pip", "compile", str(requirements), "--output-file", str(answer), "--format", "pylock.toml"),
        *_file_argument("--constraints", constraints, scratch),
        *_file_argument("--excludes", left_out, scratch),
        *("--find-links", str(stand_ins)),
        # uv needs an interpreter. This one keeps it from trying those on PATH, which are foreign programs.
        *("--python", sys.executable),
        *("--python-version", question.python, "--python-platform", question.target.uv_platform()),
        *("--only-binary", ":all:", "--no-header", "--no-annotate", "--no-sources"),
        *(() if question.with_dependencies else ("--no-deps",)),
    ]


def _file_argument(option: str, lines: Sequence[str], scratch: Path) -> tuple[str, ...]:
    if not lines:
        return ()
    file = scratch / f"{option.removeprefix('--')}.txt"
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return (option, str(file))


def access_of(indexes: Indexes) -> Access:
    """Return how uv reaches the indexes of a requirements file."""
    return access(
        index_url=indexes.index_url,
        extra_index_urls=indexes.extra_index_urls,
        find_links=indexes.find_links,
        no_index=indexes.no_index,
        strategy=indexes.strategy,
    )


def _stand_ins(linked: Mapping[ProjectName, str], directory: Path) -> tuple[list[str], list[ProjectName]]:
    """Make an empty wheel for each distribution that conda provides, and return constraints and names to leave out.

    uv then resolves against exactly the versions that conda chose, on any index, and its explanations show
    them as `1.26.4+conda`. A version that PyPI's rules cannot express is left out of the resolution instead.
    """
    directory.mkdir(exist_ok=True)
    constraints, left_out = [], []
    for name, version in sorted(linked.items()):
        try:
            parsed = Version(version)
        except InvalidVersion:
            left_out.append(name)
            continue
        marked = f"{version}.conda" if parsed.local else f"{version}+conda"
        _write_stand_in(directory, name, marked)
        constraints.append(f"{name}=={marked}")
    return constraints, left_out


def _stand_in_for_all(project: Provided, allowed: SpecifierSet, directory: Path) -> None:
    """Make an empty wheel, `3.5.6+cluster`, for each allowed version that the cluster may provide.

    uv prefers them to an index's own wheels of the same versions: a local version is the newer one (PEP 440).
    """
    needs = [f"Provides-Extra: {extra}" for extra in project.extras]
    for extra, lines in project.extras.items():
        needs += [f"Requires-Dist: {line} ; extra == '{extra}'" for line in lines]
    for version in allowed.filter(project.versions):
        _write_stand_in(directory, project.name, f"{version}+cluster", needs)


def _write_stand_in(directory: Path, name: str, version: str, needs: Sequence[str] = ()) -> None:
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *needs]
    with zipfile.ZipFile(directory / f"{stem}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "".join(f"{line}\n" for line in metadata))
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: envpack\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def has_fitting(wheels: Iterable[str], question: Question) -> bool:
    """Return whether one of some wheels, named by their files, is for the target and its Python."""
    ranks = _ranks(question.target, question.python)
    return any(_rank(file, ranks) < len(ranks) for file in wheels)


def _is_stand_in(package: Mapping[str, Any], question: Question) -> bool:
    return str(package.get("version")) in question.sources.get(ProjectName(package["name"]), ())


def _ranks(target: Target, python: str) -> dict[tags.Tag, int]:
    """Return the target's wheel tags, best first, with their rank."""
    major, minor = (int(part) for part in python.split(".")[:2])
    platforms = list(_platform_tags(target))
    found = [
        *tags.cpython_tags((major, minor), platforms=platforms),
        *tags.compatible_tags((major, minor), f"cp{major}{minor}", platforms),
    ]
    return {tag: rank for rank, tag in reversed(list(enumerate(found)))}


def _platform_tags(target: Target) -> Iterator[str]:
    """Yield the platform tags whose wheels run on the target, newest first (PEP 600)."""
    newest = int(target.glibc.split(".")[1])
    legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    for minor in range(newest, 4, -1):
        yield f"manylinux_2_{minor}_{target.machine}"
        if minor in legacy:
            yield f"{legacy[minor]}_{target.machine}"
    yield f"linux_{target.machine}"


def _wheel(
    package: dict[str, Any],
    ranks: dict[tags.Tag, int],
    with_hashes: PyRequirement | None,
    named: str | None,
) -> Wheel:
    """Return the best of a package's wheels, one whose hash a line allows if there is such a line.

    `named` is its address in the requirements, if there is one.
    """
    name = ProjectName(package["name"])
    direct = "archive" in package
    files = [package["archive"]] if direct else package.get("wheels", [])
    if with_hashes:
        files = [file for file in files if f"sha256:{file['hashes']['sha256']}" in with_hashes.hashes]
        if not files:
            raise Unsatisfiable(
                f"{with_hashes.origin}: no wheel of {name} for the target has a hash that is listed in the "
                "requirements",
                hint="add the hash of the wheel, or remove the --hash options from that line",
            )
    best = min(files, key=lambda file: _rank(_address(file), ranks))
    address = _address(best)
    return Wheel(
        name=name,
        version=str(package.get("version") or _parsed(address)[1]),
        url=named if direct and named else hide(public(address)),
        sha256=best["hashes"]["sha256"],
        size=best.get("size"),
        direct=direct,
        by_index=not direct and (bool(take_apart(address).lost()) or hide(address) != address),
    )


def _address(file: Mapping[str, Any]) -> str:
    return file["url"] if "url" in file else Path(file["path"]).as_uri()


def _rank(address: str, ranks: Mapping[tags.Tag, int]) -> int:
    return min((ranks[tag] for tag in _parsed(address)[3] if tag in ranks), default=len(ranks))


def _parsed(address: str) -> tuple[Any, Any, Any, Iterable[tags.Tag]]:
    return parse_wheel_filename(unquote(urlsplit(address).path.rsplit("/", 1)[-1]))
