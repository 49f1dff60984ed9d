"""Decide which variables apply on a node, and write their values for it."""

from __future__ import annotations

import os
import pwd
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from envpack import variable_names
from envpack.archive.formats import ALIAS
from envpack.tools import cage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

ROOT = f"./{ALIAS}"
"""The prefix on a node."""

_NOISE = re.compile(
    r"_+CONDA_\w+|\w*BACKUP\w*|xml_catalog_files_libxml2"
    r"|CONDA_(?:PREFIX|STACKED)(?:_\d+)?|CONDA_(?:SHLVL|DEFAULT_ENV|PROMPT_MODIFIER|EXE|PYTHON_EXE|ROOT)|_CE_\w+"
    r"|_|PWD|OLDPWD|SHLVL|PS\d|PROMPT_COMMAND|IFS|OPTIND|TERM|COLUMNS|LINES|BASH\w*"
)
"""Variables for internal use of conda, its scripts and the shell."""

_OF_COMPILERS = re.compile("AR|AS|CC|CPP|CXX|F77|FC|LD|NM|RANLIB|(?:C|CPP|CXX|F|LD)FLAGS")
"""A script that sets one of these is for compiling, with all its variables."""

_OTHERS = (
    (
        "the Java, Spark and Hadoop that run a job are the cluster's",
        re.compile(r"_?(?:JAVA|JDK|JRE)_\w+|(?:SPARK|PYSPARK|HADOOP|HDFS|YARN|HIVE)_\w+|CLASSPATH"),
    ),
    (
        "it would take the place of the node's own",
        re.compile(r"PATH|LD_LIBRARY_PATH|LD_PRELOAD|HOME|TMPDIR|USER|LOGNAME|SHELL|HOSTNAME"),
    ),
    ("it would change where Python looks for modules", re.compile(r"PYTHONHOME|PYTHONPATH")),
)
"""Variables that an environment must not set for Spark's processes, by the reason."""

_PATH_OR_URL = frozenset({"XML_CATALOG_FILES"})
"""Variables whose readers accept a path in place of a `file:` URL. Source: libxml2's catalog.c."""

_URL = re.compile(r"\b(?!file:)[A-Za-z][A-Za-z0-9+.-]*://[^\s\"']*")
_ABSOLUTE = re.compile(r"(?:^|(?<=[\s:;,=@\"'(){}\[\]<>|&])|(?<=-[A-Z]))(/[^\s:;,\"'(){}\[\]<>|&]*)")
_OF_EVERY_SYSTEM = re.compile(r"/(?:bin|dev|etc|lib|lib64|proc|run|sbin|sys|tmp|usr|var)(?:/|$)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Found:
    """One variable that activation would set."""

    value: str | None
    """None when unknown."""
    origin: str
    """The file that sets it, as named in messages."""
    text: str
    """That file's text."""


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The prefix in all spellings that a value may have for its path."""

    spellings: tuple[str, ...]

    @classmethod
    def of(cls, *paths: Path) -> Prefix:
        """Return the spellings of a prefix with these paths."""
        known = {spelling for path in paths for spelling in (str(path), os.path.realpath(path))}
        known |= {quote(path) for path in known} | {path.replace(" ", "%20") for path in known}
        return cls(spellings=tuple(sorted(known, key=len, reverse=True)))

    def relative(self, value: str) -> str:
        """Return a value with every occurrence of the prefix replaced by its path on a node."""
        alternatives = "|".join(re.escape(path) for path in self.spellings)
        return re.sub(rf"(?:{alternatives})(?![\w.%~+-])", ROOT, value)


def relocate(found: Mapping[str, Found], prefix: Prefix) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the variables that apply on a node with their values there, and notes on the others.

    An absolute path outside the prefix is kept only if it is literally in the file that sets the variable and is in
    a directory that every Linux has; any other comes from the build machine.
    """
    compilers = {item.origin for name, item in found.items() if _OF_COMPILERS.fullmatch(name)}
    kept: dict[str, str] = {}
    left_out: dict[tuple[str, str], list[str]] = {}
    for name, item in sorted(found.items()):
        if _NOISE.fullmatch(name):
            continue
        value = None if item.value is None else _value(name, item.value, prefix)
        reason = "it serves compilers" if item.origin in compilers else _reason(name, value, item)
        if reason:
            left_out.setdefault((item.origin, reason), []).append(name)
        elif value is not None:
            kept[name] = value
    return kept, tuple(_warning(origin, names, reason) for (origin, reason), names in sorted(left_out.items()))


def _value(name: str, value: str, prefix: Prefix) -> str:
    relative = prefix.relative(value)
    return relative.replace(f"file://{ROOT}", ROOT) if name in _PATH_OR_URL else relative


def _reason(name: str, value: str | None, item: Found) -> str | None:
    """Say why a variable is left out, if it is."""
    for reason, names in _OTHERS:
        if names.fullmatch(name):
            return reason
    if problem := variable_names.problem(name):
        return f"it {problem}"
    if value is None:
        return "its value is known only when the script runs"
    if _UNPRINTABLE.search(value):
        return "its value has more than one line, or characters that cannot be printed"
    if f"/{ROOT}" in value or _of_this_machine(value, item.text):
        return "its value comes from the machine that builds"
    return None


def _of_this_machine(value: str, text: str) -> bool:
    """Return whether a value contains data of this machine that is not in the text of the file that sets it."""
    paths = [path.rstrip("/.") for path in _ABSOLUTE.findall(_URL.sub("", value).replace("file://", " "))]
    if any(path and not (_OF_EVERY_SYSTEM.match(path) and path in text) for path in paths):
        return True
    # What has no name in a cage is called by its number.
    if any(int(number) in cage.USERS for number in re.findall(r"\d{10}", value) if number not in text):
        return True
    named = (name for name in _names() if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", value))
    return any(name not in text for name in named)


def _names() -> Iterator[str]:
    """Yield the names of this machine and its user, inside a cage and outside."""
    yield from (cage.HOST, cage.USER)
    yield os.uname().nodename
    with suppress(KeyError):
        yield pwd.getpwuid(os.getuid()).pw_name


def _warning(origin: str, names: Iterable[str], reason: str) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f"{origin} sets {', '.join(listed[:_SHOWN])}{more}: left out, {reason}"
