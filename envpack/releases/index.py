"""What a store holds, short enough to list and search ten thousand releases.

<store>/<name>/index.json.gz    a summary of the name's manifests and tags

The listing of the store decides what there is; an index only spares reading a manifest or a tag that it has read
before, as it knows by the object's stamp. So a missing, damaged or old index costs time and nothing else. Each
machine keeps its own copies in the cache directory.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from envpack import digest
from envpack.config.target import Target
from envpack.errors import EnvpackError, UsageError
from envpack.packages.package import Contained
from envpack.progress import SILENT, Progress
from envpack.redact import filtered_logger
from envpack.releases import keys, lookup, tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from envpack.archive.formats import FormatName
    from envpack.releases.manifest import Manifest
    from envpack.stores.base import Store

logger = filtered_logger(__name__)

SCHEMA = 1
"""Version of the index's JSON; one of another version is made anew."""

FILE = "index.json.gz"

_COPY = ".json.gz"

_AT_ONCE = 8
"""How many requests are under way; the stores' connections are as many."""

_TRIES = 3


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
    verified: str
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
        """Read an index; what is none of this name and version is an empty one."""
        try:
            value = json.loads(gzip.decompress(data))
            if (value["schema"], value["name"]) != (SCHEMA, name):
                return cls(name=name)
            table = [Contained(*package) for package in value["packages"]]
            rows = [_listed(name, row, table) for row in value["releases"]]
            tagged = {tag: (entry["stamp"], entry["digest"]) for tag, entry in value["tags"].items()}
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, IndexError, AttributeError):
            return cls(name=name)
        return cls(
            name=name, releases={each.digest[: digest.SHORT]: (stamp, each) for stamp, each in rows}, tags=tagged
        )


def read(
    store: Store, copies: Path, name: str | None = None, *, progress: Progress = SILENT
) -> tuple[NameIndex, ...]:
    """Return what a store holds of one name, or of all, sorted by name; names without releases are left out.

    `copies` is the directory where this machine keeps indexes.
    """
    names = (keys.check_name(name),) if name else _names(store)
    kept = Copies(copies, store.url)
    with progress.step("read", total=len(names)) as step, ThreadPoolExecutor(_AT_ONCE) as pool:

        def look(each: str) -> tuple[_Held, NameIndex]:
            held = _listing(store, each)
            step.advance(1)
            return held, _with_shared(store, held, copies_of[each])

        copies_of = {each: kept.read(each) for each in names}
        found = _complete(store, list(pool.map(look, names)), pool)
        for index in found:
            copy = copies_of[index.name]
            if (index.releases, index.tags) != (copy.releases, copy.tags):
                kept.keep(index)
        step.note(f"{sum(len(index.releases) for index in found)} releases of {len(found)} names")
    for problem in (problem for index in found for problem in index.problems):
        progress.warn(problem)
    return tuple(index for index in found if index.releases)


def refresh(store: Store, name: str) -> bool:
    """Bring the index of a name in the store up to date; say whether it is.

    That is done after a release is published or a tag moved, and never stands in the way of either: what the store
    refuses is left for the next time.
    """
    key = f"{name}/{FILE}"
    try:
        for _ in range(_TRIES):
            there = store.read(key)
            old = NameIndex.loads(there.data, name) if there else NameIndex(name=name)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                (index,) = _complete(store, [(_listing(store, name), old)], pool)
            data = index.dumps()
            if (there and there.data == data) or store.replace(key, data, there.version if there else None):
                return True
    except EnvpackError as error:
        logger.info("the index of %s was not brought up to date: %s", name, error.message)
    return False


def rebuild(store: Store, *, progress: Progress = SILENT) -> tuple[str, ...]:
    """Make the index of every name anew from its manifests; return the names whose index could not be written."""
    names = _names(store)
    with progress.step("index", total=len(names)) as step, ThreadPoolExecutor(_AT_ONCE) as pool:

        def one(name: str) -> bool:
            store.delete(f"{name}/{FILE}")
            written = refresh(store, name)
            step.advance(1)
            return written

        return tuple(name for name, written in zip(names, pool.map(one, names), strict=True) if not written)


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What the listing of a name says."""

    name: str
    manifests: Mapping[str, str]
    """The first 16 digits of each release's digest, with the manifest's stamp."""
    tags: Mapping[str, str]
    """Each tag with its stamp."""
    has_index: bool

    def known_to(self, *indexes: NameIndex) -> NameIndex:
        """Return what any of the indexes knows of it."""
        return NameIndex(
            name=self.name,
            releases={
                short: entry
                for index in indexes
                for short, entry in index.releases.items()
                if self.manifests.get(short) == entry[0]
            },
            tags={
                tag: entry
                for index in indexes
                for tag, entry in index.tags.items()
                if self.tags.get(tag) == entry[0]
            },
        )


def _names(store: Store) -> tuple[str, ...]:
    """Return the folders in which releases can be; others, such as the catalog's, may hold many objects."""
    return tuple(name for name in store.folders() if keys.is_name(name))


def _listing(store: Store, name: str) -> _Held:
    manifests, tagged, has_index = {}, {}, False
    for entry in store.list(f"{name}/"):
        if short := keys.digest_of_key(entry.key):
            manifests[short] = entry.stamp
        elif parts := tags.of_key(entry.key):
            tagged[parts[1]] = entry.stamp
        else:
            has_index = has_index or entry.key == f"{name}/{FILE}"
    return _Held(name=name, manifests=manifests, tags=tagged, has_index=has_index)


def _with_shared(store: Store, held: _Held, copy: NameIndex) -> NameIndex:
    """Return what this machine knows, and where that is not enough what the store's own index knows too."""
    known = held.known_to(copy)
    missing = len(held.manifests) - len(known.releases) + len(held.tags) - len(known.tags)
    if missing > 1 and held.has_index and (there := store.read(f"{held.name}/{FILE}")):
        known = held.known_to(copy, NameIndex.loads(there.data, held.name))
    return known


def _complete(store: Store, looks: Sequence[tuple[_Held, NameIndex]], pool: ThreadPoolExecutor) -> list[NameIndex]:
    """Return what there is of each name: what is known already, and what is read now."""
    manifests = [(held.name, short) for held, known in looks for short in held.manifests.keys() - known.releases]
    tagged = [(held.name, tag) for held, known in looks for tag in held.tags.keys() - known.tags]
    read_releases = dict(zip(manifests, pool.map(lambda key: _summary_at(store, *key), manifests), strict=True))
    read_tags = dict(zip(tagged, pool.map(lambda key: _pointed_at(store, *key), tagged), strict=True))
    return [_completed(held, known, read_releases, read_tags) for held, known in looks]


def _completed(
    held: _Held,
    known: NameIndex,
    read_releases: Mapping[tuple[str, str], Listed | UsageError | None],
    read_tags: Mapping[tuple[str, str], str | UsageError | None],
) -> NameIndex:
    found, pointed_at, problems = dict(known.releases), dict(known.tags), []
    for short in held.manifests.keys() - known.releases:
        match read_releases[held.name, short]:
            case Listed() as listed:
                found[short] = (held.manifests[short], listed)
            case UsageError(message=message):
                problems.append(message)
    for tag in held.tags.keys() - known.tags:
        match read_tags[held.name, tag]:
            case str() as sha256:
                pointed_at[tag] = (held.tags[tag], sha256)
            case UsageError(message=message):
                problems.append(message)
    return NameIndex(name=held.name, releases=found, tags=pointed_at, problems=tuple(sorted(problems)))


def _summary_at(store: Store, name: str, short: str) -> Listed | UsageError | None:
    """Return a release in short; None when it has gone since, the error when its manifest cannot be read."""
    try:
        release = lookup.at(store, name, short)
    except UsageError as error:
        return error
    return _summary(release.manifest) if release else None


def _pointed_at(store: Store, name: str, tag: str) -> str | UsageError | None:
    try:
        found = tags.read(store, name, tag)
    except UsageError as error:
        return error
    return found.digest if found else None


def _summary(manifest: Manifest) -> Listed:
    provenance = manifest.provenance
    return Listed(
        name=manifest.name,
        digest=manifest.digest,
        created=manifest.created,
        python=manifest.python,
        target=manifest.target,
        format=manifest.archive.format,
        size=manifest.archive.size,
        unpacked_size=manifest.archive.unpacked_size,
        verified=manifest.verified,
        by=provenance.by if provenance else None,
        commit=provenance.commit if provenance else None,
        packages=tuple(Contained(p.name, p.version, p.source, p.build or "") for p in manifest.packages),
    )


_FACTS = ("digest", "created", "python", "format", "size", "unpacked_size", "verified", "by", "commit")


def _row(listed: Listed, stamp: str, packages: list[int]) -> dict[str, Any]:
    facts = {fact: getattr(listed, fact) for fact in _FACTS}
    return {"stamp": stamp, **facts, "target": listed.target.to_json(), "packages": packages}


def _listed(name: str, row: dict[str, Any], table: list[Contained]) -> tuple[str, Listed]:
    return row["stamp"], Listed(
        name=name,
        target=Target.from_json(row["target"]),
        packages=tuple(table[number] for number in row["packages"]),
        **{fact: row[fact] for fact in _FACTS},
    )


class Copies:
    """The indexes of one store that this machine keeps; those it cannot keep are read anew each time."""

    def __init__(self, root: Path, url: str) -> None:
        """Take the directory of all stores' copies and the store's URL, however it is spelt."""
        plain = re.sub(r"^s3a://", "s3://", url, flags=re.IGNORECASE).rstrip("/")
        self._folder = root / digest.of_bytes(plain.encode())[: digest.SHORT]

    def names(self) -> tuple[str, ...]:
        """Return the names that there are copies of, sorted."""
        found = (path.name.removesuffix(_COPY) for path in self._folder.glob(f"[!.]*{_COPY}"))
        return tuple(sorted(found))

    def read(self, name: str) -> NameIndex:
        """Return the copy of a name's index; an empty one if there is none."""
        try:
            return NameIndex.loads(self._path(name).read_bytes(), name)
        except OSError:
            return NameIndex(name=name)

    def keep(self, index: NameIndex) -> None:
        """Keep a copy for the next time, if this machine lets us; another process may do the same."""
        path = self._path(index.name)
        part = path.with_name(f".{path.name}.{os.getpid()}-{uuid4().hex[:8]}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(index.dumps())
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            logger.info("no copy of the index of %s is kept: %s", index.name, error)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_COPY}"
