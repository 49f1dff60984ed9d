"""The inventory of a store from one listing: releases and remains of unfinished ones, records, tags."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from envpack import digest
from envpack.progress import Step
from envpack.releases import keys, tags
from envpack.releases.lookup import BUILD_RECORD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpack.releases.tags import Tag
    from envpack.stores.base import ListedObject, Store

_READERS = 8
"""Small objects that are read in parallel; there are as many S3 connections."""


@dataclass(kw_only=True)
class Folder:
    """The objects of one release, or of an unfinished one: those under `NAME/DIGEST`."""

    name: str
    digest: str
    """The first digits, as in the key."""
    objects: list[ListedObject] = field(default_factory=list)
    records: list[ListedObject] = field(default_factory=list)
    """The build records that point at it."""

    @property
    def key(self) -> str:
        """Its place in the store."""
        return f"{self.name}/{self.digest}"

    @property
    def published(self) -> float | None:
        """When its manifest was written, in seconds since 1970; None without one: then it is no release."""
        return next((entry.modified for entry in self.objects if self._is_manifest(entry)), None)

    @property
    def modified(self) -> float:
        """When the newest of its objects was written."""
        return max(entry.modified for entry in self.objects)

    @property
    def size(self) -> int:
        """Bytes of all its objects."""
        return sum(entry.size for entry in self.objects)

    def in_order(self) -> list[ListedObject]:
        """Return all objects in the order of removal.

        First what refers to the release, then its manifest, the archive last: if a removal ends early, the rest is
        found again, and is never mistaken for a complete release.
        """
        archive = keys.archive_stem(self.name, self.digest)
        rest = sorted(self.objects, key=lambda entry: (not self._is_manifest(entry), entry.key.startswith(archive)))
        return [*self.records, *rest]

    def _is_manifest(self, entry: ListedObject) -> bool:
        return entry.key == keys.manifest(self.name, self.digest)


@dataclass(frozen=True, kw_only=True)
class JobUse:
    """The record of a job, with the first digits of what the job used."""

    entry: ListedObject
    release: str
    code: str


@dataclass(kw_only=True)
class Shelf:
    """Everything that a store holds under one name."""

    name: str
    folders: dict[str, Folder] = field(default_factory=dict)
    """By the digest's first digits."""
    tags: dict[str, Tag] = field(default_factory=dict)
    used: dict[str, ListedObject] = field(default_factory=dict)
    """The records of last use, by the digest's first digits."""
    jobs: list[JobUse] = field(default_factory=list)
    """The records of submitted jobs."""
    dangling: list[tuple[ListedObject, str]] = field(default_factory=list)
    """Build records, records of use and of jobs that point at no folder, each with that folder's key."""
    pointers: dict[str, str] = field(default_factory=dict)
    """The keys of build records, each with the first digits that it points at."""


@dataclass(kw_only=True)
class _Found:
    """One listing, sorted by what its objects are."""

    shelves: dict[str, Shelf] = field(default_factory=dict)
    tags: list[tuple[str, str]] = field(default_factory=list)
    records: list[tuple[str, ListedObject]] = field(default_factory=list)

    def add(self, entry: ListedObject) -> None:
        name, _, rest = entry.key.partition("/")
        part, _, file = rest.partition("/")
        known = keys.is_short(part) or part in (keys.BUILDS, keys.TAGS, keys.USED, keys.JOBS)
        if not (file and known and keys.is_name(name)):
            return  # not a release's: indexes, pages, foreign objects
        shelf = self.shelves.setdefault(name, Shelf(name=name))
        stem = file.removesuffix(".json")
        match part:
            case keys.BUILDS:
                self.records.append((name, entry))
            case keys.TAGS:
                self.tags += [parts] if (parts := keys.tag_of_key(entry.key)) else []
            case keys.USED:
                shelf.used |= {stem: entry} if keys.is_short(stem) else {}
            case keys.JOBS:
                if digests := keys.used_by_job(entry.key):
                    shelf.jobs.append(JobUse(entry=entry, release=digests[0], code=digests[1]))
            case _:
                shelf.folders.setdefault(part, Folder(name=name, digest=part)).objects.append(entry)


def take(
    store: Store, name: str | None = None, *, known: Mapping[str, str] | None = None, step: Step | None = None
) -> dict[str, Shelf]:
    """Return the content of a store, or of one name in it, by name; foreign objects are ignored.

    `known` are the pointers of build records that were read before: they never change. `step` counts what is read.
    """
    found = _Found()
    for entry in store.list(f"{name}/" if name else ""):
        found.add(entry)
    known, step = known or {}, step or Step()
    unread = [entry.key for _, entry in found.records if entry.key not in known]
    step.total(len(unread) + len(found.tags))
    with ThreadPoolExecutor(_READERS) as readers:
        values = readers.map(partial(_tag, store, step), found.tags)
        read = readers.map(partial(_pointer, store, step), unread)
        pointers: dict[str, str | None] = {**known, **dict(zip(unread, read, strict=True))}
        for (owner, tag), value in zip(found.tags, values, strict=True):
            if value:
                found.shelves[owner].tags[tag] = value
    for owner, entry in found.records:
        _assign(found.shelves[owner], entry, pointers[entry.key])
    for shelf in found.shelves.values():
        for owner, entry in shelf.used.items():
            if owner not in shelf.folders:
                shelf.dangling.append((entry, f"{shelf.name}/{owner}"))
        for job in shelf.jobs:
            if job.release not in shelf.folders:
                shelf.dangling.append((job.entry, f"{shelf.name}/{job.release}"))
    return found.shelves


def _assign(shelf: Shelf, record: ListedObject, pointer: str | None) -> None:
    if pointer is None:
        return
    shelf.pointers[record.key] = pointer
    if pointer in shelf.folders:
        shelf.folders[pointer].records.append(record)
    else:
        shelf.dangling.append((record, f"{shelf.name}/{pointer}"))


def _tag(store: Store, step: Step, owner_and_tag: tuple[str, str]) -> Tag | None:
    step.advance(1)
    owner, tag = owner_and_tag
    return tags.read(store, owner, tag)


def _pointer(store: Store, step: Step, key: str) -> str | None:
    """Return the first digits that a build record points at; None when it is gone."""
    step.advance(1)
    found = store.read(key)
    return BUILD_RECORD.loads(found.data, store.uri(key)).digest[: digest.SHORT] if found else None
