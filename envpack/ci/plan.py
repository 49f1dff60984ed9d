"""Find the requirements files, and decide which of them a change affects."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from wcmatch import glob

from envpack.build.pipeline import default_name, read
from envpack.config.config import find
from envpack.errors import BadRequirements, UsageError
from envpack.releases.keys import check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.ci.changes import Changes
    from envpack.config.config import Config
    from envpack.requirements import Requirements

_FLAGS = glob.GLOBSTAR | glob.BRACE
_MAGIC = frozenset("*?[{")
_SUFFIXES = (".txt", ".yml", ".yaml")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One environment."""

    file: Path
    """Its requirements file, absolute."""
    shown: str
    """The file's path from the working directory, for people."""
    name: str
    """The name its releases get."""
    reason: str | None
    """Why it has to be checked; None when none of its inputs has changed."""
    own: bool = False
    """Whether its own text has changed."""


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """All environments, sorted by file."""

    items: tuple[Item, ...]
    deleted: tuple[str, ...] = ()
    """Deleted requirements files; their releases stay."""

    @property
    def affected(self) -> tuple[Item, ...]:
        """What has to be checked: first edited files, since their authors wait."""
        affected = (item for item in self.items if item.reason is not None)
        return tuple(sorted(affected, key=lambda item: (not item.own, item.shown)))


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which of the affected environments one agent builds, where several share the work."""

    only: tuple[str, ...] = ()
    """Names of environments; empty: all of them."""
    number: int = 1
    """Which share, counted from 1."""
    of: int = 1
    """How many shares there are."""

    @property
    def whole(self) -> bool:
        """Whether it is all there is to do."""
        return not self.only and self.of == 1

    def of_plan(self, plan: BuildPlan) -> tuple[Item, ...]:
        """Return the environments for this agent. Raises UsageError for a name that no environment has."""
        known = {item.name for item in plan.items}
        if unknown := [name for name in self.only if name not in known]:
            raise UsageError(
                f"unknown environment {', '.join(unknown)}", hint=f"choose from {', '.join(sorted(known))}"
            )
        chosen = [item for item in plan.affected if not self.only or item.name in self.only]
        return tuple(chosen[self.number - 1 :: self.of])


EVERYTHING = Share()
"""The share of a single agent."""


def make_plan(patterns: Sequence[str], changes: Changes, config: Config, here: Path) -> BuildPlan:
    """Return every environment that the patterns name, with the reason why it is affected.

    Raises UsageError when a file is missing, no pattern matches, or two environments have one name.
    """
    files, deleted = _find(patterns, changes, here)
    configuration = find(here)
    items = tuple(_item(file, changes, config, configuration, here) for file in files)
    _check_names(items)
    return BuildPlan(items=items, deleted=tuple(sorted(_shown(path, here) for path in deleted)))


def _find(patterns: Sequence[str], changes: Changes, here: Path) -> tuple[list[Path], set[Path]]:
    files: set[Path] = set()
    deleted: set[Path] = set()
    for pattern in patterns:
        absolute = str(here / pattern)
        gone = {
            path
            for path in changes.deleted
            if glob.globmatch(str(path), _literal_root(pattern, here), flags=_FLAGS)
        }
        found = {Path(name) for name in glob.glob(pattern, flags=_FLAGS, root_dir=str(here))}
        literal = not _MAGIC & set(pattern)
        found = {
            here / path
            for path in found
            if (literal or path.suffix.lower() in _SUFFIXES) and (here / path).is_file()
        }
        if not found and not gone and not _MAGIC & set(pattern):
            raise UsageError(
                f"the file {absolute} does not exist",
                hint="give files or patterns such as 'envs/**/*.txt', or set `requirements:` under `ci:` in "
                "envpack.yaml",
            )
        files |= found
        deleted |= gone
    if not files and not deleted:
        named = ", ".join(patterns)
        raise UsageError(
            f"no requirements file matches {named}" if patterns else "no requirements files were given",
            hint="give files or patterns such as 'envs/**/*.txt', or set `requirements:` under `ci:` in "
            "envpack.yaml",
        )
    return sorted(files), deleted


def _literal_root(pattern: str, here: Path) -> str:
    """Return a pattern that starts at the root, in which the working directory's own name is no pattern."""
    return pattern if pattern.startswith("/") else f"{glob.escape(str(here))}/{pattern}"


def _item(file: Path, changes: Changes, config: Config, configuration: Path | None, here: Path) -> Item:
    shown = _shown(file, here)
    try:
        asked = read(file, config)
    except BadRequirements:
        return Item(
            file=file, shown=shown, name=_name_of(None, file, shown, config), reason="it cannot be read", own=True
        )
    more = [place for place in (configuration, Path(config.project) if config.project else None) if place]
    reason = _reason(asked, changes, more, here)
    return Item(
        file=file,
        shown=shown,
        name=_name_of(asked, file, shown, config),
        reason=reason,
        own=changes.paths is not None and file in changes.paths,
    )


def _name_of(asked: Requirements | None, file: Path, shown: str, config: Config) -> str:
    if shown in config.ci_names:
        return check_name(config.ci_names[shown])
    return default_name(asked) if asked else file.stem.lower()


def _reason(asked: Requirements, changes: Changes, more: Sequence[Path], here: Path) -> str | None:
    """Return why an environment has to be checked, or None; `more` are the common inputs of all."""
    own = asked.path
    if changes.paths is None:
        return changes.base.why
    if own in changes.renamed:
        return f"renamed from {_shown(changes.renamed[own], here)}"
    if changes.touch(own):
        return "it changed"
    parts = (own.with_name(f"{own.name}.lock"), *_parts(asked), *more)
    changed = next(filter(None, map(changes.first, parts)), None)
    return f"{_shown(changed, here)} changed" if changed else None


def _parts(asked: Requirements) -> Iterator[Path]:
    """Yield an environment's inputs besides its own file: local files, wheels, projects and channels."""
    yield from (Path(os.path.normpath(file.absolute())) for file in asked.files[1:])
    local = (*asked.channels, *asked.indexes.find_links, *(line.url for line in asked.pypi if line.url))
    for place in local:
        if place.startswith("file:"):
            yield Path(unquote(urlsplit(place).path))
        elif place.startswith("/"):
            yield Path(place)


def _check_names(items: Sequence[Item]) -> None:
    by_name: dict[str, list[str]] = {}
    for item in items:
        by_name.setdefault(item.name, []).append(item.shown)
    twice = [
        f"{' and '.join(files)} would both publish {name}" for name, files in by_name.items() if len(files) > 1
    ]
    if twice:
        raise UsageError(
            twice,
            hint="rename one, give an environment.yml a `name:`, or set `names:` under `ci:` in envpack.yaml",
        )


def _shown(path: Path, here: Path) -> str:
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)
