"""What a requirements file asks for, as frozen values with a canonical form."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from envpack.redact import public, redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from envpack.requirements.match_spec import MatchSpec
    from envpack.requirements.names import CondaName, ProjectName
    from envpack.requirements.pins import PinnedFile
    from envpack.requirements.sources import SourceRef


@dataclass(frozen=True, order=True, kw_only=True)
class Origin:
    """The place that asks for something."""

    file: str
    """The file as the user named it; an included file is named through its includer's directory."""
    line: int
    """Counted from 1; the first line of one that is continued with backslashes."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class PyRequirement:
    """One PEP 508 requirement."""

    name: ProjectName
    text: str
    """The whole requirement as PEP 508 text, with the environment's variables filled in; may hold credentials."""
    specifier: str
    """The versions that are allowed, such as `<2,>=1`; empty for any."""
    extras: tuple[str, ...]
    """Sorted."""
    marker: str | None
    """The condition under which it is asked for."""
    url: str | None
    """The wheel or the source itself (`https://...`, `file:///...`, `git+https://...`), credentials included; None
    when an index is to be asked."""
    address: str | None = None
    """`url` as it may be stored: `${VARIABLE}` as such and no secret. None where there is no URL."""
    hashes: tuple[str, ...]
    """`sha256:...` and the like, sorted; a local wheel always has its own SHA-256 here."""
    origin: Origin
    source: SourceRef | None = None
    """What is built into a wheel; None where `url` is a wheel, or nothing."""

    def canonical(self) -> dict[str, Any]:
        """Return what is asked for as JSON values: no origin, no credentials, a local wheel by its file name."""
        return {
            "name": self.name,
            "specifier": self.specifier,
            "extras": list(self.extras),
            "marker": self.marker,
            "url": None if self.url is None else self.address or _public(self.url),
            "hashes": list(self.hashes),
        }


@dataclass(frozen=True, kw_only=True)
class CondaSpec:
    """One match spec of an environment file."""

    spec: MatchSpec
    text: str
    """The spec as written, with `channel::`."""
    origin: Origin

    @property
    def name(self) -> CondaName:
        """The package."""
        return self.spec.name


STRATEGIES = ("first-index", "unsafe-best-match")
"""uv's words for several indexes: the first that has a project answers, or the best version of all, as in pip."""


@dataclass(frozen=True, kw_only=True)
class Indexes:
    """Where PyPI packages are searched, by the file's options; URLs may hold credentials."""

    index_url: str | None = None
    """The index to ask instead of the default one."""
    extra_index_urls: tuple[str, ...] = ()
    """Further indexes, in the file's order."""
    find_links: tuple[str, ...] = ()
    """Directories of wheels as absolute paths, and URLs of pages that link to wheels."""
    no_index: bool = False
    """Ask no index at all; then `index_url` and `extra_index_urls` are empty."""
    strategy: str = "first-index"
    """How several indexes are used, one of `STRATEGIES`."""
    owners: tuple[tuple[str, str], ...] = ()
    """Patterns of normalised names, each with the one index that such projects are taken from."""

    def owner_of(self, name: str) -> str | None:
        """Return the one index that a project is taken from; None where any index may have it."""
        return next((url for pattern, url in self.owners if fnmatchcase(name, pattern)), None)


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """Everything that one file and the files it includes ask for."""

    path: Path
    """The file."""
    stem: str
    """The default name of the release: an environment file's `name:`, else the file's stem."""
    pypi: tuple[PyRequirement, ...]
    """The lines of a `.txt`, or the `pip:` list of an environment file. Several may have one name: all whose
    markers hold apply."""
    conda_first: bool
    """Whether `pypi` may be taken from conda channels: True for a `.txt`."""
    conda: tuple[CondaSpec, ...] = ()
    """The match specs of an environment file."""
    constraints: tuple[PyRequirement, ...] = ()
    """What `-c` files say about versions, should a package be needed."""
    channels: tuple[str, ...] = ()
    """The file's channels, highest priority first; directories as absolute paths."""
    indexes: Indexes = Indexes()
    variables: Mapping[str, str] = field(default_factory=dict)
    """The file's `variables:`."""
    description: str | None = None
    """What the environment is for; not in the canonical form, since it changes no byte of an archive."""
    owner: str | None = None
    """The owner; not in the canonical form."""
    files: tuple[Path, ...] = ()
    """Every file that was read, this one first."""
    places: Mapping[str, str] = field(default_factory=dict)
    """How `channels` and `indexes` may be stored: a directory as the file names it, a URL without secrets."""
    requires_python: str = ""
    """The Pythons that the file is for, as a PEP 440 specifier; empty for any."""
    environments: tuple[str, ...] = ()
    """Markers of the environments that a lock is for, one of which has to hold; none for any."""
    exact: bool = False
    """Whether `pypi` is complete and no dependencies are added: the lines of a lock."""
    pinned: PinnedFile | None = None
    """The package files that a lock or an explicit list names; they are installed unchanged."""
    only_binary: frozenset[str] = frozenset()
    """The projects that `--only-binary` names, or `:all:`: their source distributions on an index are not built."""
    warnings: tuple[str, ...] = ()
    """Items of the files that have no effect, each with its place; not in the canonical form."""

    def canonical(self) -> dict[str, Any]:
        """Return all that can change the solve as JSON values, for a digest.

        Comments, the order of lines, the file's own place and credentials are left out. The order of channels and
        of indexes is kept, because solvers ask the first one first.
        """
        owners = sorted(self.indexes.owners)
        return {
            "pypi": _sorted(requirement.canonical() for requirement in self.pypi),
            "conda_first": self.conda_first,
            "conda": sorted({redact(str(each.spec)) for each in self.conda}),
            "constraints": _sorted(constraint.canonical() for constraint in self.constraints),
            "channels": [self.place(channel) for channel in self.channels],
            "indexes": {
                "index_url": self.indexes.index_url and self.place(self.indexes.index_url),
                "extra_index_urls": [self.place(url) for url in self.indexes.extra_index_urls],
                "find_links": sorted(self.place(link) for link in self.indexes.find_links),
                "no_index": self.indexes.no_index,
                **({} if self.indexes.strategy == STRATEGIES[0] else {"strategy": self.indexes.strategy}),
                **({"owners": [[name, self.place(url)] for name, url in owners]} if owners else {}),
            },
            "variables": dict(sorted(self.variables.items())),
            **({"requires_python": self.requires_python} if self.requires_python else {}),
            **({"environments": sorted(self.environments)} if self.environments else {}),
            **({"exact": True} if self.exact else {}),
            **({"only_binary": sorted(self.only_binary)} if self.only_binary else {}),
            **({"pinned": self.pinned.canonical()} if self.pinned else {}),
        }

    def place(self, where: str) -> str:
        """Return a directory or a URL of `channels` or `indexes` as it may be stored."""
        return self.places.get(where) or public(where)


def _sorted(values: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(values, key=lambda value: json.dumps(value, sort_keys=True))


def _public(url: str) -> str:
    # The wheel's SHA-256, which is always among its hashes, covers the rest; for a project the digest of its files.
    parts = urlsplit(url)
    return unquote(parts.path).rstrip("/").rpartition("/")[2] if parts.scheme == "file" else public(url)
