"""Find a prefix's path in files, and replace it by a placeholder."""

from __future__ import annotations

import re
from pathlib import Path

from envpack.archive.members import CHUNK, opened

TEXT_AT_MOST = 64 << 20
"""The largest text file that may need a prefix, in bytes."""


def starts_with(path: str, wanted: bytes) -> bool:
    """Say whether a file starts with `wanted`."""
    with opened(path) as file:
        return file.read(len(wanted)) == wanted


def contains(path: str, size: int, wanted: bytes) -> bool:
    """Say whether a file of `size` bytes contains `wanted`; it is read in pieces."""
    with opened(path) as file:
        if size <= CHUNK:
            return wanted in (file.read(size) or b"")
        kept = len(wanted) - 1
        buffer = bytearray(kept + CHUNK)
        with memoryview(buffer) as view:
            while count := file.readinto(view[kept:]):
                if buffer.find(wanted, 0, kept + count) >= 0:
                    return True
                view[:kept] = view[count : count + kept]
    return False


def text(path: str, size: int) -> bytes | None:
    """Return the content of a file that is text (UTF-8, as in conda-pack), else None."""
    if size > TEXT_AT_MOST:
        return None
    data = Path(path).read_bytes()
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    return data


def unlinked(data: bytes, prefix: bytes, placeholder: bytes) -> bytes:
    """Return a binary as it was before it was linked: with its placeholder instead of `prefix`, of the same length.

    This undoes what conda does when it links: it replaces the placeholder inside NUL-terminated strings and fills
    them up with NULs (conda_pack/prefixes.py, `binary_replace`). A string without that room is unchanged.
    """

    def restored(match: re.Match[bytes]) -> bytes:
        count = match["string"].count(prefix)
        room = count * (len(placeholder) - len(prefix))
        if len(match["end"]) <= room:
            return match[0]
        return match["string"].replace(prefix, placeholder) + match["end"][room:]

    return re.sub(b"(?P<string>" + re.escape(prefix) + rb"[^\0]*)(?P<end>\0+)", restored, data)
