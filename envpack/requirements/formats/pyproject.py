"""pyproject.toml: what a project needs, its extras and its dependency groups; the project itself is not included.

Source: PEP 621 (`[project]`) and PEP 735 (`[dependency-groups]`); `[tool.uv]` in `uv_sources`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from envpack.requirements.formats import toml
from envpack.requirements.formats.content import FileContent
from envpack.requirements.formats.uv_sources import UvSources
from envpack.requirements.text import Refused, did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpack.requirements.txt import Reading, Source


def recognises(path: Path, text: str) -> bool:
    """Return whether a TOML file is a project's file."""
    tables = r"^\s*\[(?:project|dependency-groups|tool\.poetry)\b"
    return path.suffix == ".toml" and (path.name == "pyproject.toml" or bool(re.search(tables, text, re.MULTILINE)))


def read(text: str, source: Source, reading: Reading) -> FileContent:
    """Return what a project needs; channels are asked first, as for requirement lines."""
    document = toml.load(text, source, reading)
    project = toml.table(document.get("project"))
    if document and not project and not document.get("dependency-groups"):
        reading.refuse(
            source.at(0), "has neither [project] nor [dependency-groups], so it does not say what is needed"
        )
    dynamic = toml.texts(project.get("dynamic"))
    for key in ("dependencies", "optional-dependencies"):
        if key in dynamic:
            reading.refuse(
                toml.place_of(key, text, source),
                f"{key} are worked out by its build; write `-e .` into a requirements file, which builds it",
            )
    _refuse_other_kinds(document, text, source, reading)
    wanted = [*toml.texts(project.get("dependencies"))]
    wanted += _of_extras(project, source, reading)
    wanted += _of_groups(document, source, reading)
    placed = UvSources(document)
    placed.note_indexes(text, source, reading)
    for line in dict.fromkeys(wanted):
        origin = toml.place_of(line, text, source)
        try:
            for each in placed.lines(line, reading):
                reading.read_line(each, source=source, number=origin.line)
        except Refused as refused:
            reading.refuse(origin, refused.reason)
    return FileContent(
        name=str(project["name"]) if isinstance(project.get("name"), str) else None,
        conda_first=True,
        requires_python=_python(project, text, source, reading),
    )


def _refuse_other_kinds(document: dict[str, Any], text: str, source: Source, reading: Reading) -> None:
    """Refuse tables and lists that are none: what they ask for would be left out without a word."""
    for key in ("project", "dependency-groups"):
        if key in document and not isinstance(document[key], dict):
            reading.refuse(toml.line_of(key, text, source), f"{key} is not a table")
    project = toml.table(document.get("project"))
    lists = {"dependencies": project.get("dependencies", [])}
    if isinstance(offered := project.get("optional-dependencies", {}), dict):
        lists |= {f"the extra {name}": lines for name, lines in offered.items()}
    else:
        reading.refuse(toml.line_of("optional-dependencies", text, source), "optional-dependencies is not a table")
    for what, lines in lists.items():
        if not isinstance(lines, list) or toml.texts(lines) != lines:
            place = toml.line_of(what.removeprefix("the extra "), text, source)
            reading.refuse(place, f"{what} is not a list of strings")
    for name, lines in toml.table(document.get("dependency-groups")).items():
        if not isinstance(lines, list):
            reading.refuse(toml.line_of(name, text, source), f"the group {name} is not a list")


def _python(project: dict[str, Any], text: str, source: Source, reading: Reading) -> str:
    wanted = project.get("requires-python", "")
    try:
        return str(SpecifierSet(wanted if isinstance(wanted, str) else "?"))
    except InvalidSpecifier:
        place = toml.place_of(str(wanted), text, source)
        reading.refuse(place, f"requires-python {quoted(str(wanted))} is not a version specifier")
        return ""


def _of_extras(project: dict[str, Any], source: Source, reading: Reading) -> Iterator[str]:
    """Yield what the chosen extras need, those that they name of the same project included."""
    offered = {
        canonicalize_name(name): lines for name, lines in toml.table(project.get("optional-dependencies")).items()
    }
    own = canonicalize_name(str(project.get("name", "")))
    itself = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)\s*\[(?P<extras>[^\]]*)\]\s*")
    waiting, seen = [canonicalize_name(extra) for extra in reading.extras], set()
    while waiting:
        extra = waiting.pop(0)
        if extra in seen:
            continue
        seen.add(extra)
        if extra not in offered:
            reading.refuse(source.at(0), f"has no extra {extra}{did_you_mean(extra, offered)}")
            continue
        for line in toml.texts(offered[extra]):
            found = itself.fullmatch(line)
            if found and own and canonicalize_name(found["name"]) == own:
                waiting += [canonicalize_name(each.strip()) for each in found["extras"].split(",")]
            else:
                yield line


def _of_groups(document: dict[str, Any], source: Source, reading: Reading) -> Iterator[str]:
    """Yield what the chosen groups hold, with the groups that they include (PEP 735)."""
    groups: dict[str, Any] = {
        canonicalize_name(name): lines for name, lines in toml.table(document.get("dependency-groups")).items()
    }

    def lines_of(name: str, trail: tuple[str, ...]) -> Iterator[str]:
        if name in trail:
            reading.refuse(source.at(0), f"groups include each other in a cycle: {' -> '.join((*trail, name))}")
        elif name not in groups:
            reading.refuse(source.at(0), f"has no dependency group {name}{did_you_mean(name, groups)}")
        else:
            for entry in groups[name] if isinstance(groups[name], list) else ():
                if isinstance(entry, str):
                    yield entry
                elif isinstance(entry, dict) and isinstance(entry.get("include-group"), str):
                    yield from lines_of(canonicalize_name(entry["include-group"]), (*trail, name))
                else:
                    reading.refuse(
                        source.at(0), f"the group {name} holds what is neither a requirement nor a group"
                    )

    for name in reading.groups:
        yield from lines_of(canonicalize_name(name), ())
