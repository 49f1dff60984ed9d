"""Find the files of an application's event log, and read its lines.

Sources: Spark's EventLogFileWriters.scala and EventLogFileReaders.scala. A log is a file `APPID[_ATTEMPT][.CODEC]`,
or a directory `eventlog_v2_APPID[_ATTEMPT]` with files `events_N_APPID[_ATTEMPT][.CODEC][.compact]`; a compacted
file replaces all before it. `.inprogress` at the end says that the application has not ended.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from envpack.errors import UsageError
from envpack.explain import codecs
from envpack.files.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST_LINE = 64 << 20
"""Bytes of an event that are read; a longer one is skipped."""

USUAL = Path("/tmp/spark-events")  # noqa: S108 - Spark's own default
"""Where Spark writes event logs by default."""

_ROLLING = "eventlog_v2_"
_PART = re.compile(r"events_(?P<number>\d{1,18})_.+?(?P<compact>\.compact)?")
_APPLICATION = re.compile(r"[\w-]{1,255}")
_FETCH = {"s3": "aws s3 cp --recursive", "s3a": "aws s3 cp --recursive", "gs": "gcloud storage cp -r"}


@dataclass(frozen=True, kw_only=True)
class EventLog:
    """The log of one attempt of an application."""

    path: Path
    """A file, or the directory of a rolling log."""
    parts: tuple[Path, ...]
    """Its files in the order of their events."""
    also: tuple[Path, ...] = ()
    """Other logs in the directory that was named, newest first."""


def find(given: str, folder: str | None = None) -> EventLog:
    """Return the log that a path, or an application's id in a folder of logs, names.

    Of several logs in a directory it is the one written last. `folder` is a path or a `file:` URL, by default
    Spark's own. Raises UsageError when there is none.
    """
    path = _local(given)
    if path.is_dir():
        return _rolling(path) if path.name.startswith(_ROLLING) or _parts(path) else _newest(path)
    if path.exists():
        return EventLog(path=path, parts=(path,))
    if not _APPLICATION.fullmatch(given):
        raise UsageError(
            f"the event log {given} does not exist", hint="give a file, a directory or an application id"
        )
    home = _local(folder) if folder else USUAL
    found = [each for each in _logs(home) if _names(each, given)] if home.is_dir() else []
    if not found:
        raise UsageError(
            f"{home} has no event log of {given}",
            hint="give the directory of spark.eventLog.dir with --log-dir; spark.eventLog.enabled must be true",
        )
    return _opened(found[0], tuple(found[1:]))


def lines(log: EventLog, passed_over: list[str]) -> Iterator[bytes]:
    """Yield the lines of a log, oldest first; unreadable parts go to `passed_over`, in words."""
    for part in log.parts:
        try:
            with open_regular(part) as file:
                yield from _lines(codecs.pieces(file, part.name), passed_over)
        except codecs.Damaged as error:
            passed_over.append(f"the rest of {part.name}: {error}")
        except OSError as error:
            raise UsageError(
                f"{part} cannot be read: {error.strerror}", hint="give a file that you can read"
            ) from error


def _lines(pieces: Iterator[bytes], passed_over: list[str]) -> Iterator[bytes]:
    """Yield whole lines; an unterminated last one is included, since it may be complete."""
    begun: list[bytes] = []
    size = 0
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for line in ended:
            if size + len(line) <= LONGEST_LINE:
                yield b"".join((*begun, line)) if begun else line
            else:
                passed_over.append("an event of more than 64 MB")
            begun, size = [], 0
        size += len(rest)
        if size <= LONGEST_LINE:
            begun.append(rest)
        else:
            begun = []
    if begun and size <= LONGEST_LINE:
        yield b"".join(begun)


def _local(given: str) -> Path:
    try:
        url = urlsplit(given)
    except ValueError as error:
        raise UsageError(
            f"{given} is not an event log: {error}", hint="give a file, a directory or an application id"
        ) from error
    if url.scheme == "file":
        return Path(unquote(url.path))
    if len(url.scheme) > 1 and "//" in given:
        command = _FETCH.get(url.scheme, "hdfs dfs -get")
        raise UsageError(
            f"envpack reads only event logs on this machine, not {given}", hint=f"copy it here: `{command} LOG .`"
        )
    return Path(os.path.expanduser(given))  # noqa: PTH111 - a Path has no answer for who has no home


def _rolling(path: Path) -> EventLog:
    parts = _parts(path)
    if not parts:
        raise UsageError(
            f"{path} is not a rolling event log: it has no file events_N_APPLICATION",
            hint="give a directory eventlog_v2_APPLICATION",
        )
    return EventLog(path=path, parts=parts)


def _parts(path: Path) -> tuple[Path, ...]:
    """Return the files of a rolling log in their order; files that a compacted one replaces are left out."""
    matches = [(match, each) for each in _entries(path) if (match := _PART.fullmatch(each.name))]
    numbered = [(int(match["number"]), match["compact"] is not None, each) for match, each in matches]
    compacted = max((number for number, compact, _ in numbered if compact), default=-1)
    kept = [
        (number, each)
        for number, compact, each in numbered
        if number > compacted or (compact and number == compacted)
    ]
    return tuple(each for _, each in sorted(kept))


def _newest(path: Path) -> EventLog:
    found = _logs(path)
    if not found:
        raise UsageError(
            f"{path} has no event logs", hint="give the directory of spark.eventLog.dir, or an event log"
        )
    return _opened(found[0], tuple(found[1:]))


def _opened(path: Path, also: tuple[Path, ...]) -> EventLog:
    log = _rolling(path) if path.is_dir() else EventLog(path=path, parts=(path,))
    return EventLog(path=log.path, parts=log.parts, also=also)


def _logs(path: Path) -> Sequence[Path]:
    """Return the possible event logs in a folder, newest first."""
    found = [
        each
        for each in _entries(path)
        if (each.name.startswith(_ROLLING) if each.is_dir() else each.is_file() and each.name[0] not in "._")
    ]
    return sorted(found, key=lambda each: (each.stat().st_mtime, each.name), reverse=True)


def _names(path: Path, application: str) -> bool:
    name = path.name.removeprefix(_ROLLING)
    return re.fullmatch(rf"{re.escape(application)}(?:_\d+)?(?:\.\w+)*", name) is not None


def _entries(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="give a directory that you can read"
        ) from error
