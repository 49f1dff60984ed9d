"""Summaries of releases, and the index that holds those of a name."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from envpack import digest
from envpack.archive.formats import FormatName  # noqa: TC001 - the codec reads the types
from envpack.codec import Count, Digest, Kind, Line, Moment, Name, PythonVersion, TagName, Text, Unreadable, Word
from envpack.config.target import Target  # noqa: TC001 - the codec reads the types
from envpack.packages.package import Contained  # noqa: TC001 - the codec reads the types
from envpack.releases.manifest import Verification  # noqa: TC001 - the codec reads the types

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
"""Version of the index's JSON; one of another version is made again."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A release in short."""

    name: str
    digest: str
    created: str
    python: str
    target: Target
    format: FormatName
    size: int
    """Bytes of the archive."""
    unpacked_size: int
    verified: Verification
    by: str | None
    """Who built it."""
    commit: str | None
    packages: tuple[Contained, ...]

    @property
    def reference(self) -> str:
        """How to name it for good."""
        return f"{self.name}@{self.digest[: digest.SHORT]}"


@dataclass(frozen=True, kw_only=True)
class NameIndex:
    """What a store holds of one name."""

    name: str
    releases: Mapping[str, tuple[str, Listed]] = field(default_factory=dict)
    """By the first 16 digits of the digest, with the manifest's stamp."""
    tags: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Tag to its stamp and the full digest it points at."""
    problems: tuple[str, ...] = ()
    """What could not be read, with the reason."""

    def newest_first(self) -> list[Listed]:
        """Return the releases by the time they were created."""
        return sorted((listed for _, listed in self.releases.values()), key=lambda each: each.created, reverse=True)

    def tags_of(self, sha256: str) -> list[str]:
        """Return the tags that point at a release, sorted."""
        return sorted(tag for tag, (_, pointed_at) in self.tags.items() if pointed_at == sha256)

    def dumps(self) -> bytes:
        """Return the index as the bytes that are stored; equal content gives equal bytes."""
        table: dict[Contained, int] = {}
        rows = [
            _row(listed, stamp, [table.setdefault(package, len(table)) for package in listed.packages])
            for _, (stamp, listed) in sorted(self.releases.items())
        ]
        tagged = {tag: {"stamp": stamp, "digest": sha256} for tag, (stamp, sha256) in sorted(self.tags.items())}
        value = {"schema": SCHEMA, "name": self.name, "packages": list(table), "releases": rows, "tags": tagged}
        return gzip.compress(json.dumps(value, separators=(",", ":")).encode(), 6, mtime=0)

    @classmethod
    def loads(cls, data: bytes, name: str) -> NameIndex:
        """Read an index; anything but one of this name and version gives an empty one."""
        try:
            stored = STORED.loads(data, name)
        except Unreadable:
            return cls(name=name)
        return _indexed(stored) if stored.name == name else cls(name=name)


class StoredRow(Struct, frozen=True, kw_only=True):
    """A release in the index's JSON."""

    stamp: Line
    """Another one whenever the manifest is written again."""
    digest: Digest
    created: Moment
    python: PythonVersion
    target: Target
    format: FormatName
    size: Count
    """Bytes of the archive."""
    unpacked_size: Count
    """Bytes of all files when unpacked."""
    verified: Verification
    by: Text | None = None
    """Who built it."""
    commit: Word | None = None
    packages: tuple[Count, ...] = ()
    """Which packages of the table it contains."""


class StoredPointer(Struct, frozen=True, kw_only=True):
    """A tag in the index's JSON."""

    stamp: Line
    """Another one whenever the tag is moved."""
    digest: Digest
    """The full digest of the release that it points at."""


class StoredIndex(Struct, frozen=True, kw_only=True):
    """The index's JSON."""

    name: Name
    packages: tuple[Contained, ...]
    """A table of all packages of all releases: name, version, source, build string."""
    releases: tuple[StoredRow, ...]
    tags: dict[TagName, StoredPointer]


def _contradiction(stored: StoredIndex) -> str | None:
    most = len(stored.packages)
    stray = next((row for row in stored.releases if row.packages and max(row.packages) >= most), None)
    return f"{stray.digest} has packages that are not in the table" if stray else None


STORED = Kind(
    what="an index",
    type=StoredIndex,
    limit=128 << 20,
    schema=SCHEMA,
    packed=True,
    hint="`envpack list --rebuild-index` makes it again",
    check=_contradiction,
)


_FACTS = ("digest", "created", "python", "format", "size", "unpacked_size", "verified", "by", "commit")


def _row(listed: Listed, stamp: str, packages: list[int]) -> dict[str, Any]:
    facts = {fact: getattr(listed, fact) for fact in _FACTS}
    return {"stamp": stamp, **facts, "target": listed.target.to_json(), "packages": packages}


def _indexed(stored: StoredIndex) -> NameIndex:
    table = stored.packages
    found = {
        row.digest[: digest.SHORT]: (
            row.stamp,
            Listed(
                name=stored.name,
                target=row.target,
                packages=tuple([table[number] for number in row.packages]),
                **{fact: getattr(row, fact) for fact in _FACTS},
            ),
        )
        for row in stored.releases
    }
    return NameIndex(
        name=stored.name,
        releases=found,
        tags={tag: (pointer.stamp, pointer.digest) for tag, pointer in stored.tags.items()},
    )
