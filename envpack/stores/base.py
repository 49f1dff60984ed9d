"""What a store must do: keep objects that are never overwritten, and a few that move only as expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpack.progress import Step


@dataclass(frozen=True)
class Object:
    """A small object that was read whole."""

    data: bytes
    version: str
    """Changes with the content; `replace` expects it."""


@dataclass(frozen=True)
class Entry:
    """One object of a listing."""

    key: str
    size: int
    """Bytes."""
    modified: float
    """When it was written, in seconds since 1970."""


class Store(Protocol):
    """A place of archives and manifests. Keys are `/`-separated and relative to the store's URL.

    Every method raises StoreRefused or StoreUnreachable when the store says no or nothing at all.
    """

    url: str
    """The store as the person named it, without a trailing slash."""

    def uri(self, key: str) -> str:
        """Return the object's full address, such as `s3://bucket/prefix/KEY`."""
        ...

    def read(self, key: str) -> Object | None:
        """Return a small object, or None when there is none."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object unless the key is taken; say whether it was written."""
        ...

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Write a small object if it still has `version` (None: if there is none); say whether it was written."""
        ...

    def upload(self, key: str, path: Path, sha256: str, step: Step) -> bool:
        """Write a file unless the key is taken; say whether it was written.

        The object appears whole or not at all, and its content is checked on the way. When the key is taken by
        an object of another size, Conflict is raised. `step` is advanced by bytes.
        """
        ...

    def download(self, key: str, path: Path, step: Step) -> None:
        """Copy an object to a file; raises UsageError when there is none. `step` is advanced by bytes."""
        ...

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield every object whose key begins with `prefix`, sorted by key."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...
