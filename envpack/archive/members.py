"""What an archive is made of: its members, in one fixed order."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from envpack.errors import PackingFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

TIME = 315532800
"""Every member's modification time: 1980-01-01 00:00 UTC, the first a zip can hold, in seconds since 1970."""

CHUNK = 1 << 20
"""How many bytes of a file are read at once."""


class Sink(Protocol):
    """What an archive is written to, from its start to its end."""

    def write(self, data: bytes) -> object:
        """Write all of `data`."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file, link or directory of an archive. Its content comes from `data` or else from `source`."""

    path: str
    """Where it is in the archive, with slashes, not starting with one."""
    kind: Literal["file", "link", "directory"] = "file"
    executable: bool = False
    size: int = 0
    """Bytes of a file."""
    source: Path | None = None
    """The file to read."""
    data: bytes | None = None
    """The content of a file that is not archived as it is."""
    restore: Callable[[bytes], bytes] | None = None
    """Applied to the content of `source`; keeps its length."""
    link: str = ""
    """What a link says, relative to where the link is."""

    @property
    def mode(self) -> int:
        """Permissions that let any user read and run what root unpacked."""
        if self.kind == "link":
            return 0o777
        return 0o755 if self.executable or self.kind == "directory" else 0o644

    def chunks(self) -> Iterator[bytes]:
        """Yield the content of a file.

        Raises PackingFailed when the file is no longer as long as it was.
        """
        left = self.size
        for chunk in self._read():
            left -= len(chunk)
            yield chunk
        if left:
            name = self.source or self.path
            raise PackingFailed(f"{name} changed while it was packed", hint="pack again when nobody writes there")

    def _read(self) -> Iterator[bytes]:
        if self.data is not None:
            yield self.data
        elif self.source is not None and self.restore is not None:
            yield self.restore(self.source.read_bytes())
        elif self.source is not None:
            with self.source.open("rb", buffering=0) as file:
                left = self.size
                while left and (chunk := file.read(min(left, CHUNK))):
                    left -= len(chunk)
                    yield chunk


def file(path: str, data: bytes, *, executable: bool = False) -> Member:
    """Return a member with the given content."""
    return Member(path=path, data=data, size=len(data), executable=executable)


def with_data(member: Member, data: bytes) -> Member:
    """Return the member with another content."""
    return replace(member, data=data, size=len(data))


def arrange(members: Iterable[Member]) -> list[Member]:
    """Return the members by path, with every directory above them; of equal paths the last one stays.

    A directory comes before what is in it.
    """
    by_path = {member.path: member for member in members}
    for path in list(by_path):
        while (path := posixpath.dirname(path)) and path not in by_path:
            by_path[path] = Member(path=path, kind="directory")
    return [by_path[path] for path in sorted(by_path)]
