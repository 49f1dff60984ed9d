"""A store in a directory, on this machine's disk or on a shared one such as NFS."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from envpack import digest
from envpack.errors import EnvpackError, StoreRefused, StoreUnreachable, UsageError
from envpack.files.inside import inside
from envpack.files.regular import open_regular, read_regular
from envpack.redact import stored
from envpack.stores.base import (
    PROBE,
    SMALL,
    ListedObject,
    Object,
    Observation,
    Unfinished,
    another_content,
    damaged,
    missing,
    too_large,
    writing,
)
from envpack.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.progress import Step
    from envpack.stores.base import Held
    from envpack.stores.s3.options import S3Options

DRAFT = ".envpack-draft-"
"""The prefix of unfinished files' names; no reader sees them."""

LOCK = ".envpack-lock"
"""The file that is locked while an object of its directory is replaced."""

STALE = 3600.0
"""Seconds without a write after which a draft counts as a killed writer's."""

LOCK_PATIENCE = 30.0
"""Seconds to wait for another writer; it holds the lock for milliseconds, and the kernel frees a dead one's."""

_TRIES = 20
"""How often a directory is recreated for a file."""

_WITHOUT_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Errors of link(2) where the file system has no hard links (FAT, some FUSE mounts)."""

_NOT_ANSWERING = {errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN}

_A_FILE = "a part of this path is a file: use another directory as the store"

_HINTS = {
    errno.EACCES: "ask its owner for the permission to write there, or use another store",
    errno.EPERM: "ask its owner for the permission to write there, or use another store",
    errno.ENOSPC: "the disk is full: free space, or use another store",
    errno.EDQUOT: "your disk quota is used up: free space, or use another store",
    errno.EROFS: "it is mounted read-only: use another store",
    errno.ENOTDIR: _A_FILE,
    errno.EEXIST: _A_FILE,
    errno.ENAMETOOLONG: "choose a shorter name",
}


def open_at(url: str, _: S3Options) -> LocalStore:
    """Return the store at a `file:///DIRECTORY` or a directory."""
    return LocalStore(url)


class LocalStore:
    """Objects are files under one directory, made with the first write; see Store for the methods' contracts.

    A file is written under a draft's name in its own directory and gets its real name once it is complete and on
    the disk: by link(2), which refuses a taken name on NFS too, or by rename(2) under a lock.
    """

    def __init__(self, url: str | Path) -> None:
        """Take a directory or a `file://` URL; raises UsageError for a URL of another host."""
        self.url = str(url).rstrip("/") or "/"
        self._root = _directory(str(url))

    def uri(self, key: str) -> str:
        """Return the address as a `file://` URL, percent-encoded."""
        return self._path(key).as_uri()

    def read(self, key: str, known: Object | None = None) -> Object | None:  # noqa: ARG002 - nothing is sent
        """Return a small object; its version is its SHA-256."""
        path = self._path(key)
        with _refusals(path):
            try:
                data = read_regular(path, SMALL)
            except (FileNotFoundError, IsADirectoryError):
                return None
            except OSError as error:
                if error.errno == errno.EFBIG:
                    raise too_large(str(path)) from error
                raise
        return Object(data=data, version=digest.of_bytes(data))

    def size(self, key: str) -> int | None:
        """Return the bytes of a file."""
        path = self._path(key)
        with _refusals(path):
            try:
                status = path.stat()
            except FileNotFoundError:
                return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object unless the key is taken."""
        path = self._path(key)
        with _refusals(path), self._new(path) as draft:
            draft.write(stored(data))
            return _name_anew(draft, path)

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Write a small object if its SHA-256 is still `version`."""
        if version is None:
            return self.create(key, data)
        path = self._path(key)
        with _refusals(path), self._new(path) as draft:
            draft.write(stored(data))
            _settle(draft)
            with _lock(path):
                current = self.read(key)
                if current is None or current.version != version:
                    return False
                Path(draft.name).replace(path)
                return True

    def upload(self, key: str, path: Path, sha256: str, step: Step, held: Sequence[Held] = ()) -> bool:  # noqa: ARG002
        """Write a file, checking its SHA-256 on the way.

        `held` is not used: bytes that the file system copies would have to be read again to be checked.
        """
        target = self._path(key)
        with path.open("rb") as source, _refusals(target):
            size = path.stat().st_size
            if not target.exists():
                with self._new(target) as draft:
                    if _copy(source, draft, step) != sha256:
                        raise damaged(self.uri(key))
                    if _name_anew(draft, target):
                        return True
            there = target.stat()
            same = stat.S_ISREG(there.st_mode) and there.st_size == size and digest.of_file(target) == sha256
            if not same:
                raise another_content(self.uri(key))
            return False

    def download(self, key: str, path: Path, step: Step) -> None:
        """Copy an object to a file."""
        source = self._path(key)
        with _refusals(source):
            try:
                file = open_regular(source)
            except (FileNotFoundError, IsADirectoryError):
                raise missing(self.uri(key)) from None
        with file, writing(path), _draft(path, path.parent) as draft:
            _copy(file, draft, step)
            draft.flush()
            Path(draft.name).replace(path)

    def part(self, key: str, start: int, size: int) -> Iterator[bytes]:
        """Yield some bytes of an object."""
        path = self._path(key)
        with _refusals(path):
            try:
                file = open_regular(path)
            except (FileNotFoundError, IsADirectoryError):
                raise missing(self.uri(key)) from None
            with file:
                file.seek(start)
                while size and (chunk := file.read(min(size, digest.CHUNK))):
                    size -= len(chunk)
                    yield chunk

    def list(self, prefix: str = "") -> Iterator[ListedObject]:
        """Yield the objects, without drafts and locks."""
        with _refusals(self._root):
            entries = sorted(self._entries(prefix), key=lambda entry: entry.key)
        yield from entries

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Return the directories below a prefix."""
        place = self._path(prefix.rstrip("/")) if prefix else self._root
        with _refusals(place):
            try:
                with os.scandir(place) as entries:
                    return tuple(sorted(entry.name for entry in entries if entry.is_dir()))
            except FileNotFoundError:
                return ()

    def delete(self, key: str) -> bool:
        """Remove an object, and its directories if they are empty then."""
        path = self._path(key)
        with _refusals(path):
            path.unlink(missing_ok=True)
            for folder in path.parents[: key.count("/")]:
                with suppress(OSError):  # it is not empty, or another writer has removed it
                    folder.rmdir()
        return True

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the drafts, each with the time of its last write."""
        with _refusals(self._root):
            drafts = [
                Path(folder, name)
                for folder, _, names in os.walk(self._root, onerror=_unless_missing)
                for name in names
                if name.startswith(DRAFT)
            ]
        for path in sorted(drafts):
            key = path.relative_to(self._root).as_posix()
            with _refusals(path), suppress(FileNotFoundError):
                status = path.stat()
                yield Unfinished(key=key, token=path.name, size=status.st_size, begun=status.st_mtime)

    def abort(self, upload: Unfinished) -> None:
        """Remove a draft."""
        self.delete(upload.key)

    def check_usable(self) -> None:
        """Raise StoreRefused when the directory is a file, or cannot be made or written in."""
        nearest = next(path for path in (self._root, *self._root.parents) if os.path.lexists(path))
        with _refusals(self._root):
            if not os.path.isdir(nearest):  # noqa: PTH112 - Path's raises where the user may not look
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if not os.access(nearest, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def examine(self) -> Iterator[Observation]:
        """Test the directory; a missing one is made with the first write."""
        key = f"{PROBE}{uuid.uuid4().hex}.json"
        place = next(path for path in (self._root, *self._root.parents) if os.path.lexists(path))
        try:
            self.check_usable()
            if place == self._root:
                next(iter(self._entries("")), None)
                yield Observation(level="ok", text=f"{self._root} can be listed")
                self.create(key, b"{}")
                kept = not self.create(key, b"{}") and not self.replace(key, b"{}", "another")
                self.delete(key)
                text = "objects can be written and deleted, and none is overwritten"
                yield (
                    Observation(level="ok", text=text)
                    if kept
                    else Observation(level="problem", text=f"not so: {text}")
                )
            else:
                text = f"{self._root} is not there yet; the first build makes it"
                yield Observation(level="ok", text=text)
        except EnvpackError as error:
            yield Observation(level="problem", text=error.message, hint=error.hint)
            return
        yield Observation(level="ok", text=f"{human_size(shutil.disk_usage(place).free)} are free there")

    @contextmanager
    def _new(self, path: Path) -> Iterator[BinaryIO]:
        """Open a draft of an object, readable for exactly those who may read the store's directory."""
        with _draft(path, self._root) as draft:
            with suppress(OSError):  # a file system without modes
                os.fchmod(draft.fileno(), 0o600 | self._root.stat().st_mode & 0o044)
            yield draft

    def _path(self, key: str) -> Path:
        try:
            return inside(self._root, key)
        except UsageError as error:
            raise UsageError(
                f"{key!r} is not a key of a store", hint="write names joined by single slashes"
            ) from error

    def _entries(self, prefix: str) -> Iterator[ListedObject]:
        above = prefix.rpartition("/")[0]
        root = str(self._path(above) if above else self._root)
        for folder, _, names in os.walk(root, onerror=_unless_missing):
            below = folder[len(root) :].replace(os.sep, "/").strip("/")
            base = "".join(f"{part}/" for part in (above, below) if part)
            for name in names:
                if name.startswith((DRAFT, LOCK)) or not f"{base}{name}".startswith(prefix):
                    continue
                with suppress(FileNotFoundError):
                    found = os.stat(f"{folder}/{name}")  # noqa: PTH116 - a Path for each of 70,000 takes a second
                    yield ListedObject(
                        key=f"{base}{name}", size=found.st_size, modified=found.st_mtime, stamp=_stamp(found)
                    )


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"


def _directory(url: str) -> Path:
    if not url.lower().startswith("file:"):
        try:
            return Path(url).expanduser().absolute()
        except RuntimeError as error:
            raise UsageError(f"{url}: this user has no home directory", hint="write the absolute path") from error
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.netloc not in {"", "localhost"} or not path.is_absolute():
        raise UsageError(
            f"{url!r} is not a directory on this machine",
            hint="write three slashes (file:///srv/envpack), or the path of a directory",
        )
    return path


@contextmanager
def _draft(path: Path, root: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` that no reader sees; any rest of it is removed when the block ends.

    Directories that are made below `root` get its mode.
    """
    draft = path.parent / f"{DRAFT}{uuid.uuid4().hex}"
    try:
        with _opened(draft, root) as file:
            yield file
    finally:
        draft.unlink(missing_ok=True)


def _opened(draft: Path, root: Path) -> BinaryIO:
    """Open a new file and make its directory; others may be removing the directory because it is empty."""
    for _ in range(_TRIES):
        _make_folder(draft.parent, root)
        _sweep(draft.parent)
        with suppress(FileNotFoundError):
            # Not tempfile, which makes private files: others must be able to read an object.
            return draft.open("xb")
    return draft.open("xb")


def _make_folder(folder: Path, root: Path) -> None:
    """Make a directory and those above it: `root` by the umask, those below with the permissions of `root`.

    None is made writable for every user. The setgid bit stays.
    """
    if folder.is_dir():
        return
    if folder != root:
        _make_folder(folder.parent, root)
    elif not root.parent.is_dir():
        root.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError, FileNotFoundError):  # another writer made it, or removes empty directories
        folder.mkdir()
        with suppress(OSError):  # a file system without modes
            folder.chmod(0o700 | root.stat().st_mode & 0o2775)


def _sweep(folder: Path) -> None:
    for draft in folder.glob(f"{DRAFT}*"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > STALE:
                draft.unlink()


def _settle(draft: BinaryIO) -> None:
    draft.flush()
    os.fsync(draft.fileno())


def _name_anew(draft: BinaryIO, path: Path) -> bool:
    """Rename a draft once its bytes are on the disk; say whether the name was free."""
    _settle(draft)
    try:
        os.link(draft.name, path)
    except FileExistsError:
        # NFS also reports this when its first answer was lost; a link count of two shows that the link is ours
        # (open(2)).
        return os.fstat(draft.fileno()).st_nlink == 2
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        with _lock(path):
            if path.exists():
                return False
            Path(draft.name).rename(path)
    return True


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Exclude other writers of the directory, in this process and in others."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - 0.1 s that only a moving tag has to spend

    try:
        # Anyone who may create files in the directory may lock it.
        with FileLock(path.with_name(LOCK), mode=0o600 | path.parent.stat().st_mode & 0o060, timeout=LOCK_PATIENCE):
            yield
    except Timeout as error:
        raise StoreUnreachable(
            f"{path.parent} has been locked by another process for {LOCK_PATIENCE:.0f} s",
            hint=f"wait for that process or stop it (`fuser {path.with_name(LOCK)}` shows it), then try again",
        ) from error


def _copy(source: BinaryIO, target: BinaryIO, step: Step) -> str:
    """Copy a file in pieces and return the SHA-256 of the copy."""
    seen = hashlib.sha256()
    while chunk := source.read(digest.CHUNK):
        target.write(chunk)
        seen.update(chunk)
        step.advance(len(chunk))
    return seen.hexdigest()


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _explained(error, path) from error


def _explained(error: OSError, path: Path) -> EnvpackError:
    kind = StoreUnreachable if error.errno in _NOT_ANSWERING else StoreRefused
    hint = "see whether the disk or the mount works" if kind is StoreUnreachable else _HINTS.get(error.errno or 0)
    return kind(f"{path}: {error.strerror or error}", hint=hint)


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
