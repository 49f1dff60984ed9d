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
    """A bound that the user did not write, with its reason."""

    bounds: Mapping[str, str]
    """Normalised project name, or `python`, to a PEP 440 specifier. They are kept or dropped together. Each
    restricts its package where that is wanted, and adds none."""
    reason: str
    """A whole sentence, without a full stop."""
    soft: bool = False
    """Whether it gives way when the request cannot be fulfilled with it."""


@dataclass(frozen=True, kw_only=True)
class Addition:
    """A project that is added because others do not work without it."""

    name: str
    """Its normalised name."""
    beside: frozenset[str]
    """The projects that need it; any one is enough."""
    python: str
    """The Pythons on which it is needed, as a PEP 440 specifier."""
    reason: str
    """What follows `setuptools is added: `."""


@dataclass(frozen=True, kw_only=True)
class Provided:
    """A project that the cluster provides: others may need it, but it is not in the environment."""

    name: str
    """Its normalised name."""
    versions: tuple[str, ...]
    """Its possible versions, as far as known."""
    extras: Mapping[str, tuple[str, ...]]
    """What each of its extras needs."""
    reason: str
    """What follows `pyspark is left out: ` where something needs it; empty when that is already known."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Everything that decides a solve, except the channels' content."""

    requirements: Requirements
    target: Target
    channels: tuple[str, ...]
    """Names, URLs or directories, highest priority first; with credentials."""
    python: str | None = None
    """The requested Python: `3.11`, `3.11.7` or a version spec."""
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
    """Notes on how the request was made; not in the digest."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """Normalised names of the team's own projects to the digests of the files that their builds read."""
    without_project: bool = False
    """Whether only the dependencies of the team's own projects are included, not the projects."""
    no_build: frozenset[str] = frozenset()
    """Projects of which no wheel may be built; `:all:` means every project."""

    def bounds(self) -> dict[str, str]:
        """Return the combined limits of each project, as PEP 440 specifiers."""
        found: dict[str, SpecifierSet] = {}
        for limit in self.limits:
            for name, specifier in limit.bounds.items():
                found[name] = found.get(name, SpecifierSet()) & SpecifierSet(specifier)
        return {name: str(specifiers) for name, specifiers in found.items()}

    def parts(self) -> dict[str, str]:
        """Return the parts of the request by name, short enough for a lock, so that a stale lock can say why.

        Short values are kept unchanged, others as the beginning of their digest. No secrets.
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
        del asked["channels"]  # of the file; `channels` above has the ones in use
        return {
            **{name: value for name, value in chosen.items() if value},
            "options and variables of the file": _short(asked),
            **{f"line {name}": _short(sorted(map(str, each))) for name, each in sorted(lines.items())},
        }

    def digest(self) -> str:
        """Return the digest by which a lock matches this request; it covers no secrets."""
        return digest.of_json([self.frame(), dict(self.contents)]) if self.contents else self.frame()

    def frame(self) -> str:
        """Return the digest of all that decides the solver's answer: not the content of the team's own projects."""
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
    """Return how one request's `parts` differ from another's, a few words each; empty when not known."""
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
    """Return what identifies a channel: a name or URL without credentials; a directory without its location."""
    if "://" in channel:
        return public(place(channel))
    return public(Path(channel).absolute().as_uri()) if is_directory(channel, Path()) else channel
