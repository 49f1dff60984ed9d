"""The two kinds of package names: conda's, compared as they are, and projects' of a package index, by PEP 503.

Both are texts, so they print, sort and serialise as such. Their constructors normalise, and mypy distinguishes
them: comparing one kind with the other, or looking one up among the other, is an error.
"""

from __future__ import annotations

import re
from typing import final

from packaging.utils import canonicalize_name

LONGEST = 64
"""Characters of a conda name (CEP 26)."""

_CHARACTERS = re.compile(r"[a-z0-9._-]+")
_BEGINNING = re.compile(r"__?[a-z0-9]|[a-z0-9]")
_TWO_SEPARATORS = re.compile(r"[._-]{2}")


@final
class CondaName(str):
    """A conda package's name in lower case: `-`, `_` and `.` in it are different characters."""

    __slots__ = ()

    def __new__(cls, name: str) -> CondaName:
        """Fold only the case, as conda does. `problem_of` says whether the name is valid."""
        return super().__new__(cls, name.lower())


@final
class ProjectName(str):
    """A project's name as PEP 503 normalises it: lower case, each run of `-`, `_` and `.` one `-`."""

    __slots__ = ()

    def __new__(cls, name: str) -> ProjectName:
        """Normalise the name."""
        return super().__new__(cls, canonicalize_name(name))


def problem_of(name: CondaName) -> str | None:
    """Return why conda packages cannot have this name, or None when they can. Source: CEP 26."""
    if unfit := sorted({*name} - {character for character in name if _CHARACTERS.fullmatch(character)}):
        return f"a package's name cannot have {' '.join(map(repr, unfit))}"
    if not _BEGINNING.match(name):
        return "a package's name begins with a letter, a digit or one underscore"
    if _TWO_SEPARATORS.search(name.removeprefix("__")):
        return "a package's name has no two separators side by side"
    if len(name) > LONGEST:
        return f"a package's name has no more than {LONGEST} characters"
    return None
