"""Regular expressions that are compiled when they are first used.

The filter has some thirty; to compile them all takes longer than a short command needs for everything else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from typing import Any

_METHODS = ("search", "match", "fullmatch", "finditer", "findall", "sub")


class _Pattern:
    """Stands for a compiled pattern, and has its methods as its own after the first use."""

    def __init__(self, text: str, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a pattern has
        compiled = re.compile(self._text, self._flags)
        for each in _METHODS:
            setattr(self, each, getattr(compiled, each))
        return getattr(compiled, name)


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """Return what can be used as `re.compile` of a text can be."""
    return cast("re.Pattern[str]", _Pattern(text, flags))
