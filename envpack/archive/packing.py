"""Pack a prefix into one archive."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from envpack.archive import links, targz, zip  # noqa: A004 - the format's name
from envpack.archive.cores import cores
from envpack.archive.deflate import LEVEL
from envpack.archive.deflate import VERSION as DEFLATE_VERSION
from envpack.errors import PackingFailed
from envpack.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.manifest import Format
    from envpack.progress import Progress

PACKER = f"1/conda-pack-{version('conda-pack')}/zlib-ng-{DEFLATE_VERSION}"
"""What writes the bytes: the same prefix gives the same bytes as long as this is the same.

The number is ours: raise it with every change of what `pack` or `compile_prefix` write. Part of the input digest.
"""

_MOST_THREADS = 16
"""More would wait for the one that reads, and each keeps a few blocks in memory."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """An archive that was written."""

    path: Path
    format: Format
    size: int
    """Bytes."""
    sha256: str
    """The digest."""
    unpacked_size: int
    """Bytes of all files when unpacked."""
    members: int
    """How many files, links and directories it holds."""


def pack(
    prefix: Path,
    out: Path,
    *,
    format: Format = "tar.gz",
    level: int = LEVEL,
    threads: int | None = None,
    bytecode: Path | None = None,
    progress: Progress = SILENT,
) -> Packed:
    """Write the archive of a conda prefix to `out`, in place of what may be there; the prefix is only read.

    The bytes depend on the content of the prefix, on `format` and on `level` (1 to 9), and on nothing else: not on
    where the prefix is, who packs it, when, or with how many `threads` (default: one for each core). Memory does
    not grow with the prefix. Bytecode is taken only where it is the same everywhere, as `compile_prefix` writes it,
    from the directory `bytecode` or else from the prefix; other pyc files stay behind.

    Raises PackingFailed for a prefix that would not work elsewhere (files missing or overwritten, links and
    editable packages that lead out of it), and when `out` cannot be written.
    """
    from envpack.archive.selection import select  # noqa: PLC0415 - conda_pack takes 0.1 s to import

    # Not resolve(): the files name the prefix as it was called when it was made.
    prefix, out = Path(os.path.abspath(prefix)), Path(os.path.abspath(out))  # noqa: PTH100
    with progress.step("pack", unit="bytes") as step, _explained(out), _whole(out) as file:
        members = select(prefix, bytecode=bytecode, progress=progress)
        links.check(members)
        if format == "zip":
            members = links.followed(members, progress)
        size = sum([member.size for member in members])
        step.total(size)
        threads = threads or min(cores(), _MOST_THREADS)
        if format == "zip":
            zip.write(members, file, level=level, threads=threads, scratch=out.parent, step=step)
        else:
            targz.write(members, file, level=level, threads=threads, step=step)
        step.note(f"packed to {file.size / 1e6:,.1f} MB, {len(members):,} members")
    return Packed(
        path=out,
        format=format,
        size=file.size,
        sha256=file.digest.hexdigest(),
        unpacked_size=size,
        members=len(members),
    )


class _Hashed:
    """Writes to a file and digests what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Write all of `data`."""
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)


@contextmanager
def _whole(path: Path) -> Iterator[_Hashed]:
    """Open a file that appears under its name when it is complete, or not at all."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            yield _Hashed(file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _explained(out: Path) -> Iterator[None]:
    """Tell trouble with `out` from trouble with the files that are read."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message, hint = f"no space is left to write {out}", "free some, or pack to another file system"
        elif error.filename and Path(error.filename).parent != out.parent:
            message, hint = (
                f"cannot read {error.filename}: {error.strerror}",
                "pack as a user who may read all of it",
            )
        else:
            message, hint = (
                f"cannot write {out}: {error.strerror}",
                "does the directory exist, and may you write there?",
            )
        raise PackingFailed(message, hint=hint) from error
