"""What a store must do: keep objects that are never overwritten, and a few that move only as expected."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from envpack.errors import Conflict, StoreRefused, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from envpack.progress import Step


@dataclass(frozen=True, kw_only=True)
class Object:
    """A small object that was read whole."""

    data: bytes
    version: str
    """Changes with the content; `replace` expects it."""


@dataclass(frozen=True, kw_only=True)
class ListedObject:
    """One object of a listing."""

    key: str
    size: int
    """Bytes."""
    modified: float
    """When it was written, in seconds since 1970."""
    stamp: str
    """Another one whenever the object is written again."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """Bytes of a file that an object of the store already has: `[offset, offset + size)` of the file."""

    key: str
    """The object, in the same store."""
    start: int
    """Where in the object they begin."""
    offset: int
    """Where in the file they begin."""
    size: int
    """How many they are."""


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """What an upload that has not ended has left in a store so far; no reader sees it."""

    key: str
    """The object that it was to become, or the file that it lies in."""
    token: str
    """What the store knows it by."""
    size: int
    """Bytes that are there."""
    begun: float
    """When it was begun or, where the store knows that, last written; in seconds since 1970."""


SMALL = 64 << 20
"""Bytes that an object which is read whole has at most; what envpack writes is far smaller."""

PROBE = ".doctor-"
"""How the names of objects begin that were written to try a store out."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What trying a store out has shown."""

    level: Literal["ok", "note", "warning", "problem"]
    text: str
    hint: str | None = None
    """The next step."""


class Store(Protocol):
    """A place of archives and manifests. Keys are `/`-separated and relative to the store's URL.

    Every method raises StoreRefused or StoreUnreachable when the store says no or nothing at all. A store may be
    used from several threads at once.
    """

    url: str
    """The store as the person named it, without a trailing slash."""

    def uri(self, key: str) -> str:
        """Return the object's full address, such as `s3://bucket/prefix/KEY`."""
        ...

    def read(self, key: str, known: Object | None = None) -> Object | None:
        """Return a small object, or None when there is none. Raises UsageError for one of more than SMALL bytes.

        `known` is what it was when it was read before; it is returned, and not sent again, if it still is.
        """
        ...

    def size(self, key: str) -> int | None:
        """Return how many bytes an object has, without reading it; None when there is none."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object unless the key is taken; say whether it was written."""
        ...

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Write a small object if it still has `version` (None: if there is none); say whether it was written."""
        ...

    def upload(self, key: str, path: Path, sha256: str, step: Step, held: Sequence[Held] = ()) -> bool:
        """Write a file unless the key is taken; say whether it was written.

        `held` says which of its bytes the store already has, for stores that can copy them where they lie. It is
        advice: wrong or outdated, it costs time and never the object.

        The object appears whole or not at all, and its content is checked on the way. When the key is taken, what
        is there is believed to be this file only if its SHA-256 proves it; else AnotherContent is raised. `step`
        is advanced by bytes, sent or copied; an amount is negative where bytes must be sent again.
        """
        ...

    def download(self, key: str, path: Path, step: Step) -> None:
        """Copy an object to a file, whole or not at all. `step` is advanced as by `upload`.

        Raises UsageError when there is no such object or the file cannot be written.
        """
        ...

    def part(self, key: str, start: int, size: int) -> Iterator[bytes]:
        """Yield the bytes `[start, start + size)` of an object, and fewer where it ends before.

        Raises UsageError when there is no such object, and StoreRefused when the store cannot give a part.
        """
        ...

    def list(self, prefix: str = "") -> Iterator[ListedObject]:
        """Yield every object whose key begins with `prefix`, sorted by key."""
        ...

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Return, sorted, the names between `prefix`, which is empty or ends with a slash, and a key's next slash.

        Quicker than `list`; a name may be there of which all objects have been removed.
        """
        ...

    def delete(self, key: str) -> bool:
        """Remove an object; one that is not there is no error. Say whether its bytes are freed.

        They are not in a versioned S3 bucket, which keeps them as an older version.
        """
        ...

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield every upload that has not ended: those under way and those of killed writers."""
        ...

    def abort(self, upload: Unfinished) -> None:
        """Remove what an upload has left; one that has ended meanwhile is no error, and its object stays."""
        ...

    def check_usable(self) -> None:
        """Raise StoreRefused where it can be seen, without a write or a request, that nothing can be kept here."""
        ...

    def examine(self) -> Iterator[Observation]:
        """Try out who one is here, and whether one may list, read, write with conditions, and delete.

        One object is written for it, and removed again where that is allowed. What the store refuses is observed,
        not raised.
        """
        ...


def missing(uri: str) -> UsageError:
    """Return the error for an object that is not there."""
    return UsageError(f"{uri} does not exist", hint="`envpack list` shows what the store holds")


def damaged(uri: str) -> StoreRefused:
    """Return the error for an upload whose bytes are not those that were meant."""
    return StoreRefused(
        f"{uri} was not written: what arrived is not what was meant to be sent",
        hint="try again; if it happens again, the file was changed after its digest was taken: build it again",
    )


class AnotherContent(Conflict):
    """A key is taken by an object with other bytes."""


def too_large(uri: str) -> UsageError:
    """Return the error for an object that should be small and is not."""
    return UsageError(
        f"{uri} is larger than {SMALL >> 20} MiB, and envpack writes nothing so large there",
        hint="find out who wrote it, and remove it",
    )


def another_content(uri: str) -> AnotherContent:
    """Return the error for a key that is taken by something else."""
    return AnotherContent(
        f"{uri} is already there with another content, and nothing published is overwritten",
        hint="find out who wrote it; remove it, or publish under another name",
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the local disk refuses, such as a full disk, into a UsageError that names the file."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}", hint="name a file in a directory you may write to"
        ) from error
