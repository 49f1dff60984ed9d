"""Lines that name one version and its files; locks of Python packages are read into them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from packaging.markers import InvalidMarker, Marker

from envpack.requirements.formats import toml
from envpack.requirements.text import Refused, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpack.requirements.txt import Reading, Source


def version(name: str, version: str, hashes: Iterable[str], marker: str = "") -> str:
    """Return the line for a version that admits only files with these SHA-256."""
    told = "".join(f" --hash=sha256:{each}" for each in sorted({*hashes}))
    return f"{name}=={version}{_condition(marker)}{told}"


def place(name: str, where: str, marker: str = "", sha256: str = "") -> str:
    """Return the line for a file, a directory or a repository."""
    told = f" --hash=sha256:{sha256}" if sha256 else ""
    return f"{name} @ {where}{_condition(marker)}{told}"


def _condition(marker: str) -> str:
    return f" ; {marker}" if marker else ""


def repository(url: str, commit: str, subdirectory: str = "") -> str:
    """Return how a line names a commit of a repository."""
    below = f"#subdirectory={subdirectory}" if subdirectory else ""
    return f"git+{url.removeprefix('git+')}@{commit}{below}"


def note_indexes(urls: Iterable[str], source: Source, reading: Reading) -> None:
    """Add the indexes that a lock names; the public one is asked anyway."""
    for url in dict.fromkeys(urls):
        option = "--find-links" if url.startswith("file:") else "--extra-index-url"
        if url and not _is_public(url):
            reading.read_line(f"{option} {url}", source=source, number=0)


def _is_public(url: str) -> bool:
    try:
        return urlsplit(url).hostname == "pypi.org"
    except ValueError:
        return False  # the reader of its line reports what is wrong


def environments(told: object, text: str, source: Source, reading: Reading) -> tuple[str, ...]:
    """Return the markers of the environments that a lock is for; refuse what is no marker."""
    found = []
    for marker in toml.texts(told):
        try:
            found.append(str(Marker(marker)))
        except InvalidMarker:
            reading.refuse(toml.place_of(marker, text, source), f"{quoted(marker)} is not a marker")
    return tuple(found)


def note_folders(folders: Iterable[str], source: Source, reading: Reading) -> None:
    """Add the folders in which a lock has files by their paths."""
    for folder in dict.fromkeys(filter(None, folders)):
        reading.read_line(f"--find-links {shlex.quote(folder)}", source=source, number=0)


def checked(value: object, what: str) -> str:
    """Return a text of a lock for use in a line. Raises Refused for a text that could contain more."""
    if not isinstance(value, str) or not value or any(char.isspace() for char in value) or value.startswith("-"):
        raise Refused(f"{what} must be a string without spaces, not {value!r}")
    return value


def directory(value: object, what: str) -> str:
    """Return how a line names a lock's directory, which may have blanks. Raises Refused as `checked` does."""
    if not isinstance(value, str) or not value.isprintable():
        return checked(value, what)
    checked(value.replace(" ", "_"), what)
    where = value if value.startswith("/") else f"./{value.removeprefix('./')}"
    return f"file:{quote(where)}" if " " in where else where
