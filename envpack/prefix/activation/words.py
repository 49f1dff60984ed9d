"""Split a shell script into words and operators, as far as possible without running it.

Source: POSIX.1-2017, Shell Command Language, sections 2.2 (quoting), 2.3 (tokens) and 2.6 (expansions); bash's
additions are in its manual.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator


class UnreadableError(Exception):
    """From an offset on, the script uses syntax that is not read here."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"unreadable from {offset}")
        self.offset = offset


@dataclass(frozen=True)
class Literal:
    """Literal text."""

    text: str
    quoted: bool


@dataclass(frozen=True)
class Parameter:
    """`$NAME`, or `${NAME}` with an operator and a word: `:-`, `-`, `:+` or `+`."""

    name: str
    quoted: bool
    operator: str = ""
    word: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Command:
    """`$(...)`."""

    text: str
    quoted: bool


@dataclass(frozen=True)
class Unknown:
    """Any other expansion."""

    quoted: bool


Part: TypeAlias = "Literal | Parameter | Command | Unknown"


@dataclass(frozen=True)
class Word:
    """One word of a command."""

    parts: tuple[Part, ...]
    offset: int
    """Where it starts in the script."""

    @property
    def plain(self) -> str | None:
        """The word's text when nothing in it is quoted or expanded, as a reserved word must be."""
        match self.parts:
            case (Literal(text, False),):
                return text
            case _:
                return None


@dataclass(frozen=True)
class Operator:
    """An operator, or the end of a line."""

    text: str
    offset: int


Token: TypeAlias = "Word | Operator"  # noqa: S105 - no secret

_BLANK = re.compile(r"(?:[ \t]|\\\n)+")
_COMMENT = re.compile(r"#[^\n]*")
_OPERATOR = re.compile(r"\n|;;&?|;&|;|&&|&>>|&>|&|\|\||\|&|\||\(|\)|<<<|<<-?|<&|<>|<|>>|>&|>\||>")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_BRACED = re.compile(r"\$\{([A-Za-z_]\w*)(?:(:?[-+])|(?=\}))", re.ASCII)
_ASSIGNING = re.compile(r"\$\{\w+:?=")
_SPECIAL = re.compile(r"\$[0-9@*#?$!-]")
_PUZZLING = re.compile(r"\bcase\b|#")
_LITERAL = re.compile(r"[^ \t\n;&|()<>'\"\\$`]+")
_LITERAL_IN_QUOTES = re.compile(r"[^\"\\$`]+")
_LITERAL_IN_BRACES = re.compile(r"[^}'\"\\$`]+")


def tokens(text: str) -> tuple[list[Token], int]:
    """Return the tokens of a script, up to the line with the first unreadable one, and where that line starts."""
    found: list[Token] = []
    try:
        for token in _Scanner(text).tokens():
            found.append(token)  # noqa: PERF402 - those before an error count
    except UnreadableError:
        while found and not (isinstance(found[-1], Operator) and found[-1].text == "\n"):
            found.pop()
        return found, found[-1].offset + 1 if found else 0
    return found, len(text)


class _Scanner:
    """Reads a script from start to end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def tokens(self) -> Iterator[Token]:
        while self.at < len(self.text):
            if self.take(_BLANK) or self.take(_COMMENT):
                continue
            start = self.at
            if operator := self.take(_OPERATOR):
                yield Operator(operator[0], start)
            else:
                yield Word(self.parts(_LITERAL, start), start)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()
        return match

    def parts(self, literal: re.Pattern[str], start: int, *, in_quotes: bool = False) -> tuple[Part, ...]:
        """Return the parts up to what ends a word, a pair of double quotes or a pair of braces."""
        found: list[Part] = []
        while self.at < len(self.text):
            if match := self.take(literal):
                found.append(Literal(match[0], in_quotes))
                continue
            part = self.special(start, in_quotes=in_quotes)
            if part is None:
                break
            found += part
        return tuple(found)

    def special(self, start: int, *, in_quotes: bool) -> tuple[Part, ...] | None:
        """Return the part that begins with a quote, a backslash, a dollar or a backtick; None at anything else."""
        match self.text[self.at]:
            case "\\":
                return self.escaped(in_quotes=in_quotes)
            case "'" if not in_quotes:
                return (Literal(self.through("'", start)[1:-1], quoted=True),)
            case '"' if not in_quotes:
                self.at += 1
                inside = self.parts(_LITERAL_IN_QUOTES, start, in_quotes=True)
                self.closed('"', start)
                return inside or (Literal("", quoted=True),)
            case "$":
                return (self.dollar(start, in_quotes=in_quotes),)
            case "`":
                if "\\" in self.through("`", start):
                    raise UnreadableError(start)
                return (Unknown(in_quotes),)
            case _:
                return None

    def escaped(self, *, in_quotes: bool) -> tuple[Part, ...]:
        following = self.text[self.at + 1 : self.at + 2]
        self.at += 2
        if following == "\n":
            return ()
        kept = "\\" if in_quotes and following not in '$`"\\' else ""
        return (Literal(kept + following, quoted=True),)

    def dollar(self, start: int, *, in_quotes: bool) -> Part:
        if self.text.startswith("$(", self.at):
            command = self.balanced("(", ")", start)
            if _PUZZLING.search(command):
                raise UnreadableError(start)
            return Command(command[2:-1].strip(), in_quotes)
        if _ASSIGNING.match(self.text, self.at):
            raise UnreadableError(start)
        if match := self.take(_BRACED):
            word = self.parts(_LITERAL_IN_BRACES, start, in_quotes=in_quotes) if match[2] else ()
            self.closed("}", start)
            return Parameter(match[1], in_quotes, match[2] or "", word)
        if self.text.startswith("${", self.at):
            self.balanced("{", "}", start, in_quotes=in_quotes)
            return Unknown(in_quotes)
        if self.take(_SPECIAL):
            return Unknown(in_quotes)
        self.at += 1
        if match := self.take(_NAME):
            return Parameter(match[0], in_quotes)
        if self.text.startswith(("'", '"'), self.at) and not in_quotes:
            raise UnreadableError(start)
        return Literal("$", in_quotes)

    def balanced(self, opening: str, closing: str, start: int, *, in_quotes: bool = False) -> str:
        """Skip a pair of brackets and return it with its content."""
        begin, depth = self.at, 0
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in "'\"\\`":
                if self.special(start, in_quotes=in_quotes) is None:
                    break
                continue
            self.at += 1
            depth += (character == opening) - (character == closing)
            if depth == 0 and character == closing:
                return self.text[begin : self.at]
        raise UnreadableError(start)

    def through(self, end: str, start: int) -> str:
        """Skip past the next `end` after the current character and return the skipped text."""
        found = self.text.find(end, self.at + 1)
        if found < 0:
            raise UnreadableError(start)
        passed = self.text[self.at : found + 1]
        self.at = found + 1
        return passed

    def closed(self, end: str, start: int) -> None:
        if not self.text.startswith(end, self.at):
            raise UnreadableError(start)
        self.at += 1
