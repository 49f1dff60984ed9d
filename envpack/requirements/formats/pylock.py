"""pylock.toml: the packages that a lock of PEP 751 names, for the chosen extras and groups."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from envpack.requirements.formats import exact, toml
from envpack.requirements.formats.content import FileContent
from envpack.requirements.text import Refused, did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpack.requirements.txt import Reading, Source

_NAME = re.compile(r"pylock\.(?:[^.]+\.)?toml")
_CHOICE = re.compile(r"""(['"])(?P<name>[\w.-]+)\1\s+(?P<sense>not\s+in|in)\s+(?P<of>extras|dependency_groups)""")
_ALWAYS, _NEVER = "python_version >= '0'", "python_version < '0'"


def recognises(path: Path, text: str) -> bool:
    """Return whether a file is named as such locks are, and says the version of its format."""
    return bool(_NAME.fullmatch(path.name)) and "lock-version" in text


def read(text: str, source: Source, reading: Reading) -> FileContent:
    """Return the packages of a lock, each in the version and with the files that it names."""
    document = toml.load(text, source, reading)
    if document and str(document.get("lock-version", "")).partition(".")[0] != "1":
        reading.refuse(source.at(0), f"is of lock-version {document.get('lock-version')}; envpack reads 1.0")
        return FileContent()
    for kind, key, chosen in (
        ("extra", "extras", reading.extras),
        ("dependency group", "dependency-groups", reading.groups),
    ):
        offered = [*toml.texts(document.get(key)), *toml.texts(document.get("default-groups"))]
        for name in chosen if document else ():
            if key in document and canonicalize_name(name) not in map(canonicalize_name, offered):
                reading.refuse(source.at(0), f"has no {kind} {name}{did_you_mean(name, offered)}")
    packages = toml.entries(document.get("packages"))
    groups: set[str] = {*map(canonicalize_name, reading.groups or toml.texts(document.get("default-groups")))}
    exact.note_indexes((str(package.get("index") or "") for package in packages), source, reading)
    exact.note_folders(_folders(packages), source, reading)
    for package in packages:
        try:
            line = _line(package, {*reading.extras}, groups)
        except Refused as refused:
            name = str(package.get("name", ""))
            reading.refuse(toml.place_of(name, text, source), f"{name}: {refused.reason}")
            continue
        reading.read_line(line, source=source, number=toml.place_of(str(package["name"]), text, source).line)
    python = document.get("requires-python")
    return FileContent(
        requires_python=python if isinstance(python, str) else "",
        environments=exact.environments(document.get("environments"), text, source, reading),
        exact=True,
    )


def _folders(packages: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the folders of the files that have a path, or an address of this machine."""
    for package in packages:
        for file in (*toml.entries(package.get("wheels")), toml.table(package.get("sdist"))):
            url = file.get("url")
            if isinstance(url, str) and url.startswith("file:"):
                yield unquote(urlsplit(url).path).rpartition("/")[0]
            elif url is None and isinstance(file.get("path"), str):
                yield PurePosixPath(file["path"]).parent.as_posix()


def _line(package: dict[str, Any], extras: set[str], groups: set[str]) -> str:
    name = exact.checked(package.get("name"), "its name")
    marker = _chosen(str(package.get("marker") or ""), extras, groups)
    if vcs := toml.table(package.get("vcs")):
        url = exact.checked(vcs.get("url") or vcs.get("path"), "its address")
        commit = exact.checked(vcs.get("commit-id"), "its commit")
        return exact.place(name, exact.repository(url, commit, _below(vcs)), marker)
    if directory := toml.table(package.get("directory")):
        return exact.place(name, exact.directory(directory.get("path"), "its directory"), marker)
    if archive := toml.table(package.get("archive")):
        where = exact.checked(archive.get("url") or archive.get("path"), "its address")
        below = f"#subdirectory={_below(archive)}" if _below(archive) else ""
        return exact.place(name, f"{where}{below}", marker, _sha256(archive))
    files = [*toml.entries(package.get("wheels")), toml.table(package.get("sdist"))]
    hashes = [_sha256(file) for file in files if file]
    version = package.get("version")
    if not isinstance(version, str) or not hashes:
        raise Refused("the lock has neither a version with files nor a URL for it; lock again")
    return exact.version(name, exact.checked(version, "its version"), hashes, marker)


def _below(table: dict[str, Any]) -> str:
    return exact.checked(table["subdirectory"], "its subdirectory") if table.get("subdirectory") else ""


def _sha256(file: dict[str, Any]) -> str:
    sha256 = toml.table(file.get("hashes")).get("sha256")
    if not isinstance(sha256, str):
        where = unquote(urlsplit(str(file.get("url") or file.get("path"))).path).rpartition("/")[2]
        raise Refused(f"{quoted(where)} has no SHA-256; lock again with hashes")
    return sha256


def _chosen(marker: str, extras: set[str], groups: set[str]) -> str:
    """Return a marker with the choice of extras and groups filled in."""

    def decided(found: re.Match[str]) -> str:
        among = extras if found["of"] == "extras" else groups
        return _ALWAYS if (canonicalize_name(found["name"]) in among) == (found["sense"] == "in") else _NEVER

    return _CHOICE.sub(decided, marker)
