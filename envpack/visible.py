"""Text from outside, made safe for a terminal: it cannot move the cursor, write the clipboard or hide text."""

from __future__ import annotations

import re
from functools import cache

_UNSEEN = "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"


@cache
def _unseen(lines: bool) -> re.Pattern[str]:
    """Return the pattern of such characters, including newlines and tabs without `lines`; compiled when needed."""
    return re.compile(_UNSEEN.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f") if lines else _UNSEEN)


def visible(text: str, *, lines: bool = False) -> str:
    r"""Return a text with every control character written as its escape: ESC becomes `\x1b`.

    Control characters are those of C0 and C1, DEL, separators of lines and paragraphs, characters that change the
    direction of text or have no width (Unicode categories Cc, Zl, Zp and most of Cf), and lone surrogates. With
    `lines`, newlines and tabs stay.
    """
    return _unseen(lines).sub(_escaped, text)


def visible_json(text: str) -> str:
    """Return the text of a JSON value with JSON's own escapes for such characters, which only strings can hold."""
    return _unseen(True).sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")
