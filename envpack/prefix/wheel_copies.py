"""Is what an installer's cache holds of a wheel still what the wheel was.

An installer keeps a wheel unpacked. Its `RECORD` proves its files as they are packed, and what is noted here proves
the `RECORD`. Scripts with the first line `#!python` are not installed as they are in the wheel
(packaging.python.org, specifications/binary-distribution-format): the installer puts the interpreter's path there,
and writes a `RECORD` of its own for what came of it. Such a script is turned back before it is compared.
"""

from __future__ import annotations

import csv
import posixpath
import re
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING

from envpack import digest
from envpack.prefix.arrivals import local_path
from envpack.prefix.conda_package import read_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from envpack.files.installed import Distribution
    from envpack.lock.lock import Wheel

_RECORD = "RECORD"

_LONG = rb"""/bin/sh\n'''exec'[ ][^\n]+[ ]"\$0"[ ]"\$@"\n'[ ]'''"""
"""What stands for an interpreter whose path is too long for a first line."""

_PLACED = re.compile(rb"\A#!(?:" + _LONG + rb"|[^\n]*?/bin/python[0-9.]*)(?P<rest>.*)\Z", re.DOTALL)
"""A script whose first line an installer has written; `rest` is what followed `#!python` in the wheel."""

_WRITTEN_AS = (b"#!python", b"#!pythonw")

_LARGEST = 64 << 20


def digests(wheel: Distribution, locked: Wheel, uv_cache: Path) -> dict[str, str]:
    """Return the digests of what must not change of an installed wheel: its `RECORD`, its scripts in the wheel."""
    return {_RECORD: _of_record(wheel), **_scripts(wheel, locked, uv_cache)}


def changed(wheel: Distribution, known: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths of an installed wheel that are no longer what is `known` of them.

    Looked at are the `RECORD`, what the distribution says of itself, and scripts; other files are held against the
    `RECORD` when they are packed.
    """
    if known.get(_RECORD) != _of_record(wheel):
        return (f"{wheel.folder}/{_RECORD}",)
    told = [path for path in wheel.files if read_here(path) and wheel.sha256(path)]
    return (
        *(path for path in told if digest.of_bytes(_content(wheel.prefix / path)) != wheel.sha256(path)),
        *(path for path, sha256 in known.items() if path != _RECORD and not _was(wheel.prefix / path, sha256)),
    )


def _of_record(wheel: Distribution) -> str:
    """Return the digest of what the wheel's own `RECORD` said; lines that installers add do not count."""
    return digest.of_json(sorted((path, line) for path, line in wheel.files.items() if not _is_added(wheel, path)))


def _is_added(wheel: Distribution, path: str) -> bool:
    folder, name = posixpath.split(path)
    return folder == "bin" or (folder == wheel.folder and (name in _NOTES or name.startswith("uv_")))


_NOTES = frozenset({_RECORD, "INSTALLER", "REQUESTED", "direct_url.json"})


def _scripts(wheel: Distribution, locked: Wheel, uv_cache: Path) -> dict[str, str]:
    """Return the digests of a wheel's scripts as they are in the wheel, by where they are installed."""
    name = posixpath.basename(wheel.folder)
    listed = _lines_of_file(locked, name) or _lines_of_cache(uv_cache, name)
    return {
        f"bin/{posixpath.basename(path)}": sha256
        for path, sha256 in listed
        if posixpath.dirname(path).endswith(".data/scripts") and sha256
    }


def _lines_of_file(locked: Wheel, folder: str) -> list[tuple[str, str]]:
    """Return the lines of the `RECORD` in the wheel's file, where it is on this machine."""
    path = local_path(locked.url)
    with suppress(OSError, KeyError, ValueError, zipfile.BadZipFile):
        if path:
            with zipfile.ZipFile(path) as file, file.open(f"{folder}/{_RECORD}") as record:
                return list(_lines(record.read(_LARGEST)))
    return []


def _lines_of_cache(uv_cache: Path, folder: str) -> list[tuple[str, str]]:
    """Return the lines of the `RECORD` in uv's cache, which has wheels as they are in their files."""
    with suppress(OSError):
        for path in sorted(uv_cache.glob(f"archive-v*/*/{folder}/{_RECORD}")):
            return list(_lines(path.read_bytes()))
    return []


def _lines(record: bytes) -> Iterator[tuple[str, str]]:
    for row in csv.reader(record.decode("utf-8", "replace").splitlines()):
        if len(row) > 1:
            yield row[0], digest.of_record(row[1])


def _was(path: Path, sha256: str) -> bool:
    """Say whether an installed script is one that had a digest in its wheel."""
    data = _content(path)
    found = _PLACED.match(data)
    texts = [data, *(first + found["rest"] for first in _WRITTEN_AS if found)]
    return any(digest.of_bytes(text) == sha256 for text in texts)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
