"""The keywords of the Python API: each known, each of its type, all mistakes told at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpack.config.config import kinds
from envpack.errors import BadConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLACES = frozenset({"store", "cache_dir", "channels", "project", "driver_python", "file"})
"""Keywords that take a path object too."""


def checked(
    configuration: Mapping[str, Any],
    *,
    texts: Mapping[str, Any],
    switches: Mapping[str, Any],
    others: Iterable[str] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the configuration and the other texts as envpack has them: texts, tuples of texts, mappings.

    `configuration` are keywords by which fields of `Config` are given. `texts` and `switches` are the other ones of
    a function, which hold a text or None, and True or False; `others` are names of what is left, for questions. A
    whole number is taken as the text of it, and one text as a list of one. Raises BadConfiguration with every
    keyword that is unknown, with the nearest that is known, and with every value of a wrong type.
    """
    known = kinds()
    problems: list[str] = []
    values: dict[str, Any] = {}
    for name, value in configuration.items():
        if name not in known:
            problems.append(_unknown(name, [*known, *texts, *switches, *others]))
        elif value is not None:
            _take(values, problems, name, value, known[name])
    chosen: dict[str, Any] = dict.fromkeys(texts)
    for name, value in texts.items():
        if value is not None:
            _take(chosen, problems, name, value, "text")
    for name, value in switches.items():
        _take({}, problems, name, value, "boolean")
    if problems:
        raise BadConfiguration(problems)
    return values, chosen


def _take(into: dict[str, Any], problems: list[str], name: str, value: Any, kind: str) -> None:  # noqa: ANN401
    try:
        into[name] = _of_kind(name, value, kind)
    except ValueError as error:
        problems.append(f"{name}: {error}")


def _of_kind(name: str, value: Any, kind: str) -> Any:  # noqa: ANN401 - the keyword's type
    """Return a value as envpack has it. Raises ValueError when it is of another type."""
    if kind == "boolean":
        if not isinstance(value, bool):
            raise ValueError(f"must be True or False, not {_shown(value)}")
        return value
    if kind == "mapping":
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a dictionary of texts, not {_shown(value)}")
        return {_text(name, key): _text(name, each) for key, each in value.items()}
    if kind == "list":
        several = value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
        texts = tuple(_text(name, each) for each in several)
        return tuple(sorted(texts)) if isinstance(value, (set, frozenset)) else texts
    return _text(name, value)


def _text(name: str, value: Any) -> str:  # noqa: ANN401 - any value
    if name in _PLACES and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        raise ValueError(f'must be a text, such as "{value}", not the number {value}: 3.1 and 3.10 are one number')
    if not isinstance(value, str):
        raise ValueError(f"must be a text, not {_shown(value)}")
    if "\0" in value:
        raise ValueError(f"has a NUL in it, which nothing here can have: {value!r}")
    return value


def path(value: Any) -> Path:  # noqa: ANN401 - any value
    """Return the path of a file that was given as a text or a path object. Raises BadConfiguration."""
    if not isinstance(value, (str, os.PathLike)):
        raise BadConfiguration([f"file: must be a path, not {_shown(value)}"])
    try:
        return Path(_text("file", value))
    except ValueError as error:
        raise BadConfiguration([f"file: {error}"]) from error


def _shown(value: Any) -> str:  # noqa: ANN401 - any value
    if value is None or isinstance(value, (bool, int)):
        return repr(value)
    return f"a value of type {type(value).__name__}"


def _unknown(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    question = f": did you mean {near[0]}?" if near else ", and none is like it: see envpack.config.config.Config"
    return f"there is no keyword {name}{question}"
