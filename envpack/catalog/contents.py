"""What a catalog shows: a store's environments, each with its versions and tags."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

from envpack import releases, tags
from envpack.comparison import Comparison, compare
from envpack.errors import UsageError
from envpack.tags import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from envpack.manifest import Manifest
    from envpack.releases import Release
    from envpack.stores.base import Store
    from envpack.tags import Tag

_READERS = 8
"""How many tags are read at once; a store may be far."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Version:
    """One release among those of its environment."""

    release: Release
    tags: tuple[str, ...]
    """The tags that point at it, `latest` first, the others sorted."""
    before: Release | None
    """The release that was built before it."""
    after: Release | None
    """The release that was built after it."""

    @property
    def manifest(self) -> Manifest:
        """What is known of it."""
        return self.release.manifest

    @property
    def id(self) -> str:
        """What tells it from the other versions, in addresses and in references."""
        return self.manifest.short_digest

    @property
    def created(self) -> datetime:
        """When it was built."""
        return moment(self.manifest.created)

    @cached_property
    def changes(self) -> Comparison | None:
        """How its packages differ from those of the release before; None for the first."""
        return compare(self.before.manifest.packages, self.manifest.packages) if self.before else None

    @property
    def growth(self) -> int | None:
        """By how many bytes its archive is larger than that of the release before; None for the first."""
        return self.manifest.archive.size - self.before.manifest.archive.size if self.before else None


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
    def tags(self) -> tuple[tuple[str, Version], ...]:
        """Every tag with its version, `latest` first, the others sorted."""
        pairs = [(tag, version) for version in self.versions for tag in version.tags]
        return tuple(sorted(pairs, key=lambda pair: _latest_first(pair[0])))


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What one look at a store has found."""

    store: str
    """The store's URL."""
    environments: tuple[Environment, ...]
    """Sorted by name."""
    passed_over: tuple[str, ...] = ()
    """What lies where a release should and is none, with the reason."""

    @property
    def versions(self) -> Iterator[Version]:
        """Every version of every environment."""
        return (version for environment in self.environments for version in environment.versions)


def read(store: Store) -> Contents:
    """Return what a store holds. What other people's tools have put there is checked before it is believed."""
    sound, passed_over = [], []
    for release in releases.releases(store):
        flaw = _flaw(release)
        if flaw:
            passed_over.append(f"{release.manifest_uri}: {flaw}")
        else:
            sound.append(release)
    by_name = {name: list(found) for name, found in groupby(sorted(sound, key=_name), key=_name)}
    with ThreadPoolExecutor(_READERS) as pool:
        tagged = pool.map(lambda name: tags.of_name(store, name), by_name)
    pairs = zip(by_name.items(), tagged, strict=True)
    return Contents(
        store=store.url,
        environments=tuple(_environment(name, found, own) for (name, found), own in pairs),
        passed_over=tuple(passed_over),
    )


def moment(text: str) -> datetime:
    """Return the time that a manifest's `created` names. Raises ValueError where it names none."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if found.tzinfo is None:
        raise ValueError(f"no time zone: {text}")
    return found


def _name(release: Release) -> str:
    return release.manifest.name


def _environment(name: str, found: Iterable[Release], tagged: Mapping[str, Tag]) -> Environment:
    newest_first = sorted(found, key=lambda release: moment(release.manifest.created), reverse=True)
    versions = tuple(
        Version(
            release=release,
            tags=tuple(
                sorted((t for t, to in tagged.items() if to.digest == release.manifest.digest), key=_latest_first)
            ),
            before=before,
            after=after,
        )
        for release, before, after in zip(
            newest_first, [*newest_first[1:], None], [None, *newest_first[:-1]], strict=True
        )
    )
    return Environment(name=name, versions=versions)


def _latest_first(tag: str) -> tuple[bool, str]:
    return tag != LATEST, tag


def _flaw(release: Release) -> str | None:
    """Return why a manifest is not shown, or None: its values go into addresses, sums and plots."""
    manifest = release.manifest
    try:
        releases.check_name(manifest.name)
        moment(manifest.created)
    except (UsageError, ValueError, TypeError, AttributeError) as error:
        return error.message if isinstance(error, UsageError) else f"created at {manifest.created!r}"
    archive: Any = manifest.archive
    if not (isinstance(archive.sha256, str) and _DIGEST.fullmatch(archive.sha256)):
        return f"its digest is {archive.sha256!r}"
    if not release.manifest_uri.endswith(f"/{manifest.name}/{manifest.short_digest}/manifest.json"):
        return f"it describes {manifest.reference}, which lies elsewhere"
    counts = (archive.size, archive.unpacked_size, archive.members)
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        return f"sizes that are no sizes: {counts}"
    return _odd_values(manifest)


def _odd_values(manifest: Manifest) -> str | None:
    texts: list[Any] = [manifest.python, manifest.envpack, manifest.verified, manifest.archive.file]
    texts += [*manifest.requested, *manifest.warnings, *manifest.variables.values()]
    if manifest.provenance:
        texts += [
            value for value in astuple(manifest.provenance) if value is not None and not isinstance(value, bool)
        ]
    packages: tuple[Any, ...] = manifest.packages
    for package in packages:
        if not isinstance(package.size, int | None):
            return f"the size of {package.name!r} is {package.size!r}"
        texts += [package.name, package.version, package.source, package.sha256]
        texts += [text for text in (package.build, package.license) if text is not None]
    odd = next((text for text in texts if not isinstance(text, str)), None)
    return f"not a text: {odd!r}" if odd is not None else None
