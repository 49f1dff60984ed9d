"""Unpack an archive; no member can get out of the target directory."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import posixpath
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import IO, TYPE_CHECKING, Literal, NamedTuple, cast

from isal import igzip_threaded, isal_zlib
from isal.isal_zlib import error as IsalError  # noqa: N812 - isal names its exception as zlib does

from envpack.archive.formats import DEFAULT, FORMATS, format_of
from envpack.errors import UsageError, VerificationFailed
from envpack.files.inside import inside
from envpack.files.workspace import room
from envpack.progress import SILENT, Progress, Step
from envpack.units import human_size

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from envpack.archive.pieces import Facts

_CHUNK = 1 << 18
_WHOLE_AT_MOST = 256 << 20
_BAD_DATA = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, ValueError,
    OverflowError, IndexError, NotImplementedError, RuntimeError, struct.error,
)  # fmt: skip
"""Exceptions of the formats' readers for malicious headers and content."""

_LONGEST_NAME, _LONGEST_PATH = 255, 2048
"""Bytes; Linux allows paths of 4095, including the directory that is unpacked into."""

_SPARE = 100
"""The number of directories that any archive may name repeatedly."""

_LONGEST_HEADER = 1 << 20
"""Bytes of an extended header of a tar, which is read whole."""

_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

_SPARSE, _ReadError = tarfile.GNUTYPE_SPARSE, tarfile.ReadError

_BROKEN: tuple[type[tarfile.HeaderError], ...] = (
    tarfile.InvalidHeaderError,  # type: ignore[attr-defined]  # the types leave them out
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
)
"""After the first header, tarfile takes these for the end of the archive."""

_FOLDER = 0o755

Opener = Callable[[IO[bytes]], AbstractContextManager[IO[bytes]]]
"""Opens the content of a compressed file."""

Reader = Callable[["Path", Step], Iterator["FoundMember"]]
"""Reads the members of an archive; the step advances by bytes of the archive."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The limits of an archive's content."""

    size: int
    """Bytes of all files."""
    members: int
    """Files, links and directories; a tar may name a directory more than once."""


def unpack(
    archive: Path,
    directory: Path,
    *,
    extent: Extent | None = None,
    read_only: bool = False,
    progress: Progress = SILENT,
) -> None:
    """Unpack an archive into `directory`, which appears complete or not at all.

    Files become 0644, or 0755 when they can be run, and directories 0755, independent of the umask; with
    `read_only` nobody may write. Directories that are made above `directory` follow the umask. Leftovers of a
    killed process beside the directory are removed.

    Raises UsageError when `directory` is not empty, cannot be written or has no room for what the archive may hold,
    and VerificationFailed when the archive is damaged, holds more than it may or has members that lead out of the
    directory; the error names them all.
    """
    check_empty(directory)
    directory = directory.absolute()
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        _check_room(directory.parent, extent)
        with room(directory.parent, f".{directory.name}.part-") as part:
            tree = part / "tree"
            _make_folder(tree)
            with progress.step("unpack", total=archive.stat().st_size, unit="bytes") as step:
                refused = extract(archive, tree, extent=extent, read_only=read_only, step=step)
            if refused:
                raise VerificationFailed([f"{archive.name}: {reason}" for reason in refused])
            tree.chmod(_FOLDER)  # moving a directory requires write permission for it
            tree.replace(directory)
            if read_only:
                directory.chmod(0o555)
    except OSError as error:
        raise UsageError(
            f"cannot unpack into {directory}: {error.strerror or error}",
            hint="give a directory that you can write to and that has enough space",
        ) from error


def _check_room(directory: Path, extent: Extent | None) -> None:
    free = shutil.disk_usage(directory).free
    if extent and extent.size > free:
        raise UsageError(
            f"not enough disk space in {directory}: {human_size(extent.size)} are needed, {human_size(free)} "
            "are free",
            hint="free space, or give a directory on another disk",
        )


def check_empty(directory: Path) -> None:
    """Raise UsageError unless a directory is empty or missing."""
    if directory.is_dir() and any(directory.iterdir()):
        raise UsageError(
            f"{directory} is not empty", hint="give an empty directory, or one that does not exist yet"
        )
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file", hint="give an empty directory, or one that does not exist yet")


class ReadMember(NamedTuple):
    """A member of an archive that was read."""

    path: str
    kind: str
    """`file`, `directory`, `link`, `hard link` or `device or pipe`."""
    size: int
    """Bytes of a file."""
    link: str
    """A link's target."""
    sha256: str
    """Digest of a file's content; else empty."""
    data: bytes | None
    """The content, if it was wanted."""


def read_members(
    archive: Path, wanted: Callable[[str], bool], step: Step | None = None, *, extent: Extent | None = None
) -> Iterator[ReadMember]:
    """Yield each member with the digest of its content, and the content where its path is `wanted`.

    The archive is read to its end. Raises VerificationFailed when it is damaged or holds more than it may.
    """
    try:
        for member in _bounded(_reader_of(archive)(archive, step or Step()), extent, archive.name):
            path = posixpath.normpath(member.name)
            sha256, data = _content(member, keep=wanted(path)) if member.kind == "file" else ("", None)
            yield ReadMember(path, member.kind, member.size, member.target, sha256, data)
    except (*_BAD_DATA, cast("type[Exception]", IsalError)) as error:
        raise VerificationFailed(
            f"{archive.name} is damaged, or its format does not match its extension: {error}",
            hint="build the release again, or download the archive again",
        ) from error


def _content(member: FoundMember, *, keep: bool) -> tuple[str, bytes | None]:
    """Return the digest of a file's content, and the content if it is to be kept and not too large."""
    hashed, kept = hashlib.sha256(), bytearray()
    if member.open:
        with member.open() as file:
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
                if keep and member.size <= _WHOLE_AT_MOST:
                    kept += chunk
    return hashed.hexdigest(), bytes(kept) if keep else None


def extract(
    archive: Path,
    directory: Path,
    *,
    extent: Extent | None = None,
    read_only: bool = False,
    step: Step | None = None,
    read: Reader | None = None,
    replaces: bool = False,
    shown: str | None = None,
) -> list[str]:
    """Write an archive's safe members into an empty directory, and return why each other member was refused.

    With `read_only`, files and directories end without write permission, as in a node's cache. The archive's own
    checksums are checked, which nodes never do. `step` advances by bytes of the archive. `read` reads another kind
    of archive than those of environments; with `replaces` a later member replaces an earlier one of its name, as in
    tar. `shown` is the archive's name in errors. Raises VerificationFailed when the archive is damaged, holds more
    than it may or is not what its suffix says.
    """
    tree = _Tree(root=directory, read_only=read_only, replaces=replaces)
    shown = shown or archive.name
    try:
        for member in _bounded((read or _reader_of(archive))(archive, step or Step()), extent, shown):
            tree.add(member)
        tree.finish()
    except (*_BAD_DATA, cast("type[Exception]", IsalError)) as error:
        raise VerificationFailed(
            f"{shown} is damaged, or its format does not match its extension: {error}",
            hint="build the release again, or download the archive again",
        ) from error
    return tree.refused


def extract_pieces(
    archive: Path,
    pieces: Iterable[tuple[int, Facts]],
    directory: Path,
    *,
    wanted: Callable[[str], bool] = lambda _: True,
    step: Step | None = None,
) -> list[str]:
    """Write the members of some pieces of a tar, compressed or not, into a directory that may have others.

    Each piece comes with its first byte in the archive. Their directories are written, and the paths that are
    `wanted` and do not exist yet. Files end without write permission; directories keep it, as further pieces may
    follow. Returns as `extract` does, and raises VerificationFailed when a piece is damaged.
    """
    format = format_of(archive.name) or FORMATS[DEFAULT]
    tree = _Tree(root=directory, read_only=True, begun=True)
    try:
        for start, facts in pieces:
            with archive.open("rb") as raw:
                raw.seek(start)
                data = _Records(raw, facts, compressed=format.compressed)
                with tarfile.open(
                    fileobj=cast("IO[bytes]", data), mode="r|", bufsize=_CHUNK, tarinfo=_Header
                ) as tar:
                    for info in tar:
                        if info.isdir() or wanted(posixpath.normpath(info.name)):
                            tree.add(_tar_member(tar, info))
                        tar.members = []  # type: ignore[attr-defined]  # see below
                data.check()
            (step or Step()).advance(facts.length)
        tree.finish()
    except (*_BAD_DATA, cast("type[Exception]", IsalError)) as error:
        raise VerificationFailed(
            f"{archive.name} is damaged: {error}", hint="run `envpack build FILE` again"
        ) from error
    return tree.refused


class _Records:
    """The tar records of one piece, decompressed as they are read."""

    def __init__(self, raw: IO[bytes], facts: Facts, *, compressed: bool) -> None:
        self._raw, self._facts, self._left = raw, facts, facts.length
        self._inflate = _Members() if compressed else None
        self._ready = memoryview(b"")
        self._digest = hashlib.sha256()
        self._size = 0

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none at the end of the piece."""
        while not self._ready and self._left:
            data = self._raw.read(min(self._left, _CHUNK))
            if not data:
                raise EOFError("it ends too soon")
            self._left -= len(data)
            self._digest.update(data)
            if self._inflate:
                data = self._inflate.decompress(data)
            self._size += len(data)
            self._ready = memoryview(data)
        given, self._ready = self._ready[:size], self._ready[size:]
        return bytes(given)

    def check(self) -> None:
        """Raise ValueError unless all was read and matches the piece's facts."""
        while self.read(_CHUNK).strip(b"\0"):
            raise ValueError("there is data behind the end of a piece")
        if (self._size, self._digest.hexdigest()) != (self._facts.size, self._facts.sha256):
            raise ValueError("a piece is not what is known of it")


class _Members:
    """Decompresses gzip members that follow one another."""

    def __init__(self) -> None:
        self._member = isal_zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes) -> bytes:
        """Return the content of the next compressed bytes. Raises IsalError where a member is damaged."""
        found = []
        while data:
            found.append(self._member.decompress(data))
            data = b""
            if self._member.eof:
                data = self._member.unused_data
                self._member = isal_zlib.decompressobj(wbits=31)
        return b"".join(found)


def _bounded(members: Iterator[FoundMember], extent: Extent | None, shown: str) -> Iterator[FoundMember]:
    """Yield an archive's members, up to the limits. Raises VerificationFailed."""
    size = 0
    for count, member in enumerate(members, start=1):
        size += member.size
        if extent and (size > extent.size or count > 2 * extent.members + _SPARE):
            raise VerificationFailed(
                f"{shown} has more than the allowed {extent.members:,} members or {extent.size:,} bytes",
                hint="do not use it; check who wrote it",
            )
        yield member


def _reader_of(archive: Path) -> Reader:
    """Return the reader of an archive's members; a name that Spark does not unpack has the default format."""
    format = format_of(archive.name) or FORMATS[DEFAULT]
    if not format.links:
        return _zip_members
    return partial(tar_members, opener=gzipped if format.compressed else nullcontext)


@dataclass(frozen=True, kw_only=True)
class FoundMember:
    """One entry of an archive of any format."""

    name: str
    kind: Literal["file", "directory", "link", "hard link", "device or pipe"]
    mode: int
    """Permission bits."""
    size: int = 0
    """Bytes of a file."""
    target: str = ""
    """A link's target: as written for a link, a member's name for a hard link."""
    mtime: float | None = None
    """Seconds since the epoch, where the archive knows them in UTC."""
    open: Callable[[], IO[bytes]] | None = None
    """Opens the content of a file."""
    reason: str = ""
    """Why the node's own unpacker would not unpack this entry correctly."""


@dataclass(kw_only=True)
class _Tree:
    """A directory that is being filled. Links are made last, so that no file can be written through one."""

    root: Path
    read_only: bool
    replaces: bool = False
    begun: bool = False
    """Whether directories may already exist, and are filled further."""
    refused: list[str] = field(default_factory=list)
    _files: set[str] = field(default_factory=set)
    _links: dict[str, str] = field(default_factory=dict)
    _directories: set[str] = field(default_factory=lambda: {"."})

    def add(self, member: FoundMember) -> None:
        """Write a member, unless it leads out of the tree."""
        name = posixpath.normpath(member.name)
        reason = self._danger(name, member)
        if reason:
            self.refused.append(f"{member.name}: {reason}")
            return
        if member.kind != "link":
            self.refused += [f"{member.name}: {reason}" for reason in _bad_modes(member)]
        if member.kind == "directory":
            self._directory(name)
            return
        self._directory(posixpath.dirname(name) or ".")
        if self._links.pop(name, None) is None and name in self._files:
            self._at(name).unlink()
            self._files.remove(name)
        if member.kind == "link":
            self._links[name] = member.target
        elif member.kind == "hard link":
            os.link(self._at(posixpath.normpath(member.target)), self._at(name), follow_symlinks=False)
            self._files.add(name)
        else:
            self._write(name, member)
            self._files.add(name)

    def _at(self, name: str) -> Path:
        return self.root if name == "." else inside(self.root, name)

    def finish(self) -> None:
        """Make the links, refuse those that lead out through another, and close directories that are complete."""
        for name, target in self._links.items():
            self._at(name).symlink_to(target)
        top = os.path.realpath(self.root)
        for name, target in self._links.items():
            path = self._at(name)
            if os.path.commonpath([top, os.path.realpath(path)]) != top:
                path.unlink()
                self.refused.append(f"{name}: its link to {target} leads out of the archive")
        if self.read_only and not self.begun:
            for name in self._directories:
                self._at(name).chmod(0o555)

    def _danger(self, name: str, member: FoundMember) -> str | None:
        """Say why a member must not be written, if so."""
        above = None
        if posixpath.dirname(name) not in self._directories:
            above = next((part for part in _parents(name) if part in self._links or part in self._files), None)
        reason = member.reason or None
        if _too_long(name) or _too_long(member.target):
            reason = "its name or its link is longer than file systems allow"
        elif member.kind == "link" and not member.target:
            reason = "its link leads nowhere"
        elif member.name.startswith("/") or ".." in member.name.split("/"):
            reason = "its name leads out of the archive"
        elif member.kind == "device or pipe":
            reason = "it is a device or a pipe"
        elif self._is_twice(name, member):
            reason = "it is there twice"
        elif above is not None:
            reason = f"its path leads through {above}, which is not a directory"
        elif member.kind == "link" and _leaves(posixpath.join(posixpath.dirname(name), member.target)):
            reason = f"its link to {member.target} leads out of the archive"
        elif member.kind == "hard link" and not self._is_before(posixpath.normpath(member.target), name):
            reason = f"it is a hard link to {member.target}, which is no file before it in the archive"
        return reason

    def _is_twice(self, name: str, member: FoundMember) -> bool:
        if name in self._directories:
            return member.kind != "directory"
        replaced = self.replaces and member.kind != "directory"
        return not replaced and (name in self._files or name in self._links)

    def _is_before(self, target: str, name: str) -> bool:
        return target in self._files and target != name

    def _directory(self, name: str) -> None:
        missing = []
        while name not in self._directories:
            missing.append(name)
            name = posixpath.dirname(name) or "."
        for path in reversed(missing):
            _make_folder(self._at(path), begun=self.begun)
            self._directories.add(path)

    def _write(self, name: str, member: FoundMember) -> None:
        mode = 0o755 if member.mode & 0o111 else 0o644
        descriptor = os.open(self._at(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            if member.open:
                with member.open() as content:
                    shutil.copyfileobj(content, file, _CHUNK)
            os.fchmod(descriptor, mode & 0o555 if self.read_only else mode)
            if member.mtime is not None:
                os.utime(descriptor, (member.mtime, member.mtime))


def _make_folder(path: Path, *, begun: bool = False) -> None:
    """Make a directory with the mode for archives, independent of the umask; it may exist if it was `begun`."""
    path.mkdir(exist_ok=begun)
    path.chmod(_FOLDER)


def _parents(name: str) -> Iterator[str]:
    while name := posixpath.dirname(name).rstrip("/"):
        yield name


def _too_long(path: str) -> bool:
    data = os.fsencode(path)
    return len(data) > _LONGEST_PATH or any(len(part) > _LONGEST_NAME for part in data.split(b"/"))


def _leaves(path: str) -> bool:
    path = posixpath.normpath(path)
    return path.startswith("/") or path.split("/", 1)[0] == ".."


def _bad_modes(member: FoundMember) -> Iterator[str]:
    """Say what is wrong with a mode: every user must be able to read, and others must not write."""
    needed = 0o555 if member.kind == "directory" else 0o444
    if member.mode & 0o7000:
        yield f"mode {member.mode:o} is setuid, setgid or sticky"
    if member.mode & 0o002:
        yield f"mode {member.mode:o} lets every user write"
    if member.mode & needed != needed:
        yield f"mode {member.mode:o} keeps other users from reading it"


class _Header(tarfile.TarInfo):
    """The header of a tar's member; fields that no archive of an environment has are not read."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """Read the next header; raises ReadError for a broken one, which `TarFile` would take for the end."""
        try:
            return super().fromtarfile(tarfile)
        except _BROKEN as error:
            raise _ReadError(f"it has a broken header: {error}") from error

    def _proc_member(self, tarfile: tarfile.TarFile) -> Self | None:
        """Interpret a header, unless it is an extended one that is too long to be read to memory.

        Every Python calls this method for each header; not each calls `frombuf`.
        """
        if self.type in _EXTENDED and self.size > _LONGEST_HEADER:
            raise _ReadError(f"it has a header of {self.size:,} bytes")
        if self.type == _SPARSE:
            raise _ReadError("it has a sparse file")
        processed: Self | None = super()._proc_member(tarfile)  # type: ignore[misc]  # the types leave it out
        return processed

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise _ReadError("it has a sparse file")


def gzipped(raw: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    """Open the content of a gzip file, decompressed in a thread."""
    return cast("AbstractContextManager[IO[bytes]]", igzip_threaded.open(raw))  # type: ignore[no-untyped-call]  # isal gives it no types


def tar_members(archive: Path, step: Step, *, opener: Opener) -> Iterator[FoundMember]:
    """Yield the members of a tar, which `opener` decompresses."""
    with (
        archive.open("rb") as raw,
        opener(raw) as data,
        tarfile.open(fileobj=data, mode="r|", tarinfo=_Header) as tar,
    ):
        done = 0
        for info in tar:
            yield _tar_member(tar, info)
            tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every member it has read
            step.advance(raw.tell() - done)
            done = raw.tell()
        # Reading to the end compares the checksum; tarfile stops at a broken header as if it were the end.
        while rest := tar.fileobj.read(_CHUNK):
            if rest.strip(b"\0"):
                raise tarfile.ReadError("there is data behind its end")
        step.advance(raw.tell() - done)


def _tar_member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> FoundMember:
    def content() -> IO[bytes]:
        file = tar.extractfile(info)
        if file is None:
            raise tarfile.ReadError(f"{info.name} has no content")
        return file

    if info.size < 0:
        raise tarfile.ReadError(f"{info.name} has less than no bytes")
    kind: Literal["file", "directory", "link", "hard link", "device or pipe"]
    if info.isreg():
        kind = "file"
    elif info.isdir():
        kind = "directory"
    elif info.issym():
        kind = "link"
    else:
        kind = "hard link" if info.islnk() else "device or pipe"
    return FoundMember(
        name=info.name,
        kind=kind,
        mode=info.mode,
        size=info.size if kind == "file" else 0,
        target=info.linkname,
        mtime=float(info.mtime),
        open=content,
    )


def _zip_members(archive: Path, step: Step) -> Iterator[FoundMember]:
    with zipfile.ZipFile(archive) as file:
        entries = sorted(file.infolist(), key=lambda info: info.header_offset)
        if entries and entries[0].header_offset != 0:
            raise zipfile.BadZipFile("it does not begin with its first entry, which YARN expects")
        for info in entries:
            yield _zip_member(file, info)
            step.advance(info.compress_size)


def _zip_member(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> FoundMember:
    """Describe a zip entry, and refuse entries that Hadoop's unpacker (`FileUtil.unZip`) loses or rejects."""
    mode = info.external_attr >> 16
    reason = ""
    if stat.S_ISLNK(mode):
        reason = "it is a link, and Hadoop unpacks a link in a .zip as a text file"
    elif info.flag_bits & 0x1:
        reason = "it is encrypted"
    elif info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        reason = f"YARN cannot read compression method {info.compress_type}"
    elif info.compress_type == zipfile.ZIP_STORED and info.flag_bits & 0x8:
        reason = "YARN cannot read a stored entry with a data descriptor"
    return FoundMember(
        name=info.filename,
        kind="directory" if info.is_dir() else "file",
        size=info.file_size,
        mode=stat.S_IMODE(mode),
        open=lambda: file.open(info),
        reason=reason,
    )
