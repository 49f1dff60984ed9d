"""Known vulnerabilities of packages, from advisories in OSV's format that a site mirrors; nothing is fetched.

Source of the format and of how versions are compared: https://ossf.github.io/osv-schema/ (version 1.7). Versions of
PyPI projects are compared by PEP 440. A conda package is looked up as the project that it holds.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvss import CVSS2, CVSS3, CVSS4
from cvss.exceptions import CVSSError
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envpack.errors import UsageError
from envpack.packages.package import PackedPackage
from envpack.requirements.names import CondaName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from envpack.packages.package import Contained

    _Hit = tuple[Mapping[str, Any], Mapping[str, Any]]
    """An advisory, and its entry for the package."""

LEVELS = ("low", "moderate", "high", "critical")
"""Severities, lowest first; an advisory without one counts as high."""

_UNKNOWN = "high"

_MALICIOUS = "MAL-"
"""The beginning of the names of reports on malicious files. Source: https://github.com/ossf/malicious-packages"""

_LARGEST = 8 << 20
"""The largest advisory, in bytes."""

_WORDS = {"LOW": "low", "MODERATE": "moderate", "MEDIUM": "moderate", "HIGH": "high", "CRITICAL": "critical"}
_SCORES = ((9.0, "critical"), (7.0, "high"), (4.0, "moderate"), (0.1, "low"))


@dataclass(frozen=True, kw_only=True)
class Vulnerability:
    """One vulnerability of one package; several advisories may describe it."""

    package: PackedPackage | Contained
    ids: tuple[str, ...]
    """Its advisories and their aliases, sorted."""
    severity: str
    """One of `LEVELS`."""
    summary: str
    fixed: tuple[str, ...]
    """The versions that fix it, by the advisories."""

    def reaches(self, level: str) -> bool:
        """Return whether it is at least as severe as a level."""
        return LEVELS.index(self.severity) >= LEVELS.index(level)

    def known_as(self, names: Collection[str]) -> bool:
        """Return whether it has one of these names, each an advisory's or an alias."""
        return not {*names}.isdisjoint(self.ids)

    @property
    def text(self) -> str:
        """It without its package: `CVE-2024-22195 (moderate): summary; fixed in 3.1.3`."""
        fixed = f"; fixed in {', '.join(self.fixed)}" if self.fixed else "; no fix is known"
        summary = f": {self.summary}" if self.summary else ""
        return f"{self.ids[0]} ({self.severity}){summary}{fixed}"

    def __str__(self) -> str:
        return f"{self.package.name} {self.package.version}: {self.text}"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values (schema: docs/audit.schema.json)."""
        return {
            "package": {
                "name": self.package.name, "version": self.package.version, "source": self.package.source,
            },
            "ids": list(self.ids),
            "severity": self.severity,
            "summary": self.summary,
            "fixed": list(self.fixed),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Advisories:
    """The advisories of PyPI projects, by normalised name."""

    by_project: Mapping[str, tuple[Mapping[str, Any], ...]]
    count: int
    """The number of advisories that were read."""

    def of(
        self, packages: Iterable[PackedPackage | Contained], project: Callable[[CondaName], str]
    ) -> tuple[Vulnerability, ...]:
        """Return the vulnerabilities of packages, worst first; `project` gives a conda package's project.

        No advisory is about the team's own projects. A report on malicious files on PyPI is not about conda
        packages.
        """
        found: list[Vulnerability] = []
        for package in packages:
            if isinstance(package, PackedPackage) and package.own:
                continue
            name = canonicalize_name(package.name if package.source == "pypi" else project(CondaName(package.name)))
            advisories = (each for each in self.by_project.get(name, ()) if not _elsewhere(each, package))
            hits = [(each, own) for each in advisories for own in _about(each, name)]
            found += _grouped(package, [(each, own) for each, own in hits if affects(own, package.version)])
        return tuple(sorted(found, key=lambda each: (-LEVELS.index(each.severity), each.package.name, each.ids)))


def read(place: Path) -> Advisories:
    """Return the advisories of a directory, of the zip that OSV publishes for an ecosystem, or of one file.

    They are read once in a process while the files stay the same. Withdrawn advisories are left out. Raises
    UsageError when there is no such file, or an advisory is invalid.
    """
    return _read(str(place.absolute()), _stamp(place))


def _stamp(place: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes with the files of a place."""
    try:
        paths = sorted(place.rglob("*.json")) if place.is_dir() else [place]
        return tuple((str(path), (found := path.stat()).st_mtime_ns, found.st_size) for path in paths)
    except OSError as error:
        raise _unreadable(place, error) from error


@lru_cache(maxsize=2)
def _read(text: str, _stamp: tuple[tuple[str, int, int], ...]) -> Advisories:
    place = Path(text)
    by_project: dict[str, list[Mapping[str, Any]]] = {}
    count = 0
    for name, data in _files(place):
        advisory = _parsed(name, data)
        count += 1
        if advisory.get("withdrawn"):
            continue
        for project in {canonicalize_name(own["package"]["name"]) for own in _affected(advisory)}:
            by_project.setdefault(project, []).append(advisory)
    if not count:
        raise UsageError(
            f"{place} contains no advisories",
            hint="download OSV's all.zip for PyPI, or give a directory of *.json files",
        )
    return Advisories(by_project={name: tuple(each) for name, each in by_project.items()}, count=count)


def affects(affected: Mapping[str, Any], version: str) -> bool:
    """Return whether an `affected` entry of an advisory means a version.

    It does when the version is listed, or when an ECOSYSTEM or SEMVER range holds it: OSV's evaluation algorithm.
    """
    try:
        own = Version(version)
    except InvalidVersion:
        return version in affected.get("versions", ())
    if any(_version(each) == own for each in affected.get("versions", ())):
        return True
    ranges = (each for each in affected.get("ranges", ()) if each.get("type") in ("ECOSYSTEM", "SEMVER"))
    return any(_within(each.get("events", ()), own) for each in ranges)


def _within(events: Sequence[Mapping[str, str]], version: Version) -> bool:
    limits = [event["limit"] for event in events if "limit" in event]
    if limits and not any(limit == "*" or version < _at(limit) for limit in limits):
        return False
    inside = False
    steps = ((_at(text), kind) for event in events for kind, text in event.items() if kind != "limit")
    order = {"fixed": 0, "introduced": 1, "last_affected": 2}
    for at, kind in sorted(steps, key=lambda step: (step[0], order.get(step[1], 3))):
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _at(text: str) -> Version:
    """Return the version of an event; `0` is before all of them."""
    return Version("0.dev0") if text == "0" else (_version(text) or Version("0.dev0"))


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _grouped(
    package: PackedPackage | Contained, hits: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> list[Vulnerability]:
    """Return the vulnerabilities of advisories; aliases of one another are joined."""
    groups: list[tuple[set[str], list[_Hit]]] = []
    for advisory, own in hits:
        ids = {advisory["id"], *advisory.get("aliases", ())}
        members = [(advisory, own)]
        for group in [group for group in groups if group[0] & ids]:
            ids |= group[0]
            members = group[1] + members
            groups.remove(group)
        groups.append((ids, members))
    return [_vulnerability(package, ids, members) for ids, members in groups]


def _is_after(text: str, now: Version | None) -> bool:
    version = _version(text)
    return version is not None and (now is None or version > now)


def _vulnerability(package: PackedPackage | Contained, ids: set[str], members: Sequence[_Hit]) -> Vulnerability:
    known = [level for advisory, own in members if (level := severity(advisory, own))]
    events = (event for _, own in members for each in own.get("ranges", ()) for event in each.get("events", ()))
    now = _version(package.version)
    fixes = {event["fixed"] for event in events if "fixed" in event and _is_after(event["fixed"], now)}
    return Vulnerability(
        package=package,
        ids=tuple(sorted(ids, key=lambda each: (not each.startswith("CVE-"), each))),
        severity=max(known, key=LEVELS.index, default=_UNKNOWN),
        summary=next(
            (" ".join(text.split()) for advisory, _ in members if (text := str(advisory.get("summary") or ""))), ""
        ),
        fixed=tuple(sorted(fixes, key=Version)),
    )


def severity(advisory: Mapping[str, Any], affected: Mapping[str, Any]) -> str | None:
    """Return an advisory's severity, one of `LEVELS`: by its word, else by its CVSS vector."""
    for place in (affected, advisory):
        word = str(dict(place.get("database_specific") or {}).get("severity", "")).upper()
        if word in _WORDS:
            return _WORDS[word]
    vectors = [*affected.get("severity", ()), *advisory.get("severity", ())]
    scores = [score for each in vectors if (score := base_score(str(each.get("score", "")))) is not None]
    if not scores:
        return None
    return next((level for least, level in _SCORES if max(scores) >= least), "low")


def base_score(vector: str) -> float | None:
    """Return the base score of a CVSS vector of version 2, 3 or 4, or None for another text."""
    kinds = {"CVSS:4": CVSS4, "CVSS:3": CVSS3}
    try:
        return float(kinds.get(vector[:6], CVSS2)(vector).base_score)
    except CVSSError:
        return None


def _elsewhere(advisory: Mapping[str, Any], package: PackedPackage | Contained) -> bool:
    return package.source == "conda" and str(advisory["id"]).startswith(_MALICIOUS)


def _about(advisory: Mapping[str, Any], project: str) -> list[Mapping[str, Any]]:
    return [own for own in _affected(advisory) if canonicalize_name(own["package"]["name"]) == project]


def _affected(advisory: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the entries about PyPI projects; an ecosystem may have a suffix after a colon."""
    entries = (own for own in advisory.get("affected", ()) if own.get("package"))
    return [own for own in entries if str(own["package"].get("ecosystem", "")).split(":")[0] == "PyPI"]


def _parsed(name: str, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
        if isinstance(value, dict) and isinstance(value["id"], str):
            for own in value.get("affected", ()):
                own.get("package", {}).get("name")
            return value
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        pass
    raise UsageError(f"{name} is not an advisory in OSV's format", hint="remove it, or download it again")


def _files(place: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if place.is_dir():
            for path in sorted(place.rglob("*.json")):
                if path.is_file() and path.stat().st_size <= _LARGEST:
                    yield str(path), path.read_bytes()
        elif zipfile.is_zipfile(place):
            with zipfile.ZipFile(place) as archive:
                for member in archive.infolist():
                    if member.filename.endswith(".json") and member.file_size <= _LARGEST:
                        yield f"{place}/{member.filename}", archive.read(member)
        else:
            yield str(place), place.read_bytes()
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(place, error) from error


def _unreadable(place: Path, error: Exception) -> UsageError:
    return UsageError(
        f"the advisories in {place} cannot be read: {getattr(error, 'strerror', None) or error}",
        hint="give a directory of *.json files, or OSV's all.zip for PyPI",
    )
