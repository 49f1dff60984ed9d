"""Regular expressions that are compiled when they are first used.

The filter has some thirty; compiling them all takes longer than everything else that a short command does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from typing import Any

_METHODS = ("search", "match", "fullmatch", "finditer", "findall", "sub")


class _Pattern:
    """Represents a compiled pattern; after the first use it has the pattern's methods as its own."""

    def __init__(self, text: str, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a pattern has
        compiled = re.compile(self._text, self._flags)
        for each in _METHODS:
            setattr(self, each, getattr(compiled, each))
        return getattr(compiled, name)


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """Return an object that is used like the result of `re.compile`."""
    return cast("re.Pattern[str]", _Pattern(text, flags))
