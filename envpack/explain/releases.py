"""Findings about the release that an application ran in, compared with its store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack.errors import UsageError
from envpack.explain.findings import Unevaluated, found
from envpack.explain.selection import python_of
from envpack.packages import advisories
from envpack.releases import lookup, references, tags
from envpack.spark.versions import dotted
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.explain.findings import Case, Found
    from envpack.explain.limits import Severity
    from envpack.explain.run import Run
    from envpack.releases.lookup import Release
    from envpack.stores.base import Store

_ARCHIVE = re.compile(r".*/(?P<name>[a-z0-9][a-z0-9._-]*)/(?P<digest>[0-9a-f]{16})/(?P=name)-(?P=digest)\.[a-z.]+")
_SEVERITY: dict[str, Severity] = {"critical": "high", "high": "high", "moderate": "moderate", "low": "info"}
"""By an advisory's severity; what is critical here broke tasks."""

NO_STORE = "no store was named: --store URL compares the archive with its release"
"""Why nothing was compared, where no store is configured."""


def release_of(run: Run, store: Store) -> Release | None:
    """Return the release whose archive an application was given, or None if the store does not have it.

    Raises the store's errors.
    """
    for name, digest in _named(run):
        try:
            return references.resolve(store, f"{name}@{digest}")
        except UsageError:
            continue
    return None


def from_the_store(case: Case) -> Iterator[Found]:
    """Yield the store's findings on the archive: missing, not the newest, for another Spark."""
    named = _named(case.run)
    if not named:
        return
    if case.store is None:
        for name in ("unknown-release", "other-spark", "tag-moved"):
            yield Unevaluated(name=name, reason=case.no_store or NO_STORE)
        return
    if case.release is None:
        name, digest = named[0]
        yield from found(
            "unknown-release",
            f"the store {case.store.url} has no release {name}@{digest}, in whose archive the application ran",
            1,
            quote=f"{name}/{digest}",
            advice="it was removed, or comes from another store: use a release of this store, by its digest",
            settings=[f"envpack list {name}"],
        )
        return
    yield from _against(case.run, case.store, case.release)


def vulnerable(case: Case) -> Iterator[Found]:
    """Yield the known vulnerabilities of the release that the application ran in."""
    if case.release is None:
        return
    if case.vulnerable is None:
        yield Unevaluated(
            name="vulnerable", reason="no advisories were named: --advisories PATH, as of envpack audit"
        )
        return
    manifest = case.release.manifest
    known = case.vulnerable(manifest.packages)
    if not known:
        return
    worst = max(known, key=lambda each: advisories.LEVELS.index(each.severity))
    more = f", and {len(known) - 1} more" if len(known) > 1 else ""
    yield from found(
        "vulnerable",
        f"{manifest.reference} has {count(len(known), 'known vulnerability', 'known vulnerabilities')}: "
        f"{worst.package.name} {worst.package.version} {worst.ids[0]}{more}",
        len(known),
        severity=_SEVERITY[worst.severity],
        quote=manifest.folder,
        advice=str(worst),
        settings=[f"envpack audit {manifest.reference} --advisories PATH"],
    )


def _against(run: Run, store: Store, release: Release) -> Iterator[Found]:
    manifest = release.manifest
    built, ran = manifest.target.spark, run.version
    if built and ran and built.split(".")[:2] != [str(part) for part in ran]:
        yield from found(
            "other-spark",
            f"{manifest.reference} was built for Spark {built}, and the application ran on Spark {run.spark}",
            1,
            quote=f"Spark Version {run.spark}",
            advice="build it for this Spark: packages are kept to what works with it",
            settings=[f"envpack build FILE --spark {dotted(ran)}"],
        )
    latest = lookup.tagged(store, manifest.name, tags.LATEST)
    if latest and latest.manifest.digest != manifest.digest:
        yield from found(
            "tag-moved",
            f"the application ran in {manifest.reference}; `latest` is {latest.manifest.reference} by now",
            1,
            quote=manifest.folder,
            advice="see what has changed before the next run",
            settings=[f"envpack diff {manifest.reference} {manifest.name}"],
        )


def _named(run: Run) -> list[tuple[str, str]]:
    """Return name and digest of each archive that is in an envpack place."""
    matches = (_ARCHIVE.fullmatch(uri) for uri in python_of(run).archives)
    return [(match["name"], match["digest"]) for match in matches if match]
