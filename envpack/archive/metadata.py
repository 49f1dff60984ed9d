"""The packages' metadata in a prefix, without what belongs to the build machine."""

from __future__ import annotations

import csv
import io
import json
import posixpath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from envpack import digest
from envpack.errors import BrokenPackage
from envpack.files.wheel_record import rows_of
from envpack.lock.source import public
from envpack.redact import public as without_secrets

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

DROPPED_FROM_WHEELS = frozenset({"uv_cache.json", "uv_build.json"})
"""Files that uv puts into a `*.dist-info` for its own use."""

_LOCAL_FIELDS = ("requested_spec", "requested_specs", "installed_system_menus", "indexed_timestamp")
"""The words with which a package was asked for, and the time when its channel was last indexed."""


def conda_record(data: bytes, kept: Collection[str], changed: Mapping[str, bytes | None]) -> bytes:
    """Return a `conda-meta/*.json` that is the same on every machine.

    `kept` are the paths of the archive: files that are not in it, such as other bytecode, are removed from the
    list. `changed` has the contents that differ from the package's, None for one that depends on other packages. A
    file's `sha256_in_prefix`, or else its `sha256`, is that of the file in the archive.
    """
    record: dict[str, Any] = json.loads(data)
    for name in _LOCAL_FIELDS:
        record.pop(name, None)
    record.update(extracted_package_dir="", package_tarball_full_path="", link={"source": "", "type": 1})
    for name, value in record.items():
        if isinstance(value, str) and "://" in value:
            record[name] = without_secrets(value)
    if record.get("url"):
        record["url"] = public(record["url"])
    if record.get("channel"):
        record["channel"] = _public_channel(record["channel"])
    record["files"] = sorted(set(record.get("files", ())) & set(kept))
    paths = record.get("paths_data", {})
    if "paths" in paths:
        entries = sorted(paths["paths"], key=lambda entry: entry["_path"])
        paths["paths"] = [_path_entry(entry, changed) for entry in entries if entry["_path"] in kept]
    return (json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _public_channel(channel: str) -> str:
    scheme = urlsplit(channel).scheme
    local = scheme == "file" or (not scheme and channel.startswith("/"))
    return "file:///" if local else without_secrets(channel)


def _path_entry(entry: dict[str, Any], changed: Mapping[str, bytes | None]) -> dict[str, Any]:
    """Return an entry with the digest of the file in the archive, and without what applies only to this machine."""
    path = entry["_path"]
    dropped = {"sha256_in_prefix"}
    if entry.get("prefix_placeholder"):
        dropped |= {"size_in_bytes"}
    # Bytecode is made for the archive; the package's own does not count.
    made = entry.get("path_type") not in ("hardlink", "softlink", "directory") or path.endswith(".pyc")
    if made or path in changed:
        dropped |= {"size_in_bytes"}
    if made or (path in changed and changed[path] is None):
        dropped |= {"sha256"}
    kept = {name: value for name, value in entry.items() if name not in dropped}
    content = changed.get(path)
    here = None if content is None else digest.of_bytes(content)
    return kept if here in (None, kept.get("sha256")) else {**kept, "sha256_in_prefix": here}


def direct_url(data: bytes) -> bytes | None:
    """Return a `direct_url.json` (PEP 610) without credentials; None if it names a path on this machine."""
    try:
        facts = json.loads(data)
        scheme = urlsplit(facts["url"]).scheme
    except (ValueError, KeyError, TypeError):
        return None
    if scheme not in ("http", "https") and "+" not in scheme:
        return None
    return json.dumps({**facts, "url": without_secrets(facts["url"])}, separators=(",", ":")).encode()


def record_of_wheel(
    data: bytes, dist_info: str, changed: Mapping[str, bytes | None], kept: Collection[str]
) -> bytes:
    """Return a wheel's `RECORD` for the files in the archive, sorted by path.

    `dist_info` is the directory of the `RECORD`; `changed` has the contents that differ from the installed ones,
    None for one that depends on other packages. Paths that are not in `kept` lose their line, and so does bytecode,
    as the format allows. Raises BrokenPackage for a `RECORD` that cannot be read.
    """
    lines = []
    try:
        rows = rows_of(data.decode())
    except ValueError as error:
        raise BrokenPackage(
            f"{dist_info}/RECORD cannot be read: {error}",
            hint="install the package again (`pip install --force-reinstall NAME`)",
        ) from error
    for row in rows:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(dist_info), row[0]))
        if path not in kept or path.endswith(".pyc"):
            continue
        if path in changed and len(row) > 1 and row[1]:
            content = changed[path]
            row[1:] = ["", ""] if content is None else [digest.for_record(content), str(len(content))]
        lines.append(row)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(lines))
    return text.getvalue().encode()
