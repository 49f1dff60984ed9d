"""One codec for all stored data, in a store or in a cache: it checks types when it reads.

Anyone who can write to a store can write anything into it. So nothing that is read is trusted before each of its
fields was checked against a rule: its type, its form, its length. A kind of stored object is a `Kind`: a type whose
fields are annotated with the rules below, a bound on its size, and what to do about one that cannot be read.
"""

from __future__ import annotations

import json
import threading
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

from envpack import digest, variable_names
from envpack.errors import UsageError
from envpack.files import atomic
from envpack.files.regular import read_regular
from envpack.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

_NO_CONTROLS = "[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
_MOST = 2**53 - 1
_LONGEST_REASON = 400
"""The largest integer that every reader of JSON supports (RFC 8259, section 6)."""

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""A SHA-256: 64 hex digits."""

MaybeDigest = Annotated[str, Meta(pattern=r"^(?:[0-9a-f]{64})?\Z")]
"""A SHA-256, or nothing."""

Short = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
"""The beginning of a digest, as in keys."""

Count = Annotated[int, Meta(ge=0, le=_MOST)]
"""A number of bytes or of things."""

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*\Z", max_length=200)]
"""A release's name."""

TagName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=200)]
"""A tag's name."""

FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*\Z", max_length=255)]
"""The name of a file beside a manifest."""

FilePath = Annotated[
    str, Meta(pattern=rf"^(?!/)(?!(?:{_NO_CONTROLS}*/)?\.{{0,2}}(?:/|\Z)){_NO_CONTROLS}+\Z", max_length=1000)
]
"""A relative path of `/`-separated names, none of them empty, `.` or `..`."""

Folder = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*/[0-9a-f]{16}\Z", max_length=217)]
"""The place of a release, from the store's root: `NAME/DIGEST`."""

Word = Annotated[str, Meta(pattern=r"^[!-~]*\Z", max_length=1000)]
"""Printable ASCII without blanks: names of packages, their versions and builds, identifiers of objects."""

LONGEST_LINE = 4000
"""The most characters of a `Line`."""

Line = Annotated[str, Meta(pattern=rf"^{_NO_CONTROLS}*\Z", max_length=LONGEST_LINE)]
"""Text of one line, without control characters."""

Text = Annotated[str, Meta(max_length=200_000)]
"""Any text of a user or a package; control characters are made visible where it is shown."""

Moment = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
        r"(?:\.[0-9]{3}(?:[0-9]{3})?)?(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])\Z"
    ),
]
"""A time, ISO 8601, with its zone."""

PythonVersion = Annotated[str, Meta(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}(?:\.[0-9][0-9A-Za-z.+_-]{0,30})?\Z")]
"""A Python's version, such as `3.11.7`."""

VariableName = Annotated[str, Meta(pattern=variable_names.PATTERN, max_length=variable_names.LONGEST_NAME)]
"""The name of an environment variable, by POSIX; none of a shell's own."""

VariableValue = Annotated[str, Meta(pattern=r"^[^\x00]*\Z", max_length=variable_names.LONGEST_VALUE)]
"""The value of an environment variable: anything without a NUL."""


class Unreadable(UsageError):
    """Stored data that envpack did not write."""


class _Head(Struct, frozen=True, kw_only=True):
    """The common fields of all versions of a stored object."""

    schema: Annotated[int, Meta(ge=1, le=_MOST)] | None = None


_SEAL = 65
"""Bytes of a line with a SHA-256."""

_DESCRIBING = threading.Lock()
"""Held while a decoder is made."""

_HEAD: msgspec.json.Decoder[_Head] = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[T]):
    """One kind of stored object."""

    what: str
    """Its name in an error: `a manifest`."""
    type: type[T]
    """The type of its JSON. Keys that the type does not know are ignored."""
    limit: int
    """The most bytes of its JSON."""
    schema: int | None = None
    """The newest version that this envpack reads, under the key `schema`; None for a kind without versions."""
    packed: bool = False
    """Whether the JSON is compressed by gzip."""
    hint: str
    """The next step for the user if one cannot be read."""
    check: Callable[[T], str | None] | None = None
    """Says what is inconsistent between valid fields."""

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[T]:
        # While msgspec describes a class, other threads see an unfinished description, and the process crashes.
        # `cached_property` has no lock of its own since Python 3.12, and kinds share classes.
        with _DESCRIBING:
            return msgspec.json.Decoder(self.type)

    def loads(self, data: bytes, where: str) -> T:
        """Read one; `where` is its address or path. Raises Unreadable for any other bytes."""
        try:
            text = _unpacked(data, self.limit) if self.packed else data
            if len(text) > self.limit:
                raise ValueError(f"it has more than {self.limit} bytes")
            if self.schema is not None:
                self._check_version(_HEAD.decode(text).schema, where)
            value = self._decoder.decode(text)
            problem = self.check(value) if self.check else None
        except Unreadable:
            raise
        except (ValueError, TypeError, RecursionError, zlib.error, UsageError) as error:
            problem = _reason(error)
        if problem:
            raise Unreadable(f"{where} is not {self.what}: {_shown(problem)}", hint=self.hint)
        return value

    def recall(self, path: Path) -> T | None:
        """Read one that `keep` wrote into a cache; None if it is missing, damaged or unreadable."""
        try:
            seal, _, data = read_regular(path, self.limit + _SEAL).partition(b"\n")
            return self.loads(data, str(path)) if seal == _seal(data) else None
        except (OSError, Unreadable):
            return None

    def keep(self, path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON value
        """Write one into a cache, with a digest of its bytes: a disk may silently change a byte.

        A failure to write is ignored.
        """
        data = json.dumps(value, separators=(",", ":")).encode()
        atomic.keep(path, _seal(data) + b"\n" + data)

    def _check_version(self, schema: int | None, where: str) -> None:
        if schema is None:
            raise ValueError("it does not say its version")
        if self.schema is not None and schema > self.schema:
            raise Unreadable(
                f"{where} was written by a newer envpack: {self.what} of version {schema}, and this one reads "
                f"{self.schema}",
                hint="upgrade envpack",
            )


def _seal(data: bytes) -> bytes:
    return digest.of_bytes(data).encode()


def _unpacked(data: bytes, limit: int) -> bytes:
    """Return the content of a gzip, of which at most `limit` bytes are unpacked. Raises ValueError, zlib.error."""
    inflate = zlib.decompressobj(wbits=31)
    text = inflate.decompress(data, limit + 1)
    if len(text) <= limit and not inflate.eof:
        raise ValueError("it is not whole")
    if inflate.unused_data:
        raise ValueError("there is something behind its end")
    return text


def _shown(problem: str) -> str:
    """Return a reason for a terminal, shortened where it quotes a long value."""
    text = visible(problem)
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def _reason(error: Exception) -> str:
    """Return in a few words why something could not be read, and at which field."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    text = error.message if isinstance(error, UsageError) else str(error)
    reason, _, place = text.partition(" - at ")
    place = place.rpartition("`$")[2].strip("`.")
    if "matching regex" in reason:
        reason = "not of the form that it must have"
    return f"{place}: {reason}" if place else reason or type(error).__name__
