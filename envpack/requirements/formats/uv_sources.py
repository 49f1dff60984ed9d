"""`[tool.uv]` of a pyproject.toml: the indexes that it names, and where some of its requirements come from.

Source: uv's documentation, "Dependency sources" and "Package indexes". They must not be ignored: otherwise a
project that belongs to a repository or to one index could come from another index that has the same name.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from envpack.requirements import addresses, markers
from envpack.requirements.formats import exact, toml
from envpack.requirements.text import Refused, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.requirements.txt import Reading, Source


class UvSources:
    """What a pyproject.toml says of indexes and sources for uv."""

    def __init__(self, document: dict[str, Any]) -> None:
        """`document` is the whole file."""
        self._uv = uv = toml.table(toml.table(document.get("tool")).get("uv"))
        self._indexes = toml.entries(uv.get("index"))
        self._sources = {
            canonicalize_name(name): told if isinstance(told, list) else [told]
            for name, told in toml.table(uv.get("sources")).items()
        }

    def note_indexes(self, text: str, source: Source, reading: Reading) -> None:
        """Add the indexes, except those that are for certain projects only (`explicit`).

        What names no index is refused: its projects would be asked of the public one.
        """
        self._refuse_broken(text, source, reading)
        self._note_owners(text, source, reading)
        for option, values in self._older():
            for value in values:
                place = toml.place_of(value, text, source)
                reading.read_line(f"{option} {value}".strip(), source=source, number=place.line)
        for index in self._indexes:
            url = index.get("url")
            if isinstance(url, str) and index.get("explicit") is not True:
                option = "--index-url" if index.get("default") is True else "--extra-index-url"
                reading.read_line(f"{option} {url}", source=source, number=toml.place_of(url, text, source).line)

    def _note_owners(self, text: str, source: Source, reading: Reading) -> None:
        """Note the index of each project that always comes from one, also where only another package needs it."""
        for name, told in self._sources.items():
            for each in told:
                if isinstance(each, dict) and "index" in each and not {"marker", "extra", "group"} & each.keys():
                    try:
                        self._belongs(str(name), str(each["index"]), reading)
                    except Refused as refused:
                        reading.refuse(toml.place_of(str(each["index"]), text, source), refused.reason)

    def _older(self) -> Iterator[tuple[str, list[str]]]:
        """Yield pip's options for the settings that `[[tool.uv.index]]` replaces, and for folders of wheels."""
        if self._uv.get("no-index") is True:
            yield "--no-index", [""]
        default = self._uv.get("index-url")
        if isinstance(default, str) and not any(index.get("default") is True for index in self._indexes):
            yield "--index-url", [default]
        yield "--extra-index-url", toml.texts(self._uv.get("extra-index-url"))
        yield "--find-links", [shlex.quote(place) for place in toml.texts(self._uv.get("find-links"))]

    def _refuse_broken(self, text: str, source: Source, reading: Reading) -> None:
        given = self._uv.get("index", [])
        if not isinstance(given, list) or len(self._indexes) != len(given):
            reading.refuse(toml.line_of("index", text, source), "index is not a list of tables: [[tool.uv.index]]")
        for index in self._indexes:
            if not isinstance(index.get("url"), str):
                named = toml.place_of(str(index.get("name")), text, source)
                place = named if named.line else toml.line_of("index", text, source)
                reading.refuse(place, f"the index {index.get('name') or 'without a name'} has no url")
        for key, kind in (("index-url", str), ("extra-index-url", list), ("find-links", list), ("sources", dict)):
            if key in self._uv and not isinstance(self._uv[key], kind):
                reading.refuse(toml.line_of(key, text, source), f"{key} of [tool.uv] is not as uv reads it")
        for name, told in self._sources.items():
            if not all(isinstance(each, dict) for each in told):
                reading.refuse(toml.line_of(str(name), text, source), f"the source of {name} is not a table")

    def lines(self, text: str, reading: Reading) -> Iterator[str]:
        """Yield the lines for a requirement: with its source, or unchanged. Raises Refused."""
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            yield text  # the reader of the line reports what is wrong
            return
        told = self._sources.get(canonicalize_name(requirement.name), [])
        wanted = [each for each in told if isinstance(each, dict) and _is_chosen(each, reading)]
        if requirement.url or not wanted:
            yield text
        for each in wanted if not requirement.url else ():
            yield self._line(requirement, each, reading)
        elsewhere = [_otherwise(requirement.name, each) for each in wanted]
        if elsewhere and not requirement.url and all(elsewhere):
            yield _under(requirement, elsewhere)

    def _line(self, requirement: Requirement, told: dict[str, Any], reading: Reading) -> str:
        name = requirement.name
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        marker = _all_of([str(marker) for marker in (requirement.marker, told.get("marker")) if marker])
        below = str(told.get("subdirectory") or "")
        if "index" in told:
            self._belongs(name, str(told["index"]), reading)
            return f"{name}{extras}{requirement.specifier}{f' ; {marker}' if marker else ''}"
        if "git" in told:
            reference = str(told.get("rev") or told.get("tag") or told.get("branch") or "")
            url = exact.checked(told["git"], f"{name}: its repository")
            where = f"git+{url.removeprefix('git+')}{f'@{reference}' if reference else ''}"
        elif "path" in told:
            where = exact.checked(told["path"], f"{name}: its path")
            where = where if where.startswith(("/", "./", "../")) else f"./{where}"
        elif "url" in told:
            where = exact.checked(told["url"], f"{name}: its address")
        else:
            raise Refused(
                f"{name} is a member of the uv workspace, and this file has no path for it; run `uv lock`, "
                "and build uv.lock"
            )
        return exact.place(f"{name}{extras}", f"{where}{f'#subdirectory={below}' if below else ''}", marker)

    def _belongs(self, name: str, index: str, reading: Reading) -> None:
        """Note the one index that a project is taken from."""
        url = next((each.get("url") for each in self._indexes if each.get("name") == index), None)
        if not isinstance(url, str):
            raise Refused(f"{name} uses the index {index}, which no [[tool.uv.index]] of this file defines")
        owner = (str(canonicalize_name(name)), addresses.checked_index(url))
        if owner not in reading.indexes.owners:
            reading.indexes = replace(reading.indexes, owners=(*reading.indexes.owners, owner))


def _all_of(markers: Sequence[str]) -> str:
    return " and ".join(f"({each})" for each in markers) if len(markers) > 1 else "".join(markers)


def _otherwise(name: str, told: dict[str, Any]) -> str:
    """Return the marker for which a source does not apply; empty for a source without a marker. Raises Refused."""
    if not told.get("marker"):
        return ""
    try:
        return markers.negated(str(told["marker"]))
    except ValueError as error:
        raise Refused(f"{name}: the marker in [tool.uv.sources] is not valid: {first_line(error)}") from error


def _under(requirement: Requirement, conditions: Sequence[str]) -> str:
    """Return the line for where none of the sources applies: uv asks the indexes then."""
    told = [str(requirement.marker)] if requirement.marker else []
    line = Requirement(str(requirement))
    line.marker = Marker(_all_of([*told, *conditions]))
    return str(line)


def _is_chosen(told: dict[str, Any], reading: Reading) -> bool:
    """Return whether a source applies to the choice: some are for one extra or one group only."""
    return all(
        told.get(key) is None or canonicalize_name(str(told[key])) in {canonicalize_name(each) for each in chosen}
        for key, chosen in (("extra", reading.extras), ("group", reading.groups))
    )
