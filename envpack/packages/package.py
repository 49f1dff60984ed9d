"""One package of an archive, as in a manifest, an index and a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from envpack.codec import Count, Digest, Line, Text, Word
from envpack.lock.source import Source, public

if TYPE_CHECKING:
    from envpack.lock.lock import Lock, Wheel


_COMMIT = 10
"""Digits of a commit that are shown."""


@dataclass(frozen=True, kw_only=True)
class PackedPackage:
    """One package inside the archive."""

    name: Word
    version: Word
    source: Source
    sha256: Digest
    """Of the downloaded package."""
    url: Line
    """Public address; for a package from a local folder only its last two parts."""
    build: Word | None = None
    """A conda package's build string."""
    size: Count | None = None
    """Bytes of the downloaded package."""
    license: Text | None = None
    """An SPDX expression, or else the package's own text."""
    requires: tuple[Word, ...] | None = None
    """Names of the packages beside it that it needs, sorted; None where that was not recorded."""
    unpacked_size: Count | None = None
    """Bytes of its files in the archive, bytecode included."""
    built_from: Line | None = None
    """What its wheel was built from, where it was: `project`, `source distribution` or `git commit HASH`, with the
    digest of the source."""

    @property
    def kind(self) -> str:
        """Its origin: `conda`, `pypi`, `project`, `source distribution`, `git commit 3f2a9c1b4d`."""
        if not self.built_from:
            return self.source
        words = self.built_from.partition(" sha256:")[0]
        return words[: len("git commit ") + _COMMIT] if words.startswith("git commit ") else words

    @property
    def own(self) -> bool:
        """Whether it is the team's own project: a different project on PyPI may have its name."""
        return self.kind == "project"


class Contained(NamedTuple):
    """A package inside a release."""

    name: Word
    version: Word
    source: Source
    build: Word
    """A conda package's build string, else empty."""


def _built_from(wheel: Wheel) -> str | None:
    made = wheel.made
    if made is None:
        return None
    kinds = {"project": "project", "archive": "source distribution", "git": f"git commit {made.commit}"}
    return f"{kinds[made.kind]} sha256:{made.sha256}"


def packages_of(lock: Lock) -> tuple[PackedPackage, ...]:
    """Return what a lock puts into an archive, sorted by name."""
    conda = (
        PackedPackage(
            name=p.name,
            version=p.version,
            source="conda",
            sha256=p.sha256,
            url=public(p.url),
            build=p.build,
            size=p.size,
            license=p.license,
        )
        for p in lock.packages
    )
    wheels = (
        PackedPackage(
            name=w.name,
            version=w.version,
            source="pypi",
            sha256=w.sha256,
            url=public(w.url),
            size=w.size,
            built_from=_built_from(w),
        )
        for w in lock.wheels
    )
    return tuple(sorted([*conda, *wheels], key=lambda package: (package.name, package.source)))
