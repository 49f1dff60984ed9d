"""The files of a release, known without its archive: a list beside the manifest."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, NamedTuple, Protocol

from msgspec import Meta, Struct

from envpack.codec import Count, Kind, Text
from envpack.releases import keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from envpack.packages.package import PackedPackage

FILE = keys.FILES

SCHEMA = 1

_DIGITS = 16
"""How much of a file's SHA-256 is kept: enough to distinguish two versions of a file."""


class File(NamedTuple):
    """A file or a link inside a release."""

    path: str
    size: int
    """Bytes; 0 for a link."""
    content: str
    """The beginning of its SHA-256 as it is in the archive, or `-> TARGET` for a link."""
    owner: str
    """`conda/NAME` or `pypi/NAME`; empty for what belongs to no package alone."""


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """A file that differs between two releases, or that only one has."""

    path: str
    before: int | None
    """Bytes; None where it is missing."""
    after: int | None


class PackedMember(Protocol):
    """The facts of a member of an archive."""

    @property
    def path(self) -> str:
        """Its path."""
        ...

    @property
    def kind(self) -> str:
        """`file`, `link` or `directory`."""
        ...

    @property
    def size(self) -> int:
        """Bytes of a file."""
        ...

    @property
    def link(self) -> str:
        """A link's target, as written."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of a file's content, in hex."""
        ...


def list_files(members: Iterable[tuple[str, PackedMember]]) -> tuple[File, ...]:
    """Return the files among an archive's members, each of which comes with its owner, sorted."""
    return tuple(
        sorted(
            File(member.path, member.size, content(member.kind, member.link, member.sha256), owner)
            for owner, member in members
            if member.kind != "directory"
        )
    )


def content(kind: str, link: str, sha256: str) -> str:
    """Return the list's entry for the content of a member."""
    return f"-> {link}" if kind == "link" else sha256[:_DIGITS]


def with_sizes(packages: Iterable[PackedPackage], files: Iterable[File]) -> tuple[PackedPackage, ...]:
    """Return the packages with the bytes of their files."""
    sizes: Counter[str] = Counter()
    for file in files:
        sizes[file.owner] += file.size
    return tuple(replace(package, unpacked_size=sizes[f"{package.source}/{package.name}"]) for package in packages)


def dumps(files: Sequence[File]) -> bytes:
    """Return a list of files as the bytes that are stored (schema: docs/files.schema.json)."""
    owners = sorted({file.owner for file in files})
    number = {owner: index for index, owner in enumerate(owners)}
    rows = [[file.path, file.size, file.content, number[file.owner]] for file in files]
    value = {"schema": SCHEMA, "owners": owners, "files": rows}
    return gzip.compress(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), 9, mtime=0)


class StoredFile(NamedTuple):
    """A row of the list's JSON."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    size: Count
    """Bytes; 0 for a link."""
    content: Annotated[str, Meta(max_length=4200)]
    """The beginning of its SHA-256, or `-> TARGET` for a link."""
    owner: Count
    """Which of the owners it belongs to."""


class StoredFiles(Struct, frozen=True, kw_only=True):
    """The list's JSON."""

    owners: tuple[Text, ...]
    """`conda/NAME` or `pypi/NAME`; empty for what belongs to no package alone."""
    files: Annotated[tuple[StoredFile, ...], Meta(max_length=2_000_000)]
    """Sorted by path."""


def _contradiction(stored: StoredFiles) -> str | None:
    most = len(stored.owners)
    stray = next((file for file in stored.files if file.owner >= most), None)
    return f"{stray.path!r} has owner {stray.owner} of {most}" if stray else None


STORED = Kind(
    what="a list of files",
    type=StoredFiles,
    limit=128 << 20,
    schema=SCHEMA,
    packed=True,
    hint="it was edited or is damaged: what it says of the release's files cannot be had again",
    check=_contradiction,
)


def loads(data: bytes, where: str) -> tuple[File, ...]:
    """Read a list of files; `where` is its address in errors. Raises Unreadable."""
    stored = STORED.loads(data, where)
    return tuple(File(path, size, content, stored.owners[owner]) for path, size, content, owner in stored.files)


def differences(before: Iterable[File], after: Iterable[File]) -> tuple[FileChange, ...]:
    """Return the files that differ, sorted; bytecode, which follows from its source, is ignored."""
    old = {file.path: file for file in before if not file.path.endswith(".pyc")}
    new = {file.path: file for file in after if not file.path.endswith(".pyc")}
    return tuple(
        FileChange(path=path, before=_size(old.get(path)), after=_size(new.get(path)))
        for path in sorted(old.keys() | new.keys())
        if (path not in old or path not in new)
        or (old[path].size, old[path].content) != (new[path].size, new[path].content)
    )


def _size(file: File | None) -> int | None:
    return file.size if file else None
