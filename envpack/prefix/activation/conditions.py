"""Decide a shell's tests without running anything: true, false, or unknown."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Condition: TypeAlias = "bool | None"
"""None when it is not known."""


def negated(condition: Condition) -> Condition:
    """Return the opposite."""
    return None if condition is None else not condition


def both(first: Condition, second: Condition) -> Condition:
    """Return whether both hold; one that is false decides it."""
    if first is False or second is False:
        return False
    return None if first is None or second is None else True


def either(first: Condition, second: Condition) -> Condition:
    """Return whether one of two holds; one that is true decides it."""
    return negated(both(negated(first), negated(second)))


def test(operands: Sequence[str | None], *, prefix: Path, variables: Mapping[str, str | None]) -> Condition:
    """Decide what `test` would return for its operands. Only files below the prefix are checked.

    Source: POSIX, the utility `test`, and bash's manual for `-v` and `==`.
    """
    result: Condition = None
    match [*operands]:
        case []:
            result = False
        case ["!", *_] if len(operands) > 1:
            result = negated(test(operands[1:], prefix=prefix, variables=variables))
        case [str(text)] | ["-n", str(text)]:
            result = bool(text)
        case ["-z", str(text)]:
            result = not text
        case ["-v", str(name)]:
            result = None if variables.get(name, "") is None else name in variables
        case [str(operator), str(path)] if operator in _OF_FILES:
            result = _of_file(operator, Path(path), prefix)
        case [str(left), "=" | "==", str(right)]:
            result = left == right
        case [str(left), "!=", str(right)]:
            result = left != right
    return result


def _of_file(operator: str, path: Path, prefix: Path) -> Condition:
    if not path.is_relative_to(prefix) or ".." in path.parts:
        return None
    try:
        status = path.lstat() if operator in ("-L", "-h") else path.stat()
    except OSError:
        return False
    return _OF_FILES[operator](status.st_mode, status.st_size)


_OF_FILES: dict[str, Callable[[int, int], bool]] = {
    "-e": lambda _mode, _size: True,
    "-f": lambda mode, _size: stat.S_ISREG(mode),
    "-d": lambda mode, _size: stat.S_ISDIR(mode),
    "-L": lambda mode, _size: stat.S_ISLNK(mode),
    "-h": lambda mode, _size: stat.S_ISLNK(mode),
    "-s": lambda _mode, size: size > 0,
    "-x": lambda mode, _size: bool(mode & 0o111),
    "-r": lambda _mode, _size: True,
}
