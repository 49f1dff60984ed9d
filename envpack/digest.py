"""SHA-256 of bytes, of files and of JSON values."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 1 << 20
"""Bytes to read at once."""

SHORT = 16
"""The number of a digest's hex digits that name a release."""


def of_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex, as `sha256sum` prints it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def of_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the SHA-256 of a JSON value in its canonical text: sorted keys, no blanks, UTF-8.

    A file's name that is not UTF-8 counts with the surrogates that Python has for its bytes.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return of_bytes(text.encode("utf-8", "surrogatepass"))


def of_record(field: str) -> str:
    """Return in hex the SHA-256 in a line of a wheel's `RECORD`; empty where it has none.

    There it is `sha256=` and URL-safe base64 without padding
    (https://packaging.python.org/en/latest/specifications/recording-installed-packages/).
    """
    algorithm, _, text = field.partition("=")
    if algorithm != "sha256":
        return ""
    return unpadded(text).hex()


def for_record(data: bytes) -> str:
    """Return the SHA-256 of `data` in the form of a line of a wheel's `RECORD`."""
    return f"sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()}"


def unpadded(text: str) -> bytes:
    """Return the value of URL-safe base64 without padding; nothing for an invalid text."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""
