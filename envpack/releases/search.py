"""Find the releases that contain a package: the question on the day a vulnerability is announced."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion

from envpack.errors import UsageError
from envpack.requirements.names import CondaName, ProjectName
from envpack.resolve import match_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from envpack.packages.package import Contained
    from envpack.releases.listed import Listed, NameIndex
    from envpack.resolve.names import Names

_SPEC = re.compile(
    r"(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?)(?:(?:\s+|(?=[=<>!~]))(?P<versions>.+))?"
)
_FORMS = "write NAME, 'NAME<2', 'NAME==1.26.*' or 'NAME 1.1.1*'"


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A release that contains the searched package."""

    release: Listed
    tags: tuple[str, ...]
    """The tags that point at it."""
    packages: tuple[Contained, ...]
    """The packages that were found in it."""


def matcher(spec: str, names: Names) -> Callable[[Contained], bool]:
    """Return a function that says whether a package inside a release matches.

    `spec` is `NAME`, or a name with versions as pip writes them (`numpy<2`, `numpy==1.26.*`) or as conda does
    (`openssl 1.1.1*`). Names are compared as projects of PyPI, so that `torch` also finds conda's pytorch. Raises
    UsageError when it is invalid.
    """
    match = _SPEC.fullmatch(spec.strip())
    if match is None:
        raise UsageError(f"{spec!r} is not a package with versions", hint=_FORMS)
    project = cache(names.project)
    wanted = {ProjectName(match["name"]), project(CondaName(match["name"]))}
    admits = _admitting(match["name"], match["versions"] or "", spec)
    return lambda package: _project(package, project) in wanted and admits(package.version, package.source)


def _project(package: Contained, project: Callable[[CondaName], ProjectName]) -> ProjectName:
    return project(CondaName(package.name)) if package.source == "conda" else ProjectName(package.name)


def search(indexes: Iterable[NameIndex], matches: Callable[[Contained], bool]) -> Iterator[Hit]:
    """Yield the releases that contain a package which matches, by name and newest first."""
    for index in indexes:
        for listed in index.newest_first():
            if found := tuple(package for package in listed.packages if matches(package)):
                yield Hit(release=listed, tags=tuple(index.tags_of(listed.digest)), packages=found)


def _admitting(name: str, versions: str, spec: str) -> Callable[[str, str], bool]:
    """Return a function that says whether a version from a source matches.

    PyPI's rules apply where PEP 440 can express both; conda's where only conda can express the spec or the version.
    """
    if not versions:
        return lambda _version, _source: True
    try:
        pypi = SpecifierSet(versions, prereleases=True)
    except InvalidSpecifier:
        pypi = None

    @cache
    def conda() -> Callable[[str], bool]:
        try:
            return match_spec.admitting(f"{name} {versions}")
        except ValueError as error:
            raise UsageError(f"the versions in {spec!r} are not valid: {error}", hint=_FORMS) from error

    @cache
    def admits(version: str, source: str) -> bool:
        if pypi is None:
            return conda()(version)
        try:
            return pypi.contains(version)
        except InvalidVersion:
            if source != "conda":
                return False
        # It imports rattler, which takes 0.2 s.
        from envpack.resolve import pep440  # noqa: PLC0415

        return bool(pep440.admitted(pypi, [version]))

    if pypi is None:
        conda()
    return admits
