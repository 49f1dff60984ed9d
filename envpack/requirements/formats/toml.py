"""TOML texts, and where in them something is written."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from envpack.requirements.text import first_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from envpack.requirements.txt import Reading, Source
    from envpack.requirements.values import Origin


_LINE = re.compile(r"\(at line (\d+), ")
"""tomllib's place of a mistake."""


def load(text: str, source: Source, reading: Reading) -> dict[str, Any]:
    """Return the content of a text; if it is not TOML, keep the problem and return nothing."""
    try:
        found: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        said = first_line(error)
        at = _LINE.search(said)
        line = int(at[1]) if at else text.count("\n") + 1 if "end of document" in said else 0
        reading.refuse(source.at(line), f"is not TOML: {said}")
        return {}
    return found


def table(value: object) -> dict[str, Any]:
    """Return a table; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def entries(value: object) -> list[dict[str, Any]]:
    """Return the tables of an array."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """Return the texts of an array."""
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def place_of(word: str, text: str, source: Source) -> Origin:
    """Return the first line that holds a text between quotes; the whole file where none does."""
    at = next((at for quote in "\"'" if (at := text.find(f"{quote}{word}{quote}")) >= 0), None)
    return source.at(0 if at is None else text.count("\n", 0, at) + 1)


def line_of(key: str, text: str, source: Source) -> Origin:
    """Return the first line that sets a key or opens its table; the whole file where none does."""
    found = re.search(rf"""^\s*(?:\[+[^\]\n]*)?["']?{re.escape(key)}["']?\s*[\].=]""", text, re.MULTILINE)
    return source.at(text.count("\n", 0, found.end() - 1) + 1 if found else 0)
