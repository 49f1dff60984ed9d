"""The data for the pages' scripts: JavaScript files, since a page opened from a folder may not fetch JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from envpack import digest

if TYPE_CHECKING:
    from envpack.catalog.contents import Contents
    from envpack.releases.manifest import Manifest


def packages(contents: Contents) -> bytes:
    """Return which releases hold which package, for the search.

    Releases are counted through all environments, newest first in each. Neighbours mostly hold the same versions,
    so each version of a package has runs of releases: start, length, start, length.
    """
    found: dict[str, dict[str, list[int]]] = {}
    rows = []
    for number, version in enumerate(contents.versions):
        rows.append((version.listed.name, version.id, version.listed.created, list(version.tags)))
        for package in version.listed.packages:
            _extend(found.setdefault(package.name, {}).setdefault(package.version, []), number)
    by_name = [(name, list(versions.items())) for name, versions in sorted(found.items())]
    return _script("packages", {"releases": rows, "packages": by_name})


def release(manifest: Manifest) -> bytes:
    """Return one version's data for the comparison of two."""
    return _script(
        f"release/{manifest.short_digest}",
        {
            "id": manifest.short_digest,
            "python": manifest.python,
            "target": manifest.target.to_json(),
            "size": manifest.archive.size,
            "unpacked": manifest.archive.unpacked_size,
            "members": manifest.archive.members,
            "requested": list(manifest.requested),
            "variables": list(manifest.variables.items()),
            "packages": [
                (p.name, p.version, p.build or "", p.source, p.size, p.license or "", p.sha256[: digest.SHORT])
                for p in manifest.packages
            ],
        },
    )


def _extend(runs: list[int], number: int) -> None:
    if runs and runs[-2] + runs[-1] == number:
        runs[-1] += 1
    elif not runs or runs[-2] + runs[-1] < number:
        runs += [number, 1]


def _script(kind: str, value: dict[str, Any]) -> bytes:
    """Return a call that hands the value over.

    JSON with non-ASCII characters escaped is JavaScript, except for an object's key `__proto__`: names are never
    keys.
    """
    return f"catalog.take({json.dumps(kind)}, {json.dumps(value, separators=(',', ':'))});\n".encode("ascii")
