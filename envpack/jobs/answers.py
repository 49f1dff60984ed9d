"""JSON that other programs answer, read as the fields that are needed, each with its type."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from envpack.errors import LauncherFailed

T = TypeVar("T")


def parsed(data: bytes, kind: type[T], who: str) -> T:
    """Return an answer as its type; fields that the type does not have are ignored.

    Raises LauncherFailed when it is not JSON, or when a field is missing or has another type.
    """
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise LauncherFailed(
            f"the reply of {who} does not follow its API: {error}",
            hint="check the address (`server:`, --server) and the version of the server",
        ) from error
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise LauncherFailed(
            f"the reply of {who} is not JSON", hint="check the address: `server:` in the job file, or --server"
        ) from error
