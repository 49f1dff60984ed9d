"""Detect whether the files of a prefix have changed since the last time, without reading them.

As in git's index, a file whose size, times and inode are the same is the same file. The change time cannot be set
by a program, so a file that was changed and given its old times is noticed. It is ignored for a file with more than
one name: linking the same package into another prefix, or removing that, changes it. A file that was changed at the
moment of the check might not be noticed, so a prefix with such a file has no fingerprint.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from envpack.archive.ownership import Owners

_MOMENT = 100_000_000
"""Nanoseconds; kernels keep times in steps of a few milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """The state of a prefix, without bytecode."""

    prefix: str
    files: Mapping[str, str]
    """Path to what identifies the file."""

    @property
    def whole(self) -> str:
        """The digest of all."""
        return digest.of_json([self.prefix, sorted(self.files.items())])

    def identities(self, owners: Owners) -> dict[str, str]:
        """Return what identifies each package's files, by owner. The Python counts for all of them."""
        by_owner: dict[str, list[tuple[str, str]]] = {}
        for path, facts in sorted(self.files.items()):
            by_owner.setdefault(owners.of(path), []).append((path, facts))
        python = by_owner.get("conda/python")
        return {
            owner: digest.of_json([self.prefix, python, by_owner[owner]])
            for owner in owners.names
            if owner in by_owner
        }


def fingerprint(prefix: Path) -> Fingerprint | None:
    """Return the state of a prefix; None while it is being changed."""
    files: dict[str, str] = {}
    newest = 0
    for path, status in _walk(str(prefix), ""):
        changed = status.st_ctime_ns if status.st_nlink == 1 else status.st_mtime_ns
        files[path] = f"{status.st_mode} {status.st_size} {status.st_mtime_ns} {changed} {status.st_ino}"
        newest = max(newest, changed)
    if newest > time.time_ns() - _MOMENT:
        return None
    return Fingerprint(prefix=str(prefix), files=files)


def _walk(directory: str, path: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            inner = f"{path}{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                yield inner, entry.stat(follow_symlinks=False)
            elif entry.name != "__pycache__":
                yield from _walk(entry.path, f"{inner}/")
