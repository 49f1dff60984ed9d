"""The brackets of a match spec: `[key=value, ...]`, which come last. Sources: CEP 29, conda's MatchSpec."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack.requirements.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = (
    "version",
    "build",
    "build_number",
    "channel",
    "subdir",
    "url",
    "fn",
    "md5",
    "sha256",
    "license",
    "license_family",
    "track_features",
    "features",
    "namespace",
    "extras",
    "flags",
    "when",
)
"""What the brackets may contain: the keys of conda's and rattler's parsers."""

LEGACY = re.compile(r"\s*\((?:\s*(?:optional|target=[^(),\s]*)\s*,?)+\)$")
"""What older conda wrote after a spec, and conda ignores: `(optional)`, `(target=...)`."""

_NO_EXTRAS = "conda packages have no extras; write the requirement under `- pip:`"
_REGEX = re.compile(r"\^[^$\s]*\$")
_KEY = re.compile(r"\s*(?P<key>[\w-]+)\s*=\s*")


class NotASpec(Exception):
    """Why a text is no match spec."""


def split(text: str) -> tuple[str, str | None]:
    """Return a spec without its brackets, and their content."""
    within_regex = {at for found in _REGEX.finditer(text) for at in range(*found.span())}
    start = next((at for at, sign in enumerate(text) if sign == "[" and at not in within_regex), None)
    if start is None:
        if "]" in text and not within_regex:
            raise NotASpec("a bracket is closed that was not opened")
        return text, None
    depth, quote = 0, ""
    for position in range(start, len(text)):
        character = text[position]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character == "[") - (character == "]")
            if depth == 0:
                behind = text[position + 1 :]
                if "[" in behind:
                    raise NotASpec("it has more than one pair of brackets")
                if behind.strip() and not LEGACY.fullmatch(behind):
                    extras = "=" not in text[start:position]
                    raise NotASpec(_NO_EXTRAS if extras else "something follows the brackets, which come last")
                return text[:start] + behind, text[start + 1 : position]
    raise NotASpec("a bracket is not closed")


def keys_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield the keys in the brackets with their values, which may be in quotes or a list in brackets."""
    position, seen = 0, set[str]()
    while text[position:].strip(" ,"):
        position += len(text[position:]) - len(text[position:].lstrip(" ,"))
        match = _KEY.match(text, position)
        if match is None:
            raise NotASpec(_no_key(text[position:].strip()))
        key, position = match["key"], match.end()
        value, position = _value(text, position)
        if not value:
            raise NotASpec(f"the key {key!r} has no value")
        if key not in (*KEYS, "name", "build_string"):
            raise NotASpec(f"unknown key {key!r}{did_you_mean(key, KEYS)}")
        if key in seen:
            raise NotASpec(f"the key {key!r} is given twice")
        seen.add(key)
        if key in ("extras", "flags"):
            value = ",".join(item.strip(" '\"") for item in value.split(","))
        yield key, value


def _value(text: str, start: int) -> tuple[str, int]:
    opening = text[start : start + 1]
    if opening in ("'", '"', "["):
        closing = "]" if opening == "[" else opening
        end = text.find(closing, start + 1)
        if end < 0:
            raise NotASpec(f"{opening} is not closed")
        return text[start + 1 : end].strip(), end + 1
    end = next((at for at in range(start, len(text)) if text[at] in ", "), len(text))
    return text[start:end], end


def _no_key(text: str) -> str:
    if compared := re.match(r"(?P<key>\w+)\s*(?P<value>[<>!~]=?[^\s,]*)", text):
        return f"write {compared['key']}='{compared['value']}'"
    word = text.partition(",")[0].strip()
    if word in KEYS:
        return f"the key {word!r} has no value"
    return f"{text!r} is not KEY=VALUE" if "=" in text else _NO_EXTRAS
