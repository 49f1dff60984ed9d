"""The arguments of the Python API, checked against each keyword's kind before any of them is used."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any

from envpack.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WANTED = {
    "text": "a string",
    "path": "a path",
    "boolean": "True or False",
    "list": "a list of strings",
    "mapping": "a dictionary of strings",
}


_NEEDED = ("file", "latest", "locked", "upgrade", "verify", "dry_run")

OPTIONS = {
    "file": "path",
    **dict.fromkeys(("name", "tag", "driver_python"), "text"),
    **dict.fromkeys(("latest", "locked", "upgrade", "verify", "dry_run"), "boolean"),
}
"""The keywords of `envpack.build` in addition to those of the configuration, each with its kind."""


def checked(given: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments with paths as texts and lists as tuples; None values are left out.

    Raises UsageError with every keyword that is not in `known` and every value that is not of its kind.
    """
    if problems := list(_problems(given, known)):
        raise UsageError(problems, hint="the fields of envpack.config.config.Config are the keywords")
    return {name: _plain(value) for name, value in given.items() if value is not None}


def _plain(value: Any) -> Any:  # noqa: ANN401 - of any field
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return tuple(value) if isinstance(value, list) else value


def _problems(given: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[str]:
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            yield f"unknown keyword {name}" + (f": did you mean {near[0]}?" if near else "")
        elif (value is not None or name in _NEEDED) and not _fits(value, known[name]):
            hint = f": write {str(value)!r}" if isinstance(value, (int, float)) and known[name] == "text" else ""
            yield f"{name} must be {_WANTED[known[name]]}, not of the type {type(value).__name__}{hint}"


def _fits(value: object, kind: str) -> bool:
    match kind:
        case "text" | "path":
            return isinstance(value, str) or (isinstance(value, os.PathLike) and isinstance(os.fspath(value), str))
        case "boolean":
            return isinstance(value, bool)
        case "list":
            return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
        case _:
            return isinstance(value, dict) and all(isinstance(item, str) for pair in value.items() for item in pair)
