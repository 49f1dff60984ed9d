"""The package files that a lock of another tool, or an explicit list, names; they are installed unchanged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from envpack.redact import public

if TYPE_CHECKING:
    from envpack.errors import Problem
    from envpack.requirements.names import ProjectName
    from envpack.requirements.values import Origin


@dataclass(frozen=True, kw_only=True)
class PinnedConda:
    """One conda package's file, with the lock's data on it."""

    url: str
    """`https://...` or `file:///...`, without the part after `#`."""
    origin: Origin
    sha256: str | None = None
    md5: str | None = None
    depends: tuple[str, ...] | None = None
    """None where the lock does not say: then the channel or the package does."""
    constrains: tuple[str, ...] = ()
    build_number: int | None = None
    noarch: Literal["python", "generic"] | None = None
    license: str | None = None
    size: int | None = None
    """Bytes."""
    timestamp: int | None = None
    """Milliseconds since 1970."""
    python_site_packages_path: str | None = None


@dataclass(frozen=True, kw_only=True)
class PinnedWheel:
    """One wheel's file."""

    name: ProjectName
    version: str
    url: str
    sha256: str
    origin: Origin
    size: int | None = None
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class Pins:
    """Everything to install on one platform."""

    conda: tuple[PinnedConda, ...] = ()
    wheels: tuple[PinnedWheel, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Why other named packages cannot be installed; they concern only this platform."""


ANY_PLATFORM = "noarch"
"""The platform of pins for all platforms."""


@dataclass(frozen=True, kw_only=True)
class PinnedFile:
    """The content of a lock, by platform."""

    kind: str
    """The kind of file, for messages: `pixi.lock`, an explicit list."""
    platforms: dict[str, Pins] = field(default_factory=dict)
    """By conda subdir."""

    def canonical(self) -> dict[str, Any]:
        """Return the named package files as JSON values: address, without credentials, and digest."""
        return {
            platform: {
                "conda": sorted([public(each.url), each.sha256, each.md5] for each in pins.conda),
                "wheels": sorted([public(each.url), each.sha256] for each in pins.wheels),
            }
            for platform, pins in sorted(self.platforms.items())
        }
