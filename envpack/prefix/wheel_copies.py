"""Check whether an installer's cached copy of a wheel still equals the wheel.

An installer keeps a wheel unpacked. Its `RECORD` proves its files when they are packed, and the notes here prove
the `RECORD`. Scripts with the first line `#!python` are not installed as they are in the wheel
(packaging.python.org, specifications/binary-distribution-format): the installer puts the interpreter's path there,
and writes its own `RECORD` for the result. Such a script is compared without its first line, and with the
installer's copy.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from envpack import digest
from envpack.files.wheel_record import rows_of
from envpack.prefix.conda_package import read_here

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpack.files.installed import Distribution

_RECORD = "RECORD"
_NOTES = frozenset({_RECORD, "INSTALLER", "REQUESTED", "direct_url.json"})
"""What installers write into a `.dist-info`."""

_LONG = rb"""/bin/sh\n'''exec'[ ][^\n]+[ ]"\$0"[ ]"\$@"\n'[ ]'''"""
"""The replacement of an interpreter whose path is too long for a first line."""

_PLACED = re.compile(rb"\A#!(?:" + _LONG + rb"|[^\n]*?/bin/python[0-9.]*)(?P<rest>.*)\Z", re.DOTALL)
"""A script whose first line an installer has written."""


def digests(wheel: Distribution) -> dict[str, str]:
    """Return the digests of a wheel's files that must not change: its `RECORD`, and its scripts by path."""
    return {_RECORD: _of_record(wheel), **{path: _of_script(wheel.prefix / path) for path in _scripts(wheel)}}


def changed(wheel: Distribution, known: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths of an installed wheel whose files differ from `known`.

    The `RECORD`, the distribution's metadata and scripts are checked; other files are compared with the `RECORD`
    when they are packed.
    """
    if known.get(_RECORD) != _of_record(wheel):
        return (f"{wheel.folder}/{_RECORD}",)
    told = [path for path in wheel.files if read_here(path) and wheel.sha256(path)]
    return (
        *(path for path in told if digest.of_bytes(_content(wheel.prefix / path)) != wheel.sha256(path)),
        *(path for path, was in known.items() if path != _RECORD and _of_script(wheel.prefix / path) != was),
    )


def spoiled_scripts(wheel: Distribution, uv_cache: Path) -> tuple[str, ...]:
    """Return the scripts whose copies in uv's cache differ from the `RECORD` beside them."""
    found: set[str] = set()
    for record in uv_cache.glob(f"archive-v*/*/{posixpath.basename(wheel.folder)}/{_RECORD}"):
        for path, sha256 in _lines(_content(record)):
            if posixpath.dirname(path).endswith(".data/scripts") and sha256:
                copy = record.parent.parent / path
                if digest.of_bytes(_content(copy)) != sha256:
                    found.add(f"bin/{posixpath.basename(path)}")
    return tuple(sorted(found))


def _of_record(wheel: Distribution) -> str:
    """Return the digest of the wheel's own `RECORD`; lines that installers add do not count."""
    return digest.of_json(sorted((path, line) for path, line in wheel.files.items() if not _is_added(wheel, path)))


def _is_added(wheel: Distribution, path: str) -> bool:
    folder, name = posixpath.split(path)
    return folder == "bin" or (folder == wheel.folder and (name in _NOTES or name.startswith("uv_")))


def _scripts(wheel: Distribution) -> list[str]:
    """Return the paths of the scripts that are in the wheel; the installer writes those of entry points."""
    made = {f"bin/{point.name}" for point in wheel.metadata.entry_points if point.group.endswith("_scripts")}
    return [path for path in wheel.files if path.startswith("bin/") and path not in made]


def _of_script(path: Path) -> str:
    data = _content(path)
    found = _PLACED.match(data)
    return digest.of_bytes(found["rest"] if found else data)


def _lines(data: bytes) -> list[tuple[str, str]]:
    try:
        rows = rows_of(data.decode("utf-8", "replace"))
    except ValueError:
        return []
    return [(row[0], digest.of_record(row[1])) for row in rows if len(row) > 1]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
