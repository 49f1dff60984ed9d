"""The text of a requirements file: its encoding, its logical lines, its environment variables."""

from __future__ import annotations

import codecs
import difflib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.units import agreeing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LARGEST_FILE = 4 << 20
"""The largest requirements file, in bytes."""

LARGEST_LOCK = 16 << 20
"""Bytes; a lock names every package of several platforms."""

LONGEST_LINE = 1 << 16
"""Characters of a line with its continuations; a thousand hashes fit."""

_SUFFIXES = (".txt", ".yml", ".yaml", ".toml", ".lock")
_SHOWN = 3

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CODING = re.compile(rb"^#.*coding[:=]\s*([-\w.]+)")
_NEWLINE = re.compile(r"\r\n|\r|\n")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)\}")


class Refused(Exception):
    """Why a line, or a whole file, cannot be used."""

    def __init__(self, reason: str, *, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        """What is wrong and what to write instead."""
        self.line = line
        """The line within the file, when the file was refused while it was decoded."""


def read_text(path: Path, *, largest: int = LARGEST_FILE) -> str:
    """Return the text of a file of at most `largest` bytes.

    The encoding is UTF-8 unless a byte order mark or a PEP 263 comment in the first two lines says otherwise, as in
    pip's requirements file format ("Encoding"). Raises Refused when there is no such file, when it is too large or
    when it is not text.
    """
    check_path(path)
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}") from error
    if len(data) > largest:
        raise Refused(
            f"is larger than {largest >> 20} MiB, the limit for a requirements file; check that this is the "
            "right file"
        )
    return decode(data)


def check_path(path: Path, *, directory: bool = False) -> None:
    """Raise Refused unless a path leads to a regular file or, with `directory`, to a directory."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        kind = "directory" if directory else "file"
        raise Refused(f"this {kind} does not exist{_nearest_names(path)}") from error
    except (OSError, ValueError) as error:
        raise Refused(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if directory:
        if not stat.S_ISDIR(mode):
            raise Refused("is not a directory")
    elif stat.S_ISDIR(mode):
        raise Refused(f"is a directory, not a file{_files_in(path)}")
    elif not stat.S_ISREG(mode):
        raise Refused("is a pipe, a socket or a device, not a regular file")


def _nearest_names(path: Path) -> str:
    """Return what to give in place of a path to nothing: the nearest names, or files of its kind; or nothing."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return ", nor does its directory"
    return did_you_mean(path.name, names) or _there_are(name for name in names if Path(name).suffix == path.suffix)


def _files_in(path: Path) -> str:
    """Return the files of a directory that may be requirements; or nothing."""
    try:
        return _there_are(sorted(entry.name for entry in path.iterdir() if entry.suffix in _SUFFIXES))
    except OSError:
        return ""


def _there_are(names: Iterable[str]) -> str:
    first = [quoted(name) for name in names if Path(name).suffix][:_SHOWN]
    return f"; there are {', '.join(first)}" if len(first) > 1 else f"; there is {first[0]}" if first else ""


def decode(data: bytes) -> str:
    """Return the text of the bytes of a requirements file; raises Refused when they are not text."""
    encoding = _declared_encoding(data)
    for mark, marked in _BOMS:
        if data.startswith(mark):
            data, encoding = data[len(mark) :], marked
            break
    try:
        text = data.decode(encoding)
    except LookupError as error:
        raise Refused(f"unknown encoding {encoding!r}; save the file as UTF-8", line=1) from error
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        raise Refused(f"is not {encoding} text; save it as UTF-8", line=data.count(b"\n", 0, start) + 1) from error
    if unfit := _UNFIT.search(text):
        character = f"U+{ord(unfit[0]):04X}"
        raise Refused(
            f"is not a text file: it contains the character {character}", line=line_at(text, unfit.start())
        )
    return text


def _declared_encoding(data: bytes) -> str:
    for line in data.split(b"\n", 2)[:2]:
        if declared := _CODING.match(line[:200]):
            return declared[1].decode("ascii")
    return "utf-8"


def line_at(text: str, position: int) -> int:
    """Return the number of the line that holds the character at `position`, counted from 1."""
    return sum(1 for _ in _NEWLINE.finditer(text, 0, position)) + 1


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of every line with content, counted from 1.

    A backslash at the end joins the next line, which then has the first one's number; a comment line ends the
    joining. Comments are removed after that: `#` begins one at the start of a line or after a blank. Source: pip's
    requirements file format ("Line continuations", "Comments").
    """
    first, parts = 0, list[str]()
    for number, physical in enumerate(_NEWLINE.split(text), start=1):
        is_comment = physical.lstrip().startswith("#")
        first = first if parts else number
        if physical.endswith("\\") and not is_comment:
            parts.append(physical[:-1])
            continue
        # The blank keeps a comment a comment behind a joined line.
        yield from _said(first, "".join([*parts, " " if is_comment else "", physical]))
        parts.clear()
    yield from _said(first, "".join(parts))


def _said(number: int, joined: str) -> Iterator[tuple[int, str]]:
    if line := _COMMENT.sub("", joined).strip():
        yield number, line


def expand(text: str, *, variable: re.Pattern[str] = _VARIABLE) -> tuple[str, dict[str, str]]:
    """Fill in environment variables; return the text and the values that were filled in, by name.

    `variable` finds them, its group `name` names them; by default it is pip's rule: `${NAME}` with capital
    letters, digits and underscores. Raises Refused when one is not set or empty.
    """
    values = {match["name"]: os.environ.get(match["name"], "") for match in variable.finditer(text)}
    if missing := [name for name, value in values.items() if not value]:
        unset = agreeing(
            missing,
            "the environment variable {} is not set; set it, or remove it from this line",
            "the environment variables {} are not set; set them, or remove them from this line",
        )
        raise Refused(unset)
    return variable.sub(lambda match: values[match["name"]], text), values


def quoted(text: str) -> str:
    """Return `text` in quotes for a message; a very long one by its length alone."""
    # Not truncated: half a secret could no longer be recognised and removed.
    return repr(text) if len(text) <= 300 else f"a text of {len(text)} characters"


def first_line(error: Exception) -> str:
    """Return a parser's message, without the drawing below it."""
    line = str(error).partition("\n")[0]
    return line if len(line) <= 300 else "it cannot be parsed"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` with the known words that are nearest to `word`, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.7)
    return f"; did you mean {' or '.join(near)}?" if near else ""
