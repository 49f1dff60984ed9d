"""Say how two environments differ: packages, facts, settings, sizes, files."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from envpack.errors import UsageError
from envpack.packages.compare import Comparison, compare, download_size
from envpack.packages.package import packages_of
from envpack.releases import file_list, lookup, references
from envpack.spark.settings import settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpack.config.config import Config
    from envpack.config.target import Target
    from envpack.lock.lock import Lock
    from envpack.packages.package import PackedPackage
    from envpack.releases.file_list import File, FileChange
    from envpack.releases.manifest import Manifest

SCHEMA = 1
"""Version of the JSON."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of two environments: a release, or what a requirements file would become."""

    label: str
    """The reference of a release, the path of a file."""
    facts: Mapping[str, str]
    """What it is for and what is inside, by name."""
    packages: tuple[PackedPackage, ...]
    sizes: Mapping[str, int]
    """Bytes by kind; without those that are known only after a build."""
    settings: Mapping[str, str] | None = None
    """The launcher's settings, by name; None when not known."""
    files: tuple[File, ...] | None = None
    """None when they are not known."""
    built: bool = True
    """Whether there is an archive; without one some facts are not known."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A named value that differs."""

    name: str
    before: str | None
    """None where there is none."""
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How one environment differs from another."""

    before: Side
    after: Side
    facts: tuple[Change, ...]
    packages: Comparison
    sizes: Mapping[str, tuple[int | None, int | None]]
    """Bytes before and after, by kind."""
    settings: tuple[Change, ...] | None
    """None when they are not known of both."""
    files: tuple[FileChange, ...] | None
    """None when they are not known of both."""
    unknown: tuple[str, ...] = ()
    """The names of facts that one side has and that are not known of the other before it is built."""
    notes: tuple[str, ...] = field(default=())
    """Why something is not known."""

    def __bool__(self) -> bool:
        """Return whether they differ in more than their size."""
        return bool(self.facts or self.packages or self.settings or self.files)

    def to_json(self) -> dict[str, Any]:
        """Return the difference as JSON values (schema: docs/diff.schema.json)."""
        return {
            "schema": SCHEMA,
            "before": self.before.label,
            "after": self.after.label,
            "facts": [asdict(change) for change in self.facts],
            "packages": {
                "added": [_brief(package) for package in self.packages.added],
                "removed": [_brief(package) for package in self.packages.removed],
                "changed": [
                    {"name": old.name, "before": _brief(old), "after": _brief(new)}
                    for old, new in self.packages.changed
                ],
            },
            "sizes": {name: {"before": old, "after": new} for name, (old, new) in self.sizes.items()},
            "settings": None if self.settings is None else [asdict(change) for change in self.settings],
            "files": None if self.files is None else [asdict(change) for change in self.files],
            "unknown": list(self.unknown),
            "notes": list(self.notes),
        }


def difference(before: Side, after: Side) -> Difference:
    """Return how the later environment differs from the earlier one."""
    sides = (before, after)
    with_settings = before.settings is not None and after.settings is not None
    with_files = before.files is not None and after.files is not None
    facts = _changes(before.facts, after.facts)
    hidden = {change.name for change in facts if _not_known(change, before, after)}
    unknown = {
        "settings": [side.label for side in sides if side.settings is None],
        "files": [side.label for side in sides if side.files is None],
    }
    return Difference(
        before=before,
        after=after,
        facts=tuple(change for change in facts if change.name not in hidden),
        unknown=tuple(change.name for change in facts if change.name in hidden),
        packages=compare(before.packages, after.packages),
        sizes={
            name: (before.sizes.get(name), after.sizes.get(name))
            for name in dict.fromkeys((*before.sizes, *after.sizes))
        },
        settings=_changes(before.settings or {}, after.settings or {}) if with_settings else None,
        files=file_list.differences(before.files or (), after.files or ()) if with_files else None,
        notes=tuple(
            f"the {what} of {' and '.join(labels)} are not known" for what, labels in unknown.items() if labels
        ),
    )


def side_of_release(text: str, config: Config) -> Side:
    """Return the release that a reference names. Raises UsageError when it names none."""
    found = references.find(text, config)
    manifest = found.release.manifest
    listed = lookup.read_beside(found.store, found.release, file_list.FILE)
    return Side(
        label=manifest.reference,
        facts={
            **_facts(manifest.python, manifest.target, manifest.requested, manifest.variables),
            "format": manifest.archive.format,
        },
        packages=manifest.packages,
        sizes={
            "archive": manifest.archive.size,
            "unpacked": manifest.archive.unpacked_size,
            "download": download_size(manifest.packages),
        },
        settings=_settings(manifest, found.release.archive_uri, config),
        files=file_list.loads(listed, found.release.manifest_uri) if listed is not None else None,
    )


def side_of_lock(label: str, lock: Lock) -> Side:
    """Return the state that a lock would become; an environment that is not built yet has nothing else."""
    packages = packages_of(lock)
    return Side(
        label=label,
        facts=_facts(lock.python, lock.target, lock.requested, lock.variables),
        packages=packages,
        sizes={"download": download_size(packages)},
        built=False,
    )


def _not_known(change: Change, before: Side, after: Side) -> bool:
    """Return whether a value is missing on a side only because nothing was built there yet.

    Activation scripts set variables, and only the packages have them; the format is an archive's.
    """
    lacking = before if change.before is None else after if change.after is None else None
    only_then = change.name == "format" or change.name.startswith("variable ")
    return lacking is not None and not lacking.built and only_then


def _facts(python: str, target: Target, requested: tuple[str, ...], variables: Mapping[str, str]) -> dict[str, str]:
    return {
        "python": python,
        **target.to_json(),
        **{f"requested {name}": "yes" for name in requested},
        **{f"variable {name}": value for name, value in variables.items()},
    }


def _settings(manifest: Manifest, archive_uri: str, config: Config) -> dict[str, str] | None:
    """Return the configured launcher's settings, without the archive's own address: it always differs."""
    try:
        settings = settings_for(manifest, archive_uri, launcher=config.launcher, spark=config.spark)
    except UsageError:
        return None
    given = {**settings.conf, **settings.env}
    return {name: value for name, value in given.items() if archive_uri not in value}


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    names = dict.fromkeys((*before, *after))
    return tuple(
        Change(name=name, before=before.get(name), after=after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    )


def _brief(package: PackedPackage) -> dict[str, Any]:
    return {
        "name": package.name,
        "version": package.version,
        "source": package.source,
        "build": package.build,
        "size": package.size,
        "unpacked_size": package.unpacked_size,
    }
