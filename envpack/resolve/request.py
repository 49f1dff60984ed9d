"""What is asked of the resolver, as one value with a digest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet

from envpack import digest
from envpack.channel_names import is_directory
from envpack.lock.source import public
from envpack.resolve.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envpack.config.target import Target
    from envpack.requirements import Requirements
    from envpack.requirements.names import ProjectName


_MOST_SHOWN = 6
"""Names of lines in one message."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A bound that the person did not write, with the reason for it."""

    bounds: Mapping[str, str]
    """Normalised project name, or `python`, to a PEP 440 specifier. They hold or give way together. Each binds its
    package where that is wanted, and brings none in."""
    reason: str
    """A whole sentence, without a full stop."""
    soft: bool = False
    """Whether it gives way when the request cannot be fulfilled with it."""


@dataclass(frozen=True, kw_only=True)
class Addition:
    """A project that is added where others do not work without it."""

    name: str
    """Its normalised name."""
    beside: frozenset[str]
    """The projects of which any one asks for it."""
    python: str
    """The Pythons on which it is needed, as a PEP 440 specifier."""
    reason: str
    """What follows `setuptools is added: `."""


@dataclass(frozen=True, kw_only=True)
class Provided:
    """A project that the cluster brings: it may be needed, and is no part of the environment."""

    name: str
    """Its normalised name."""
    versions: tuple[str, ...]
    """Those it may have, as far as is known."""
    extras: Mapping[str, tuple[str, ...]]
    """What each of its extras needs."""
    reason: str
    """What follows `pyspark is left out: ` where something needs it; empty when that is known already."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Everything that decides a solve, the channels' content aside."""

    requirements: Requirements
    target: Target
    channels: tuple[str, ...]
    """Names, URLs or directories, most wanted first; credentials included."""
    python: str | None = None
    """The Python that is asked for: `3.11`, `3.11.7` or a version spec."""
    from_pypi: frozenset[ProjectName] = frozenset()
    """Projects that must come from PyPI."""
    from_conda: frozenset[ProjectName] = frozenset()
    """Projects that must come from a conda channel."""
    conda_first: frozenset[str] = frozenset()
    """Normalised names of projects for which channels are asked first in an environment file's `pip:` list too."""
    names: Names = field(default_factory=Names)
    limits: tuple[Limit, ...] = ()
    additions: tuple[Addition, ...] = ()
    provided: tuple[Provided, ...] = ()
    notes: tuple[str, ...] = ()
    """What to tell of how the request came about; no part of the digest."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """Normalised names of the team's own projects to the digests of the files that their builds read."""
    without_project: bool = False
    """Whether the team's own projects are left out, and only what they need is had."""
    no_build: frozenset[str] = frozenset()
    """Projects of which no wheel may be built; `:all:` stands for every one."""

    def bounds(self) -> dict[str, str]:
        """Return what the limits together say about each project, as PEP 440 specifiers."""
        found: dict[str, SpecifierSet] = {}
        for limit in self.limits:
            for name, specifier in limit.bounds.items():
                found[name] = found.get(name, SpecifierSet()) & SpecifierSet(specifier)
        return {name: str(specifiers) for name, specifiers in found.items()}

    def parts(self) -> dict[str, str]:
        """Return what is asked for by name, short enough to be kept in a lock, so that a stale one can say why.

        Values that are short are kept as they are, others as the beginning of their digest. No secrets.
        """
        asked = self.requirements.canonical()
        lines: dict[str, list[Any]] = {}
        for kind in ("pypi", "conda", "constraints"):
            for line in asked.pop(kind):
                name = line["name"] if isinstance(line, dict) else line.split()[0].split("[")[0]
                lines.setdefault(f"constraint {name}" if kind == "constraints" else name, []).append(line)
        channels = [_identity(channel, self.requirements.place) for channel in self.channels]
        chosen = {
            **self.target.to_json(),
            "python": self.python,
            "channels": ", ".join(channels),
            "from-pypi": ", ".join(sorted(self.from_pypi)),
            "from-conda": ", ".join(sorted(self.from_conda)),
        }
        del asked["channels"]  # of the file; `channels` above has those that count
        return {
            **{name: value for name, value in chosen.items() if value},
            "options and variables of the file": _short(asked),
            **{f"line {name}": _short(sorted(map(str, each))) for name, each in sorted(lines.items())},
        }

    def digest(self) -> str:
        """Return the digest by which a lock knows that it answers this request; secrets are no part of it."""
        return digest.of_json([self.frame(), dict(self.contents)]) if self.contents else self.frame()

    def frame(self) -> str:
        """Return the digest of all but what is in the team's own projects: what the solver's answer rests on."""
        return digest.of_json(
            {
                "requirements": self.requirements.canonical(),
                "target": self.target.to_json(),
                "channels": [_identity(channel, self.requirements.place) for channel in self.channels],
                "python": self.python,
                "from_pypi": sorted(self.from_pypi),
                "from_conda": sorted(self.from_conda),
                "conda_first": sorted(self.conda_first),
                "names": dict(self.names.extra),
                "limits": sorted([limit.soft, sorted(limit.bounds.items())] for limit in self.limits),
                "additions": sorted([added.name, added.python, sorted(added.beside)] for added in self.additions),
                "provided": sorted([given.name, sorted(given.extras.items())] for given in self.provided),
                **({"without_project": True} if self.without_project else {}),
                **({"no_build": sorted(self.no_build)} if self.no_build else {}),
            }
        )


def _short(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return digest.of_json(value)[: digest.SHORT]


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return how one request's `parts` differ from another's, a few words each; empty when that is not known."""
    if not before:
        return []
    lines: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
    values = []
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if name.startswith("line "):
            how = "added" if old is None else "removed" if new is None else "changed"
            lines[how].append(name.removeprefix("line "))
        elif name.startswith("options"):
            values.append(f"{name} differ")
        else:
            values.append(f"{name} {old or 'not set'} -> {new or 'not set'}")
    return [*values, *(_counted(how, names) for how, names in lines.items() if names)]


def _counted(how: str, names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_SHOWN]) + (", ..." if len(names) > _MOST_SHOWN else "")
    return f"{len(names)} line{'s' * (len(names) != 1)} {how} ({shown})"


def _identity(channel: str, place: Callable[[str], str]) -> str:
    """Return what a channel is known by: a name or URL without credentials; a directory without where it lies."""
    if "://" in channel:
        return public(place(channel))
    return public(Path(channel).absolute().as_uri()) if is_directory(channel, Path()) else channel
