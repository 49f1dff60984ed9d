"""Shell scripts that contain the prefix in their body: they compute it from their own path instead.

Each way of quoting needs a different spelling of the same value, so the script is read as a shell reads it
(POSIX.1-2017, Shell Command Language, 2.2 Quoting and 2.7.4 Here-Document). A script with unbalanced quotes or
brackets is left unchanged.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field

VARIABLE = "envpack_prefix"

_SHELLS = re.compile(r"\A#![^\n]*?\b(?:sh|bash|dash|ash|ksh|mksh|zsh)(?=[ \t\n])")
_HEREDOC = re.compile(r"<<(?P<dash>-?)[ \t]*(?P<word>(?:'[^'\n]+'|\"[^\"\n]+\"|\\?[^\s;&|<>()'\"`]+)+)")
_BEFORE_COMMENT = " \t\n;&|("


class _UnevenError(Exception):
    """The script's quotes or brackets are unbalanced, or the prefix is where no variable can be."""


def is_shell(text: str) -> bool:
    """Say whether a script is for a POSIX-like shell, by its first line."""
    return bool(_SHELLS.match(text))


def without_prefix(text: str, path: str, prefix: str) -> str | None:
    """Return a shell script that finds its environment; None when that is not possible.

    `path` is the script's path in the environment, `prefix` its text for the environment's directory.
    """
    try:
        body = _Reader(text, prefix).read()
    except _UnevenError:
        return None
    up = posixpath.relpath(".", posixpath.dirname(path) or ".")
    finding = f'{VARIABLE}=$(cd -- "$(dirname -- "$(realpath -- "${{BASH_SOURCE:-$0}}")")/{up}" && pwd -P)\n'
    first, newline, rest = body.partition("\n")
    return f"{first}{newline}{finding}{rest}"


@dataclass
class _Reader:
    """Reads a script, and replaces the prefix by the variable."""

    text: str
    prefix: str
    at: int = 0
    out: list[str] = field(default_factory=list)
    within: list[str] = field(default_factory=list)
    """The open constructs: `"`, `)`, a backtick, `}` in code, and `}"` inside double quotes."""
    waiting: list[tuple[str, bool, bool]] = field(default_factory=list)
    """Here-documents that begin with the next line: the word at their end, whether it is quoted, `<<-`."""

    def read(self) -> str:
        first = self.text.find("\n") + 1 or len(self.text)
        if self.prefix in self.text[:first]:
            raise _UnevenError
        self._take(first)
        while self.at < len(self.text):
            self._step()
        if self.within or self.waiting:
            raise _UnevenError
        return "".join(self.out)

    @property
    def _quoted(self) -> bool:
        return bool(self.within) and self.within[-1] in ('"', '}"')

    def _take(self, count: int) -> None:
        self.out.append(self.text[self.at : self.at + count])
        self.at += count

    def _step(self) -> None:
        rest = self.text[self.at : self.at + 3]
        if self.text.startswith(self.prefix, self.at):
            self.out.append(f"${{{VARIABLE}}}" if self._quoted else f'"${{{VARIABLE}}}"')
            self.at += len(self.prefix)
        elif rest[0] == "\\":
            self._take(2)
        elif rest.startswith("$("):
            self._open(")", 2)
        elif rest.startswith("${"):
            self._open('}"' if self._quoted else "}", 2)
        elif rest[0] == "`":
            self._close(1) if self.within[-1:] == ["`"] else self._open("`", 1)
        elif rest[0] == '"':
            self._close(1) if self.within[-1:] == ['"'] else self._open('"', 1)
        elif rest[0] == "}" and self.within and self.within[-1] in ("}", '}"'):
            self._close(1)
        elif self._quoted:
            self._take(1)
        else:
            self._code(rest)

    def _code(self, rest: str) -> None:
        """Continue outside of quotes."""
        if rest.startswith("$'"):
            self._single(2, "$'")
        elif rest[0] == "'":
            self._single(1, "'")
        elif rest[0] == "#" and self.text[self.at - 1] in _BEFORE_COMMENT and self.within[-1:] != ["}"]:
            end = self.text.find("\n", self.at)
            comment = self.text[self.at : end if end >= 0 else len(self.text)]
            self.out.append(comment.replace(self.prefix, f"${VARIABLE}"))
            self.at += len(comment)
        elif rest[0] == "(":
            self._open(")", 1)
        elif rest[0] == ")" and self.within[-1:] == [")"]:
            self._close(1)
        elif rest == "<<<":
            self._take(3)
        elif rest.startswith("<<") and (found := _HEREDOC.match(self.text, self.at)):
            word = re.sub(r"['\"\\]", "", found["word"])
            self.waiting.append((word, word != found["word"], bool(found["dash"])))
            self._take(len(found[0]))
        elif rest[0] == "\n" and self.waiting:
            self._take(1)
            self._documents()
        else:
            self._take(1)

    def _open(self, end: str, length: int) -> None:
        self.within.append(end)
        self._take(length)

    def _close(self, length: int) -> None:
        self.within.pop()
        self._take(length)

    def _single(self, length: int, opening: str) -> None:
        """Read a text in single quotes; in `$'...'` a backslash escapes."""
        end = self.at + length
        while end < len(self.text) and self.text[end] != "'":
            end += 2 if opening == "$'" and self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise _UnevenError
        inside = self.text[self.at : end + 1]
        self.out.append(inside.replace(self.prefix, f'\'"${{{VARIABLE}}}"{opening}'))
        self.at = end + 1

    def _documents(self) -> None:
        for word, literal, dash in self.waiting:
            while True:
                end = self.text.find("\n", self.at)
                line = self.text[self.at : end + 1] if end >= 0 else self.text[self.at :]
                if not line:
                    raise _UnevenError
                if literal and self.prefix in line:
                    raise _UnevenError
                self.out.append(line.replace(self.prefix, f"${{{VARIABLE}}}"))
                self.at += len(line)
                if (line.rstrip("\n").lstrip("\t") if dash else line.rstrip("\n")) == word:
                    break
        self.waiting.clear()
