"""poetry.lock: the needs of the project that it locks, for the chosen extras and groups.

The format is Poetry's own; it is read as Poetry 2 writes it (`lock-version` 2.1), with the groups that need each
package and their markers. Older ones have both only in `pyproject.toml`, and are refused.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from envpack.requirements import sources
from envpack.requirements.formats import exact, toml
from envpack.requirements.formats.content import FileContent
from envpack.requirements.text import Refused, did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpack.requirements.txt import Reading, Source

_MAIN = "main"
_EXTRA = re.compile(r"""extra\s*(?P<sense>==|!=)\s*(['"])(?P<name>[\w.-]+)\2""")
_ALWAYS, _NEVER = "python_version >= '0'", "python_version < '0'"
_CARET = re.compile(r"\^(?P<major>\d+)(?P<rest>(?:\.\d+)*)")


def recognises(path: Path, text: str) -> bool:  # noqa: ARG001 - what is wrong in it is to be told
    """Return whether a file is named as Poetry's locks are."""
    return path.name == "poetry.lock"


def read(text: str, source: Source, reading: Reading) -> FileContent:
    """Return the locked packages that the project in the lock's directory needs."""
    document = toml.load(text, source, reading)
    metadata = toml.table(document.get("metadata"))
    version = str(metadata.get("lock-version", ""))
    if document and not re.fullmatch(r"2\.[1-9]\d*", version):
        reading.refuse(
            source.at(0),
            f"is Poetry's lock format {version or 'without a number'}; envpack reads 2.1, which `poetry lock` of "
            "Poetry 2 writes",
        )
        return FileContent()
    packages = toml.entries(document.get("package"))
    chosen = _Chosen(extras={*reading.extras}, groups={_MAIN, *reading.groups})
    for reason in chosen.unknown(packages, toml.table(document.get("extras"))):
        reading.refuse(source.at(0), reason)
    needed = [package for package in packages if chosen.groups_of(package)]
    origins = [toml.table(package.get("source")) for package in needed]
    exact.note_indexes(
        (str(each.get("url", "")) for each in origins if each.get("type") == "legacy"), source, reading
    )
    project = _project(source.path.parent)
    if project:
        reading.read_line(exact.place(project, "./"), source=source, number=0)
    for package in needed:
        origin = toml.place_of(str(package.get("name", "")), text, source)
        try:
            line = _line(package, chosen.marker(package))
        except Refused as refused:
            reading.refuse(origin, refused.reason)
            continue
        reading.read_line(line, source=source, number=origin.line)
    return FileContent(
        name=project, requires_python=_python(str(metadata.get("python-versions", "")), source, reading), exact=True
    )


class _Chosen:
    """The chosen extras and groups."""

    def __init__(self, *, extras: set[str], groups: set[str]) -> None:
        self.extras = extras
        self.groups = groups

    def unknown(self, packages: list[dict[str, Any]], extras: dict[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the choice."""
        groups = {canonicalize_name(group) for package in packages for group in toml.texts(package.get("groups"))}
        for kind, wanted, offered in (
            ("extra", self.extras, {*map(canonicalize_name, extras)}),
            ("dependency group", self.groups - {_MAIN}, groups),
        ):
            for name in sorted(wanted - offered):
                yield f"has no {kind} {name}{did_you_mean(name, offered)}"

    def groups_of(self, package: dict[str, Any]) -> list[str]:
        """Return the chosen groups of a package, as the lock writes them."""
        groups = toml.texts(package.get("groups"))
        return sorted(group for group in groups if canonicalize_name(group) in self.groups)

    def marker(self, package: dict[str, Any]) -> str:
        """Return the marker for which a package is needed, from the chosen groups; empty for always."""
        markers = package.get("markers", "")
        told = []
        for group in self.groups_of(package):
            marker = str(markers.get(group, "") if isinstance(markers, dict) else markers)
            told.append(_EXTRA.sub(self._decided, marker))
        return "" if "" in told else " or ".join(f"({each})" for each in dict.fromkeys(told))

    def _decided(self, found: re.Match[str]) -> str:
        return _ALWAYS if (canonicalize_name(found["name"]) in self.extras) == (found["sense"] == "==") else _NEVER


def _line(package: dict[str, Any], marker: str) -> str:
    name = exact.checked(package.get("name"), "a name")
    source = toml.table(package.get("source"))
    kind = source.get("type", "legacy")
    hashes = [
        str(file["hash"]).removeprefix("sha256:")
        for file in toml.entries(package.get("files"))
        if str(file.get("hash")).startswith("sha256:")
    ]
    where = "" if kind in ("legacy", "directory") else exact.checked(source.get("url"), f"{name}: its address")
    match kind:
        case "git":
            commit = exact.checked(source.get("resolved_reference"), f"{name}: its commit")
            below = str(source.get("subdirectory") or "")
            return exact.place(name, exact.repository(where, commit, below), marker)
        case "directory":
            return exact.place(name, exact.directory(source.get("url"), f"{name}: its directory"), marker)
        case "file" | "url":
            return exact.place(name, where, marker, "".join(hashes[:1]))
        case "legacy":
            if not hashes:
                raise Refused(f"{name} has no file with a SHA-256; run `poetry lock` again")
            version = exact.checked(package.get("version"), f"{name}: its version")
            return exact.version(name, version, hashes, marker)
    raise Refused(f"{name} has a source that envpack cannot read: its type is {quoted(str(kind))}")


def _project(directory: Path) -> str | None:
    """Return the project itself, which is installed with its dependencies, unless it is not a package."""
    with suppress(Refused):
        declared = sources.pyproject(directory)
        poetry = toml.table(toml.table(declared.get("tool")).get("poetry"))
        if declared.get("build-system") and poetry.get("package-mode") is not False:
            return sources.declared_name(directory)
    return None


def _python(wanted: str, source: Source, reading: Reading) -> str:
    """Return the Pythons that a lock is for as a PEP 440 specifier; Poetry also has `^3.11`."""
    try:
        if caret := _CARET.fullmatch(wanted.strip()):
            wanted = f">={caret['major']}{caret['rest']},<{int(caret['major']) + 1}"
        return str(SpecifierSet(wanted))
    except ValueError:  # of a number with thousands of digits, too
        reading.warn(
            source.at(0), f"python-versions {quoted(wanted)} is not a specifier of PEP 440, and not regarded"
        )
        return ""
