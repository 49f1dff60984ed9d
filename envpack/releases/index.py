"""A summary of a store, short enough to list and search ten thousand releases.

The listing of the store decides what exists; an index only saves reading manifests and tags that were read before,
which it recognises by the object's stamp. So a missing, damaged or old index costs only time. Each machine keeps
its own copies in the cache directory. Listing and searching use the index; pulling, running and settings do not.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack.errors import EnvpackError, UsageError
from envpack.packages.package import Contained
from envpack.progress import SILENT, Progress
from envpack.redact.logs import filtered_logger
from envpack.releases import keys, lookup, tags
from envpack.releases.index_copies import Copies
from envpack.releases.listed import Listed, NameIndex
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from envpack.releases.manifest import Manifest
    from envpack.stores.base import Store

logger = filtered_logger(__name__)

_AT_ONCE = 8
"""How many requests are sent in parallel; the stores have as many connections."""

_TRIES = 3

_SAMPLE = 4
"""How many releases and how many tags of each name are compared with the store's index."""


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
            known, lie = _with_shared(store, held, copies_of[each])
            lies.extend([lie] if lie else [])
            return held, known

        lies: list[str] = []
        copies_of = {each: kept.read(each) for each in names}
        found = _complete(store, list(pool.map(look, names)), pool)
        for index in found:
            copy = copies_of[index.name]
            if (index.releases, index.tags) != (copy.releases, copy.tags):
                kept.keep(index)
        step.note(f"{count(sum(len(index.releases) for index in found), 'release')} of {count(len(found), 'name')}")
    for problem in (*sorted(lies), *(problem for index in found for problem in index.problems)):
        progress.warn(problem)
    return tuple(index for index in found if index.releases)


def refresh(store: Store, name: str) -> bool:
    """Update the index of a name in the store; say whether it is up to date.

    It is done after a release is published or a tag moved, and never makes either fail: if the store refuses, it is
    left for the next time.
    """
    key = keys.index(name)
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
    """Make the index of every name again from its manifests; return the names whose index could not be written."""
    names = _names(store)
    with progress.step("index", total=len(names)) as step, ThreadPoolExecutor(_AT_ONCE) as pool:

        def one(name: str) -> bool:
            store.delete(keys.index(name))
            written = refresh(store, name)
            step.advance(1)
            return written

        return tuple(name for name, written in zip(names, pool.map(one, names), strict=True) if not written)


@dataclass(frozen=True, kw_only=True)
class _Held:
    """The listing of a name."""

    name: str
    manifests: Mapping[str, str]
    """The first 16 digits of each release's digest, with the manifest's stamp."""
    tags: Mapping[str, str]
    """Each tag with its stamp."""
    has_index: bool

    def known_to(self, *indexes: NameIndex) -> NameIndex:
        """Return the entries for it from any of the indexes."""
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
    """Return the folders that can hold releases; others, such as the catalog's, may hold many objects."""
    return tuple(name for name in store.folders() if keys.is_name(name))


def _listing(store: Store, name: str) -> _Held:
    manifests, tagged, has_index = {}, {}, False
    for entry in store.list(f"{name}/"):
        if short := keys.digest_of_key(entry.key):
            manifests[short] = entry.stamp
        elif parts := keys.tag_of_key(entry.key):
            tagged[parts[1]] = entry.stamp
        else:
            has_index = has_index or entry.key == keys.index(name)
    return _Held(name=name, manifests=manifests, tags=tagged, has_index=has_index)


def _with_shared(store: Store, held: _Held, copy: NameIndex) -> tuple[NameIndex, str | None]:
    """Return this machine's index, and where that is not enough the store's own index too.

    Anyone who can write to the store may have written the index. A sample is compared with the manifests and tags;
    if it differs, the index is not used, and the second value says so.
    """
    known = held.known_to(copy)
    missing = len(held.manifests) - len(known.releases) + len(held.tags) - len(known.tags)
    if missing < 2 or not held.has_index or not (there := store.read(keys.index(held.name))):
        return known, None
    shared = held.known_to(NameIndex.loads(there.data, held.name))
    if lie := _first_lie(store, shared, known):
        return known, f"{store.uri(keys.index(held.name))} does not say what {lie} says: nothing of it is used"
    return held.known_to(copy, shared), None


def _first_lie(store: Store, shared: NameIndex, known: NameIndex) -> str | None:
    """Return the address of a manifest or a tag, from a sample, that differs from a store's index."""
    releases = sorted(shared.releases.keys() - known.releases)
    pointers = sorted(shared.tags.keys() - known.tags)
    for short in random.sample(releases, min(_SAMPLE, len(releases))):
        found = _summary_at(store, shared.name, short)
        if isinstance(found, Listed) and found != shared.releases[short][1]:
            return keys.manifest_uri(store, shared.name, short)
    for tag in random.sample(pointers, min(_SAMPLE, len(pointers))):
        pointed_at = _pointed_at(store, shared.name, tag)
        if isinstance(pointed_at, str) and pointed_at != shared.tags[tag][1]:
            return store.uri(keys.tag(shared.name, tag))
    return None


def _complete(store: Store, looks: Sequence[tuple[_Held, NameIndex]], pool: ThreadPoolExecutor) -> list[NameIndex]:
    """Return the content of each name: known entries, and those that are read now."""
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
    """Return a release's summary; None when it is gone, the error when its manifest cannot be read."""
    try:
        release = lookup.at(store, name, short)
    except UsageError as error:
        return error
    return summary(release.manifest) if release else None


def _pointed_at(store: Store, name: str, tag: str) -> str | UsageError | None:
    try:
        found = tags.read(store, name, tag)
    except UsageError as error:
        return error
    return found.digest if found else None


def summary(manifest: Manifest) -> Listed:
    """Return a release's summary."""
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
