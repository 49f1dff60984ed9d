"""Join an untrusted path to a directory, and check that it stays in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def inside(directory: Path, path: str) -> Path:
    """Return `directory` joined with a relative path of `/`-separated names; the disk is not read.

    `path` may come from a store, an archive or a package. Raises UsageError unless each of its parts is the name of
    something in the directory before it: neither empty nor `.` nor `..`, and without a NUL. An absolute path has an
    empty first part. Whether a part is a symbolic link that leads elsewhere is not known here: code that writes
    below a directory that others can write to must open it with O_NOFOLLOW.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise UsageError(
            f"the path {path!r} is outside {directory}, or is not valid",
            hint="do not use the archive, package or object that has this path; check who wrote it",
        )
    return directory.joinpath(*parts)
