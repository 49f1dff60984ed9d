"""What is asked of the resolver, as one value with a digest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from envpack import digest
from envpack.lock import public
from envpack.redact import redact
from envpack.resolve.names import Names

if TYPE_CHECKING:
    from envpack.requirements import Requirements
    from envpack.target import Target


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A bound on a package that the person did not write, with the reason for it."""

    spec: str
    """A match spec; it binds the package where it is wanted and brings none in."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """Everything that decides a solve, the channels' content aside."""

    requirements: Requirements
    target: Target
    channels: tuple[str, ...]
    """Names, URLs or directories, most wanted first; credentials included."""
    python: str | None = None
    """The Python that is asked for: `3.11`, `3.11.7` or a version spec."""
    from_pypi: frozenset[str] = frozenset()
    """Normalised project names that must come from PyPI."""
    from_conda: frozenset[str] = frozenset()
    """Normalised project names that must come from a conda channel."""
    names: Names = field(default_factory=Names)
    limits: tuple[Limit, ...] = ()

    def digest(self) -> str:
        """Return the digest by which a lock knows that it answers this request; secrets are no part of it."""
        return digest.of_json(
            {
                "requirements": self.requirements.canonical(),
                "target": self.target.to_json(),
                "channels": [_identity(channel) for channel in self.channels],
                "python": self.python,
                "from_pypi": sorted(self.from_pypi),
                "from_conda": sorted(self.from_conda),
                "names": dict(self.names.extra),
                "limits": sorted(limit.spec for limit in self.limits),
            }
        )


def _identity(channel: str) -> str:
    """Return what a channel is known by: a name or URL without credentials; a directory without where it lies."""
    if "://" in channel:
        return public(redact(channel))
    return public(Path(channel).absolute().as_uri()) if "/" in channel else channel
