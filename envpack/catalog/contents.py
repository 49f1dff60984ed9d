"""What a catalog shows: a store's environments, each with its versions and tags."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from envpack import digest
from envpack.errors import UsageError
from envpack.releases import index, lookup
from envpack.releases.tags import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from envpack.releases.listed import Listed, NameIndex
    from envpack.releases.lookup import Release
    from envpack.stores.base import Store

PROD = "prod"
"""The tag of the release that a team's jobs use, by convention."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Version:
    """One release among those of its environment."""

    listed: Listed
    stamp: str
    """Changes with its manifest."""
    tags: tuple[str, ...]
    """The tags that point at it, `latest` first, the others sorted."""
    before: Listed | None
    """The release that was built before it."""
    after: Listed | None
    """The release that was built after it."""

    @property
    def id(self) -> str:
        """What identifies it among the versions, in addresses and in references."""
        return self.listed.digest[: digest.SHORT]

    @property
    def created(self) -> datetime:
        """When it was built."""
        return _moment(self.listed.created)

    @property
    def growth(self) -> int | None:
        """By how many bytes its archive is larger than that of the release before; None for the first."""
        return self.listed.size - self.before.size if self.before else None

    @property
    def changes(self) -> Counter[str] | None:
        """How many packages were `changed`, `added` and `removed` since the release before; None for the first."""
        return _count(self.before, self.listed) if self.before else None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """All releases of one name."""

    name: str
    versions: tuple[Version, ...]
    """Newest first; never empty."""

    @property
    def current(self) -> Version:
        """The version that `NAME` alone refers to, or the newest where `latest` was never set."""
        return next((version for version in self.versions if LATEST in version.tags), self.versions[0])

    @property
    def lead(self) -> tuple[str, Version]:
        """The reference and the version that most readers need: `prod`, else the current one."""
        tagged = dict(self.tags)
        for tag in (PROD, LATEST):
            if tag in tagged:
                return f"{self.name}:{tag}", tagged[tag]
        return f"{self.name}@{self.current.id}", self.current

    @property
    def tags(self) -> tuple[tuple[str, Version], ...]:
        """Every tag with its version, `latest` first, the others sorted."""
        pairs = [(tag, version) for version in self.versions for tag in version.tags]
        return tuple(sorted(pairs, key=lambda pair: _latest_first(pair[0])))


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The content of a store at one time."""

    store: str
    """The store's URL."""
    environments: tuple[Environment, ...]
    """Sorted by name."""
    passed_over: tuple[str, ...] = ()
    """Invalid objects in the place of a release or a tag, with the reason."""

    @property
    def versions(self) -> Iterator[Version]:
        """Every version of every environment."""
        return (version for environment in self.environments for version in environment.versions)


def read(store: Store, copies: Path) -> Contents:
    """Return the content of a store; `copies` is where this machine keeps indexes.

    Data from other tools are checked before they are used.
    """
    environments, passed_over = [], list[str]()
    for found in index.read(store, copies):
        passed_over += found.problems
        if found.releases:
            environments.append(_environment(found, list(found.releases.values())))
    return Contents(store=store.url, environments=tuple(environments), passed_over=tuple(passed_over))


def load(store: Store, listed: Listed) -> Release | None:
    """Return a release with its manifest, or None where it is gone by now or cannot be shown."""
    try:
        return lookup.at(store, listed.name, listed.digest)
    except UsageError:
        return None


def _environment(found: NameIndex, sound: Sequence[tuple[str, Listed]]) -> Environment:
    newest_first = sorted(sound, key=lambda pair: (_moment(pair[1].created), pair[1].digest), reverse=True)
    listed = [each for _, each in newest_first]
    versions = tuple(
        Version(
            listed=each,
            stamp=stamp,
            tags=tuple(sorted(found.tags_of(each.digest), key=_latest_first)),
            before=before,
            after=after,
        )
        for (stamp, each), before, after in zip(
            newest_first, [*listed[1:], None], [None, *listed[:-1]], strict=True
        )
    )
    return Environment(name=found.name, versions=versions)


def _count(before: Listed, after: Listed) -> Counter[str]:
    old, new = ({package.name: package for package in listed.packages} for listed in (before, after))
    return Counter(
        changed=sum(1 for name, package in new.items() if old.get(name, package) != package),
        added=len(new.keys() - old.keys()),
        removed=len(old.keys() - new.keys()),
    )


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if found.tzinfo is None:
        raise ValueError(f"no time zone: {text}")
    return found


def _latest_first(tag: str) -> tuple[bool, str]:
    return tag != LATEST, tag
