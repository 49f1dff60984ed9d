"""The results of builds and locks, as values with a JSON form."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from envpack.packages.package import PackedPackage, packages_of
from envpack.spark.render import describe as describe_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpack.lock.lock import Lock
    from envpack.releases.lookup import Release
    from envpack.spark.settings import Settings

SCHEMA = 1
"""Version of the JSON that commands print."""


@dataclass(frozen=True, kw_only=True)
class Locked:
    """A lock, and how it was made."""

    lock: Lock
    path: Path
    """The lock's file, beside the requirements."""
    solved: bool
    """Whether it had to be solved; otherwise the file's lock was still valid."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "schema": SCHEMA,
            "lock": str(self.path),
            "solved": self.solved,
            "python": self.lock.python,
            "target": self.lock.target.to_json(),
            "packages": [_brief(package) for package in packages_of(self.lock)],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, kw_only=True)
class Built:
    """The result of a build."""

    name: str
    lock: Lock
    release: Release | None
    """None after a dry run if there is no release yet."""
    reused: bool
    """Whether the release already existed."""
    settings: Settings | None
    """None when there is no release."""
    notes: tuple[str, ...] = ()
    """Notes for the user on how it was made."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time of `solve`, `install`, `pack`, `verify`, `publish` and `total`."""

    @property
    def packages(self) -> tuple[PackedPackage, ...]:
        """The packages inside, with their sources."""
        return packages_of(self.lock)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values (schema: docs/build.schema.json)."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "reused": self.reused,
            **(describe(self.release) if self.release else {}),
            **(_saved(self.release) if self.release and self.release.manifest.slim is not None else {}),
            "python": self.lock.python,
            "packages": [_brief(package) for package in self.packages],
            "settings": describe_settings(self.settings) if self.settings else None,
            "notes": list(self.notes),
            "seconds": {step: round(taken, 3) for step, taken in self.seconds.items()},
        }


def describe(release: Release) -> dict[str, Any]:
    """Return the names and addresses of a release and its archive, as JSON values."""
    archive = release.manifest.archive
    return {
        "reference": release.manifest.reference,
        "digest": release.manifest.digest,
        "archive": {"uri": release.archive_uri, "size": archive.size, "sha256": archive.sha256},
        "manifest_uri": release.manifest_uri,
    }


def _saved(release: Release) -> dict[str, Any]:
    return {"slim": [asdict(saving) for saving in release.manifest.slim or ()]}


def _brief(package: PackedPackage) -> dict[str, str]:
    built = {"built_from": package.built_from} if package.built_from else {}
    return {"name": package.name, "version": package.version, "source": package.source, **built}
