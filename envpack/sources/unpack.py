"""Unpack a source distribution: plain files, directories and links that stay inside."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import posixpath
import shutil
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from envpack.errors import BrokenPackage

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 2 << 30
MOST_FILES = 200_000

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    ValueError,
)


def unpack(archive: Path, into: Path, *, shown: str) -> Path:
    """Unpack an archive into a new directory, and return the project's own directory in it.

    A source distribution has one folder that holds all; an archive without one is the project itself. Raises
    BrokenPackage for what is damaged, too large, or would write elsewhere.
    """
    into.mkdir()
    try:
        if archive.name.lower().endswith(".zip"):
            _unpack_zip(archive, into, shown)
        else:
            with _decompressed(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as opened:
                _unpack_tar(opened, into, shown)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        raise BrokenPackage(f"the source of {shown} is damaged: {error}") from error
    _check_links(into, shown)
    inside = [path for path in into.iterdir() if path.name != "pax_global_header"]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() and not inside[0].is_symlink() else into


@contextmanager
def _decompressed(archive: Path) -> Iterator[Any]:
    name = archive.name.lower()
    with archive.open("rb") as file:
        if name.endswith((".gz", ".tgz")):
            with gzip.open(file) as stream:
                yield stream
        elif name.endswith(".bz2"):
            with bz2.open(file) as unpacked:
                yield unpacked
        elif name.endswith(".xz"):
            with lzma.open(file) as unpressed:
                yield unpressed
        else:
            yield file


class _Budget:
    """What may still be written."""

    def __init__(self, shown: str) -> None:
        self._bytes, self._files, self._shown = MOST_BYTES, MOST_FILES, shown

    def take(self, size: int) -> None:
        self._bytes -= size
        self._files -= 1
        if self._bytes < 0 or self._files < 0:
            raise BrokenPackage(
                f"the source of {self._shown} unpacks to more than {MOST_BYTES >> 30} GB or {MOST_FILES:,} files"
            )


def _unpack_tar(opened: tarfile.TarFile, into: Path, shown: str) -> None:
    budget = _Budget(shown)
    for member in opened:
        path = _inside(into, member.name, shown)
        if path == into:
            continue
        budget.take(member.size if member.isreg() else 0)
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            content = opened.extractfile(member)
            if content is not None:
                _write(path, content, executable=bool(member.mode & 0o100))
        elif member.issym() or member.islnk():
            _link(into, path, member, shown)
        elif not member.isdir():
            raise BrokenPackage(f"the source of {shown} holds {member.name!r}, which is neither file nor directory")


def _unpack_zip(archive: Path, into: Path, shown: str) -> None:
    budget = _Budget(shown)
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            path = _inside(into, info.filename, shown)
            budget.take(info.file_size)
            if info.is_dir():
                path.mkdir(parents=True, exist_ok=True)
            else:
                with opened.open(info) as content:
                    _write(path, content, executable=bool(info.external_attr >> 16 & 0o100))


def _inside(into: Path, name: str, shown: str) -> Path:
    """Return where a member goes. Raises BrokenPackage when that is not below `into`, links on the way included."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    path = into.joinpath(*parts)
    if name.startswith("/") or ".." in parts or "\0" in name or not _stays(into, path.parent):
        raise BrokenPackage(f"the source of {shown} would write outside of its directory: {name!r}")
    return path


def _stays(into: Path, path: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(into))


def _link(into: Path, path: Path, member: tarfile.TarInfo, shown: str) -> None:
    target = member.linkname
    if member.islnk():
        source = _inside(into, target, shown)
        if source.is_symlink() or not source.is_file():
            raise BrokenPackage(f"the source of {shown} links {member.name!r} to what is not in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a link of that name would be followed
        shutil.copy(source, path)
        return
    place = posixpath.join(path.parent.as_posix(), target)
    if target.startswith("/") or not _stays(into, Path(place)):
        raise BrokenPackage(f"the source of {shown} links {member.name!r} to a place outside: {target!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _check_links(into: Path, shown: str) -> None:
    """See that no link leads out now that all are there: one may lead out through another that came later."""
    for folder, folders, names in os.walk(into):
        for path in (Path(folder, name) for name in (*folders, *names)):
            if path.is_symlink() and not _stays(into, path):
                raise BrokenPackage(
                    f"the source of {shown} links {path.relative_to(into).as_posix()!r} to a place outside"
                )


def _write(path: Path, content: IO[bytes], *, executable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(0o755 if executable else 0o644)
