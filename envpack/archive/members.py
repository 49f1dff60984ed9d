"""The members of an archive, in one fixed order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from envpack.errors import DamagedPackage, PackingFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping
    from io import FileIO

TIME = 315532800
"""Every member's modification time: 1980-01-01 00:00 UTC, the first a zip can hold, in seconds since 1970."""

Kind = Literal["file", "link", "directory"]

CHUNK = 1 << 20
"""Bytes of a file to read at once."""


class Entry(NamedTuple):
    """A member in a piece."""

    path: str
    kind: Kind
    size: int
    """Bytes of a file."""
    link: str
    """What a link says."""
    executable: bool
    crc: int = 0
    """CRC-32 of a file's content; only for a zip's members."""
    deflated: int = 0
    """Bytes of the content when deflated; only for a zip's members."""
    offset: int = 0
    """Offset of its header in the piece; only for a zip's members."""
    sha256: str = ""
    """Of a file's content."""


class Promise(NamedTuple):
    """The required content of a file, by the records of its packages."""

    digests: tuple[str, ...]
    """SHA-256 in hex; one of them must be the content's."""
    owners: tuple[str, ...]
    """The packages."""

    def hold(self, path: str, found: str) -> None:
        """Check the digest of a file. Raises DamagedPackage when it is none of these."""
        if found not in self.digests:
            packages = " or ".join(owner.partition("/")[2] for owner in self.owners)
            raise DamagedPackage(
                f"the cached copy of {packages} is damaged: {path} differs from the package", owners=self.owners
            )


class Sink(Protocol):
    """A sink for an archive, from start to end."""

    def write(self, data: bytes) -> object:
        """Write all of `data`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One file, link or directory of an archive. Its content comes from `data` or else from `source`."""

    path: str
    """Its path in the archive, with slashes, not starting with one."""
    kind: Kind = "file"
    executable: bool = False
    size: int = 0
    """Bytes of a file."""
    source: str | None = None
    """The path of the file to read."""
    data: bytes | None = None
    """The content of a file that is changed for the archive."""
    restore: Callable[[bytes], bytes] | None = None
    """Applied to the content of `source`; keeps its length."""
    link: str = ""
    """A link's target, relative to the link's directory."""
    promise: Promise | None = None
    """The required content; None where that is not known."""

    @property
    def mode(self) -> int:
        """Permissions with which any user can read and run files that root unpacked."""
        return mode_of(self.kind, executable=self.executable)

    def entry(self) -> Entry:
        """Return the member as stored in a piece."""
        return Entry(self.path, self.kind, self.size, self.link, self.executable)

    def chunks(self) -> Iterator[bytes]:
        """Yield the content of a file.

        Raises PackingFailed when the file's length has changed.
        """
        left = self.size
        for chunk in self._read():
            left -= len(chunk)
            yield chunk
        if left:
            name = self.source or self.path
            raise PackingFailed(
                f"{name} changed while it was being packed",
                hint="pack again when nothing writes to the environment",
            )

    def proven(self, digests: MutableMapping[str, str]) -> Iterator[bytes]:
        """Yield the content of a file, and note its SHA-256 in `digests` under its path.

        Yielded content must not be used before the end: only then it is checked. Raises DamagedPackage when it is
        not as required, and PackingFailed as `chunks` does.
        """
        hashed = hashlib.sha256()
        for chunk in self.chunks():
            hashed.update(chunk)
            yield chunk
        digests[self.path] = found = hashed.hexdigest()
        if self.promise:
            self.promise.hold(self.path, found)

    def _read(self) -> Iterator[bytes]:
        if self.data is not None:
            yield self.data
        elif self.source is not None and self.restore is not None:
            yield self.restore(Path(self.source).read_bytes())
        elif self.source is not None:
            with opened(self.source) as file:
                left = self.size
                while left and (chunk := file.read(min(left, CHUNK))):
                    left -= len(chunk)
                    yield chunk


def opened(path: str) -> FileIO:
    """Open a file for reading, without a `Path`, which takes as long as reading a small file."""
    return open(path, "rb", buffering=0)  # noqa: PTH123 - see above; the caller closes it


def mode_of(kind: Kind, *, executable: bool) -> int:
    """Return the permissions of a member."""
    if kind == "link":
        return 0o777
    return 0o755 if executable or kind == "directory" else 0o644


def file(path: str, data: bytes, *, executable: bool = False) -> Member:
    """Return a member with the given content."""
    return Member(path=path, data=data, size=len(data), executable=executable)


def with_data(member: Member, data: bytes) -> Member:
    """Return the member with another content."""
    return replace(member, data=data, size=len(data), promise=None)
