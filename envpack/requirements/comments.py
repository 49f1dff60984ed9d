"""The comments of requirement lines that are for envpack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGIN = re.compile(r"#[ \t]*envpack:(?=[ \t]|$)(?P<rest>.*)", re.IGNORECASE)
_MORE = re.compile(r"#(?P<text>[ ]{2,}\S.*)")
_EMPTY = re.compile(r"#[ \t]*")


def blocks(text: str) -> Iterator[str]:
    """Yield each `# envpack:` block as YAML, with empty lines before it so that line numbers are the file's.

    The block is the text after the colon and the comment lines below that are indented by two blanks or more.
    """
    block: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""]):
        begun, more = _BEGIN.fullmatch(line.rstrip()), _MORE.fullmatch(line.rstrip())
        if begun or not (more or _EMPTY.fullmatch(line)):
            if block:
                yield "\n".join(block)
            block = [*[""] * number, begun["rest"].strip()] if begun else []
        elif block:
            block.append(more["text"] if more else "")


def headers(text: str) -> Iterator[int]:
    """Yield the numbers of the lines that begin such a block."""
    for number, line in enumerate(text.splitlines(), start=1):
        if _BEGIN.fullmatch(line.rstrip()):
            yield number
