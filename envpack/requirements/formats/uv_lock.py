"""uv.lock: the needs of the project that it locks, for the chosen extras and groups.

The format is uv's own; it is read as uv 0.13 writes it (`version = 1`). The lock's packages are a graph, whose
edges have markers; a package applies where one of the paths to it applies.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envpack.requirements.formats import exact, toml
from envpack.requirements.formats.content import FileContent
from envpack.requirements.text import Refused, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from envpack.requirements.txt import Reading, Source

_OWN = ("editable", "virtual", "directory")
_MOST_WAYS = 64
"""The most paths to a package with different markers that are followed; with more it applies everywhere."""

_CHOICE = re.compile(r"""extra\s*(?P<sense>==|!=)\s*(['"])(?P<kind>extra|group)-\d+-(?P<name>[\w.-]+)\2""")
"""How a marker of uv's says which one of conflicting extras or groups is chosen: `extra-3-app-cpu`, where 3 is the
length of the project's name."""
_ALWAYS, _NEVER = "python_version >= '0'", "python_version < '0'"

Way = frozenset[str]
"""Markers that all have to hold."""


def recognises(path: Path, text: str) -> bool:  # noqa: ARG001 - what is wrong in it is to be told
    """Return whether a file is named as uv's locks are."""
    return path.name == "uv.lock"


def read(text: str, source: Source, reading: Reading) -> FileContent:
    """Return the locked packages that the project in the lock's directory needs."""
    document = toml.load(text, source, reading)
    if not document and reading.problems:
        return FileContent()
    if document.get("version") != 1:
        reading.refuse(source.at(0), f"is uv's lock format {document.get('version')}; envpack reads 1")
        return FileContent()
    packages = toml.entries(document.get("package"))
    roots = [package for package in packages if any(_source(package).get(key) == "." for key in _OWN)]
    if len(roots) != 1:
        reading.refuse(
            source.at(0),
            "locks a workspace whose root is no project; run `uv export --package NAME --format pylock.toml "
            "--output-file pylock.toml` for one of its projects, and build pylock.toml",
        )
        return FileContent()
    graph = _Graph(packages)
    try:
        graph.walk(roots[0], reading)
        lines = list(graph.lines())
    except Refused as refused:
        reading.refuse(source.at(0), refused.reason)
        return FileContent()
    registries = [str(_source(package).get("registry", "")) for package, _ in graph.reached()]
    exact.note_indexes((place for place in registries if "://" in place), source, reading)
    exact.note_folders((place for place in registries if "://" not in place), source, reading)
    for name, line in lines:
        reading.read_line(line, source=source, number=toml.place_of(name, text, source).line)
    python = document.get("requires-python")
    return FileContent(
        name=str(roots[0].get("name")),
        requires_python=python if isinstance(python, str) else "",
        environments=exact.environments(document.get("supported-markers"), text, source, reading),
        exact=True,
    )


@dataclass
class _Graph:
    """The packages of a lock, and the paths to those that are needed."""

    packages: list[dict[str, Any]]
    _by_name: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list), init=False)
    _ways: dict[int, set[Way]] = field(default_factory=lambda: defaultdict(set), init=False)
    _root: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        for number, package in enumerate(self.packages):
            self._by_name[str(package.get("name"))].append(number)

    def walk(self, root: dict[str, Any], reading: Reading) -> None:
        """Follow what the project needs. Raises Refused for an extra or a group that it does not have."""
        self._root = self.packages.index(root)
        own = str(root.get("name"))
        chosen_here = {("extra", f"{own}-{name}") for name in reading.extras}
        chosen_here |= {("group", f"{own}-{name}") for name in reading.groups}

        def decided(found: re.Match[str]) -> str:
            is_chosen = (found["kind"], found["name"]) in chosen_here
            return _ALWAYS if is_chosen == (found["sense"] == "==") else _NEVER

        edges = [*toml.entries(root.get("dependencies"))]
        for kind, key, chosen in (
            ("extra", "optional-dependencies", reading.extras),
            ("dependency group", "dev-dependencies", reading.groups),
        ):
            offered = toml.table(root.get(key))
            for name in chosen:
                if name not in offered:
                    raise Refused(f"has no {kind} {name}{did_you_mean(name, offered)}")
                edges += toml.entries(offered[name])
        waiting: list[tuple[dict[str, Any], Way]] = [(edge, frozenset()) for edge in edges]
        done: set[tuple[int, str, Way]] = set()
        while waiting:
            edge, way = waiting.pop()
            marker = _CHOICE.sub(decided, str(edge.get("marker") or ""))
            way = way | {marker} if marker else way
            number = self._target(edge)
            extras = ("", *toml.texts(edge.get("extra")))
            way = self._added(number, way)
            for extra in extras:
                if (number, extra, way) not in done:
                    done.add((number, extra, way))
                    waiting += [(further, way) for further in self._needs(self.packages[number], extra)]

    def reached(self) -> Iterator[tuple[dict[str, Any], set[Way]]]:
        """Yield the packages that are needed, with the paths to them."""
        for number in sorted(self._ways):
            if number != self._root:
                yield self.packages[number], self._ways[number]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield name and line of each package that is needed, the project itself included. Raises Refused."""
        own = self.packages[self._root]
        if "virtual" not in _source(own):
            yield str(own["name"]), _line(own, "")
        for package, ways in self.reached():
            yield str(package["name"]), _line(package, _marker(ways))

    def _added(self, number: int, way: Way) -> Way:
        """Keep a path to a package, unless a shorter one covers it; return what has to be followed."""
        ways = self._ways[number]
        if len(ways) >= _MOST_WAYS:
            way = frozenset()
        if not any(known <= way for known in ways):
            self._ways[number] = {known for known in ways if not way <= known} | {way}
        return way

    def _target(self, edge: dict[str, Any]) -> int:
        numbers = self._by_name.get(str(edge.get("name")), [])
        fitting = [
            number
            for number in numbers
            if edge.get("version") in (None, self.packages[number].get("version"))
            and edge.get("source") in (None, self.packages[number].get("source"))
        ]
        if len(fitting) != 1:
            raise Refused(
                f"is incomplete: the package {edge.get('name')}, which another one needs, is missing; run `uv "
                "lock` again"
            )
        return fitting[0]

    def _needs(self, package: dict[str, Any], extra: str) -> list[dict[str, Any]]:
        if extra:
            return toml.entries(toml.table(package.get("optional-dependencies")).get(extra))
        return toml.entries(package.get("dependencies"))


def _marker(ways: Iterable[Way]) -> str:
    """Return the marker that holds where one of the paths does; none where one holds everywhere."""
    told = sorted(" and ".join(f"({marker})" for marker in sorted(way)) for way in ways)
    return "" if "" in told else " or ".join(told)


def _source(package: dict[str, Any]) -> dict[str, Any]:
    return toml.table(package.get("source"))


def _line(package: dict[str, Any], marker: str) -> str:
    name = exact.checked(package.get("name"), "a name")
    source = _source(package)
    if "git" in source:
        url, _, commit = exact.checked(source["git"], f"{name}: its address").partition("#")
        url, _, query = url.partition("?")
        told = dict(pair.partition("=")[::2] for pair in query.split("&"))
        return exact.place(name, exact.repository(url, commit, told.get("subdirectory", "")), marker)
    if local := next((source[key] for key in ("editable", "directory") if key in source), None):
        return exact.place(name, exact.directory(local, f"{name}: its directory"), marker)
    files = [*toml.entries(package.get("wheels")), toml.table(package.get("sdist"))]
    hashes = [
        str(file["hash"]).removeprefix("sha256:") for file in files if str(file.get("hash")).startswith("sha256:")
    ]
    if where := source.get("url") or source.get("path"):
        return exact.place(name, exact.checked(where, f"{name}: its address"), marker, "".join(hashes[:1]))
    if not hashes and "://" in str(source.get("registry", "://")):
        raise Refused(f"{name} has no file with a SHA-256; run `uv lock` again")
    return exact.version(name, exact.checked(package.get("version"), f"{name}: its version"), hashes, marker)
