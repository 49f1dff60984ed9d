"""One package of an archive: what a manifest, an index and a report say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from envpack.lock.lock import Source, public

if TYPE_CHECKING:
    from envpack.lock.lock import Lock


@dataclass(frozen=True, kw_only=True)
class PackedPackage:
    """One package inside the archive."""

    name: str
    version: str
    source: Source
    sha256: str
    """Of the downloaded package."""
    url: str
    """Public address; for a package from a local folder only its last two parts."""
    build: str | None = None
    """A conda package's build string."""
    size: int | None = None
    """Bytes of the downloaded package."""
    license: str | None = None
    """An SPDX expression, or what the package says where that is none."""
    requires: tuple[str, ...] | None = None
    """Names of the packages beside it that it needs, sorted; None where that was not recorded."""
    unpacked_size: int | None = None
    """Bytes of its files in the archive, bytecode included."""


class Contained(NamedTuple):
    """A package inside a release."""

    name: str
    version: str
    source: str
    """`conda` or `pypi`."""
    build: str
    """A conda package's build string, else empty."""


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
            name=w.name, version=w.version, source="pypi", sha256=w.sha256, url=public(w.url), size=w.size
        )
        for w in lock.wheels
    )
    return tuple(sorted([*conda, *wheels], key=lambda package: (package.name, package.source)))
