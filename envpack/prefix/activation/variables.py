"""What is known of a shell's variables while a script is read, and the values of its words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack.prefix.activation.words import Command, Literal, Operator, Parameter, Part, Word, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_SAME_EVERYWHERE: Mapping[str, str | None] = {"BASH_VERSION": "5", "OSTYPE": "linux-gnu"}
"""Variables that a bash on a cluster's nodes has. Scripts only test whether its version is set."""

_OF_THE_SHELL = re.compile(
    r"_|BASH\w*|COLUMNS|COMP_\w+|DIRSTACK|E?UID|EPOCH\w+|FUNCNAME|GROUPS|HIST\w+|HOSTNAME|HOSTTYPE|IFS|LINENO|LINES"
    r"|MACHTYPE|OLDPWD|OPT[A-Z]+|PIPESTATUS|PPID|PS\d|PWD|S?RANDOM|SECONDS|SHELL|SHELLOPTS|SHLVL"
)
"""Variables that bash sets by itself. Source: its manual, Bash Variables."""

_ASSIGNMENT = re.compile(rf"({NAME.pattern})(\+?)=")
_ASSIGNED = re.compile(rf"(?:\$\{{|(?<![\w$.{{-]))({NAME.pattern})(?:\+?=(?!=)|:=)")
_EXPORTING = re.compile(r"\b(?:export|(?:declare|typeset)\s+-\w*x\w*)(?=\s)")
_NAMING = re.compile(
    r"\b(?:declare|for|getopts|let|local|mapfile|printf\s+-v|read|readarray|readonly|select|typeset|unset)(?=\s)"
)
_HIDING = re.compile(
    r"\b(?:eval|source|allexport)\b|(?:^|[;&|({]|\b(?:then|do|else))\s*\.\s+\S|\bset\s+-\w*a", re.MULTILINE
)
_ENDING = re.compile(r"\b(?:exit|exec)\b")
_LINE = re.compile(r"(?:[^\\\n]|\\.)*", re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s)#.*$", re.MULTILINE)


class Variables:
    """The variables of a shell. A value of None is unknown; the variable may even be unset."""

    def __init__(self, environ: Mapping[str, str | None], machine: str) -> None:
        self.values = {**_SAME_EVERYWHERE, **environ}
        self.exported = set(environ)
        self.perhaps_exported: set[str] = set()
        self.touched: set[str] = set()
        """Those that were set or unset, or may have been."""
        self.hidden = False
        """Whether others may have been set too."""
        self.ended = False
        """Whether the shell may have been ended, with all that was set."""
        self._answers = {"uname": "Linux", "uname -s": "Linux", "uname -m": machine}

    def assign(self, name: str, value: str | None) -> None:
        """Set a variable; None means an unknown value."""
        self.values[name] = value
        self.touched.add(name)

    def unset(self, name: str) -> None:
        """Unset a variable."""
        self.values.pop(name, None)
        self.exported.discard(name)
        self.perhaps_exported.discard(name)
        self.touched.add(name)

    def doubt(self, name: str) -> None:
        """Forget what is known of a variable, with whether it is exported."""
        self.assign(name, None)
        if name in self.exported:
            self.exported.remove(name)
            self.perhaps_exported.add(name)

    def export(self, name: str, *, sure: bool) -> None:
        """Export a variable to the commands that are started."""
        self.touched.add(name)
        if sure:
            self.exported.add(name)
        elif name not in self.exported:
            self.perhaps_exported.add(name)

    def take_in_unread(self, text: str) -> None:
        """Mark as unknown every variable that a piece of a script names as if it changed it."""
        text = _COMMENT.sub("", text)
        exported = {*_named(text, _EXPORTING)}
        assigned = {*_ASSIGNED.findall(text)}
        self.hidden |= None in exported or bool(_HIDING.search(text))
        self.ended |= bool(_ENDING.search(text))
        for name in assigned | exported | {*_named(text, _NAMING)}:
            if name:
                self.doubt(name)
        self.perhaps_exported |= {name for name in exported if name}

    def value(self, parts: Sequence[Part]) -> str | None:
        """Return the value of a word where the shell does not split it, or None when unknown."""
        if any(isinstance(part, Literal) and re.search(r"(?:^|[:=])~", part.text) for part in unquoted(parts)):
            return None
        texts = [self._expanded(part) for part in parts]
        return None if None in texts else "".join(text for text in texts if text is not None)

    def fields(self, word: Word) -> list[str | None] | None:
        """Return the words that the shell makes of a word, or None when their number is unknown."""
        value, loose = self.value(word.parts), unquoted(word.parts)
        if value is None:
            return [None] if all(isinstance(part, Literal) for part in loose) else None
        if word.plain != "[" and re.search(r"[\s*?\[{\\]", "".join(self._expanded(part) or "" for part in loose)):
            return None
        return [] if not value and len(loose) == len(word.parts) else [value]

    def _expanded(self, part: Part) -> str | None:
        match part:
            case Literal(text):
                return text
            case Parameter(name, _, operator, word):
                return self._parameter(name, operator, word)
            case Command(text):
                return self._answers.get(text)
            case _:
                return None

    def _parameter(self, name: str, operator: str, word: Sequence[Part]) -> str | None:
        """Source: POSIX, 2.6.2 Parameter Expansion."""
        value = self.values.get(name)
        if value is None and (name in self.values or _OF_THE_SHELL.fullmatch(name)):
            return None
        there = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("-") and not there:
            return self.value(word)
        if operator.endswith("+"):
            return self.value(word) if there else ""
        return value or ""


def assignment(word: Word, *, quoted: bool = True) -> tuple[str, bool, tuple[Part, ...]] | None:
    """Return name, whether the value is appended, and the value's parts, if a word assigns.

    The whole may be `quoted` where it is the argument of a command.
    """
    first = word.parts[0] if word.parts else None
    if not isinstance(first, Literal) or (first.quoted and not quoted):
        return None
    match = _ASSIGNMENT.match(first.text)
    if match is None:
        return None
    rest = first.text[match.end() :]
    head = (Literal(rest, first.quoted),) if rest else ()
    return match[1], bool(match[2]), (*head, *word.parts[1:])


def variable_of(word: Word) -> str | None:
    """Return the variable that a word names or assigns; "" when it is an option, None when unknown."""
    found, plain = assignment(word), word.plain or ""
    if found:
        return found[0]
    if plain.startswith("-"):
        return ""
    return plain if NAME.fullmatch(plain) else None


def _named(text: str, command: re.Pattern[str]) -> Iterator[str | None]:
    """Yield the arguments of a command anywhere in a piece of a script; None for unknown ones."""
    for match in command.finditer(text):
        line = _LINE.match(text, match.end())
        found, end = tokens(line[0] if line else "")
        for token in found:
            if isinstance(token, Operator):
                break
            yield variable_of(token)
        if line and end < len(line[0]):
            yield from (None, *_ASSIGNED.findall(line[0]))


def unquoted(parts: Sequence[Part]) -> list[Part]:
    """Return the parts that are not between quotes."""
    return [part for part in parts if not part.quoted]
