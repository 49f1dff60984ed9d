"""The interface of a store: objects that are never overwritten, and a few that are replaced conditionally."""

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
    """Changes whenever the object is written again."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """Bytes of a file that an object of the store already has: `[offset, offset + size)` of the file."""

    key: str
    """The object, in the same store."""
    start: int
    """Their offset in the object."""
    offset: int
    """Their offset in the file."""
    size: int
    """Their number."""


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """The part of an unfinished upload in a store; no reader sees it."""

    key: str
    """The object that it was to become, or its file."""
    token: str
    """Its id in the store."""
    size: int
    """Bytes that are stored."""
    begun: float
    """When it was begun or, where known, last written; in seconds since 1970."""


SMALL = 64 << 20
"""The largest object that is read whole, in bytes; envpack's own are far smaller."""

PROBE = ".doctor-"
"""The prefix of the names of objects that were written to test a store."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A result of testing a store."""

    level: Literal["ok", "note", "warning", "problem"]
    text: str
    hint: str | None = None
    """The next step."""


class Store(Protocol):
    """A store of archives and manifests. Keys are `/`-separated and relative to the store's URL.

    Every method raises StoreRefused or StoreUnreachable when the store refuses or does not answer. A store may be
    used from several threads at once.
    """

    url: str
    """The store as the user named it, without a trailing slash."""

    def uri(self, key: str) -> str:
        """Return the object's full address, such as `s3://bucket/prefix/KEY`."""
        ...

    def read(self, key: str, known: Object | None = None) -> Object | None:
        """Return a small object, or None when there is none. Raises UsageError for one of more than SMALL bytes.

        `known` is the object as it was read before; if it is unchanged, it is returned and not sent again.
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

        `held` says which of its bytes the store already has, for stores that can copy them internally. It is a
        hint: if it is wrong or outdated, it costs only time.

        The object appears complete or not at all, and its content is checked during the upload. When the key is
        taken, the existing object counts as this file only if its SHA-256 proves it; else AnotherContent is raised.
        `step` is advanced by bytes, sent or copied; an amount is negative where bytes must be sent again.
        """
        ...

    def download(self, key: str, path: Path, step: Step) -> None:
        """Copy an object to a file, whole or not at all. `step` is advanced as by `upload`.

        Raises UsageError when there is no such object or the file cannot be written.
        """
        ...

    def part(self, key: str, start: int, size: int) -> Iterator[bytes]:
        """Yield the bytes `[start, start + size)` of an object; fewer where it ends earlier.

        Raises UsageError when there is no such object, and StoreRefused when the store cannot give a part.
        """
        ...

    def list(self, prefix: str = "") -> Iterator[ListedObject]:
        """Yield every object whose key begins with `prefix`, sorted by key."""
        ...

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Return, sorted, the names between `prefix`, which is empty or ends with a slash, and a key's next slash.

        Faster than `list`; a name may remain after all its objects have been removed.
        """
        ...

    def delete(self, key: str) -> bool:
        """Remove an object; a missing one is no error. Say whether its bytes are freed.

        They are not in a versioned S3 bucket, which keeps them as an older version.
        """
        ...

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield every unfinished upload: those under way and those of killed writers."""
        ...

    def abort(self, upload: Unfinished) -> None:
        """Remove an unfinished upload; one that has ended meanwhile is no error, and its object stays."""
        ...

    def check_usable(self) -> None:
        """Raise StoreRefused where it is known, without a write or a request, that nothing can be stored here."""
        ...

    def examine(self) -> Iterator[Observation]:
        """Test which user this is, and whether it may list, read, write with conditions, and delete.

        One object is written for it, and removed again where that is allowed. Refusals of the store are returned,
        not raised.
        """
        ...


def missing(uri: str) -> UsageError:
    """Return the error for a missing object."""
    return UsageError(f"{uri} does not exist", hint="`envpack list` shows what the store holds")


def damaged(uri: str) -> StoreRefused:
    """Return the error for an upload whose bytes are wrong."""
    return StoreRefused(
        f"{uri} was not written: the store received other bytes than the file's digest says",
        hint="try again; if it happens again, the file changed after its digest was taken: run `envpack build "
        "FILE` again",
    )


class AnotherContent(Conflict):
    """A key is taken by an object with other bytes."""


def too_large(uri: str) -> UsageError:
    """Return the error for an object that is too large."""
    return UsageError(
        f"{uri} is larger than {SMALL >> 20} MiB, so envpack did not write it",
        hint="remove it; the owner of the object or file, or the store's access log, shows who wrote it",
    )


def another_content(uri: str) -> AnotherContent:
    """Return the error for a key that is taken by something else."""
    return AnotherContent(
        f"{uri} exists with other content, and envpack overwrites nothing that is published",
        hint="publish under another name (--name), or remove it; its owner or the store's access log shows who "
        "wrote it",
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of the local disk, such as a full disk, into a UsageError that names the file."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}",
            hint="give a file in a directory that you can write to",
        ) from error
