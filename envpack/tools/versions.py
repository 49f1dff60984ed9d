"""Versions of the Python packages that envpack runs with."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_INFO = ".dist-info"


def versions(*names: str) -> list[str]:
    """Return the versions of installed packages, in the order of the names.

    They are in the names of the directories that installers make
    (https://packaging.python.org/en/latest/specifications/recording-installed-packages/). Importing
    importlib.metadata takes 11 ms of the 131 for packing a small environment again; it is used only without such a
    directory. Raises its PackageNotFoundError where it has none either.
    """
    found: dict[str, str] = {}
    for path in sys.path:
        for name, version in _in(path):
            found.setdefault(name, version)
    return [found.get(_normalized(name)) or _from_metadata(name) for name in names]


def _in(path: str) -> Iterator[tuple[str, str]]:
    try:
        entries = [entry.name for entry in os.scandir(path or ".")]
    except OSError:  # an archive, or missing
        return
    for entry in entries:
        name, _, version = entry.removesuffix(_INFO).partition("-")
        if entry.endswith(_INFO) and version:
            yield _normalized(name), version


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _from_metadata(name: str) -> str:
    from importlib.metadata import version  # noqa: PLC0415 - see above

    return version(name)
