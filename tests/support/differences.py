"""Say where two archives first differ."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path


def first_difference(one: Path, other: Path) -> str | None:
    """Return what the first differing member is and how it differs, or None when the files are equal."""
    if one.read_bytes() == other.read_bytes():
        return None
    for left, right in zip_longest(_members(one), _members(other), fillvalue=("nothing", "", b"")):
        if left[0] != right[0]:
            return f"{left[0]} stands where the other has {right[0]}"
        if left[1] != right[1]:
            return f"the heads of {left[0]} differ: {left[1]} and {right[1]}"
        if left[2] != right[2]:
            return f"the contents of {left[0]} differ: {_around(left[2], right[2])}"
    return "the members are equal, the compressed bytes are not"


def _members(archive: Path) -> Iterator[tuple[str, str, bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for entry in file.infolist():
                yield entry.filename, f"{entry.date_time} {entry.external_attr:o} {entry.extra!r}", file.read(entry)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            data = tar.extractfile(member) if member.isfile() else None
            yield member.name, str(sorted(member.get_info().items())), data.read() if data else b""


def _around(left: bytes, right: bytes) -> str:
    place = next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
    start = max(0, place - 40)
    return f"at byte {place}: {left[start : place + 40]!r} and {right[start : place + 40]!r}"
