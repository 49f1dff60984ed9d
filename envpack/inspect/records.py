"""Check whether the packages' records in an archive match the files beside them.

Conda's records are `conda-meta/*.json`, where a file's `sha256_in_prefix`, or else its `sha256`, is that of the
file in the archive (`archive/metadata.py`). Wheels have a `RECORD`. The `RECORD` of a conda package is an ordinary
file: it describes the build machine's files.
"""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING

from envpack import digest
from envpack.files.wheel_record import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from envpack.archive.unpack import ReadMember

_WHEEL = ".dist-info/RECORD"


def is_record(path: str) -> bool:
    """Return whether a member's content is needed to know its package's files."""
    return (posixpath.dirname(path) == "conda-meta" and path.endswith(".json")) or path.endswith(_WHEEL)


def false_records(members: Sequence[ReadMember]) -> dict[str, list[str]]:
    """Return by record the paths that do not match it: with other bytes, or missing; sorted."""
    there = {member.path: member.sha256 for member in members if member.kind == "file"}
    links = {member.path for member in members if member.kind != "file"}
    told = {member.path: member.data for member in members if member.data is not None}
    found: dict[str, list[str]] = {}
    of_conda: set[str] = set()
    for record, data in sorted(told.items()):
        if not record.endswith(_WHEEL):
            files = _of_conda(data)
            of_conda |= files.keys()
            _hold(found, record, files, there, links)
    for record, data in sorted(told.items()):
        if record.endswith(_WHEEL) and record not in of_conda:
            _hold(found, record, dict(_of_wheel(record, data)), there, links)
    return found


def _hold(
    found: dict[str, list[str]],
    record: str,
    files: Mapping[str, str | None],
    there: Mapping[str, str],
    links: set[str],
) -> None:
    wrong = [path for path, sha256 in files.items() if path not in links and not _is_true(there.get(path), sha256)]
    if wrong:
        found[record] = sorted(wrong)


def _is_true(here: str | None, told: str | None) -> bool:
    return here is not None and told in (None, here)


def _of_conda(data: bytes) -> dict[str, str | None]:
    """Return the files of a conda package with their digests, None where the record has none."""
    try:
        paths = json.loads(data)["paths_data"]["paths"]
        return {
            entry["_path"]: entry.get("sha256_in_prefix") or entry.get("sha256")
            for entry in paths
            if entry.get("path_type") not in ("softlink", "directory")
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _of_wheel(path: str, data: bytes) -> Iterator[tuple[str, str | None]]:
    folder = posixpath.dirname(posixpath.dirname(path))
    try:
        rows = rows_of(data.decode("utf-8", "replace"))
    except ValueError:
        return
    for row in rows:
        if len(row) > 1:
            yield posixpath.normpath(posixpath.join(folder, row[0])), digest.of_record(row[1]) if row[1] else None
