"""The interface of wheel builders for the resolver: a wheel for a line that names a source, or for a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from packaging.version import Version

    from envpack.lock.lock import CondaPackage, Wheel
    from envpack.requirements import PyRequirement
    from envpack.requirements.names import ProjectName


@dataclass(frozen=True, kw_only=True)
class BuiltWheel:
    """A wheel that was built from its source."""

    path: Path
    """Its path on this machine."""
    wheel: Wheel
    """Its entry in a lock."""


@dataclass(frozen=True, kw_only=True)
class Offered:
    """A source distribution that an index offers."""

    version: Version
    url: str
    """May hold credentials."""
    sha256: str | None
    wheels: tuple[str, ...] = ()
    """File names of the wheels of the same version."""
    yanked: str | None = None
    """Why its maintainers withdrew it (PEP 592), empty where they do not say; None where they did not."""


class Builder(Protocol):
    """Builds wheels for the Python among `packages`, conda's part of the answer."""

    def of_line(self, line: PyRequirement, packages: Sequence[CondaPackage]) -> BuiltWheel:
        """Return the wheel of a line that names a source.

        Raises Unsatisfiable where it may not be built or does not fit the target, and the errors of a build.
        """

    def offered(
        self, name: ProjectName, hashes: Sequence[str], packages: Sequence[CondaPackage]
    ) -> Sequence[Offered]:
        """Return the source distributions of a project that indexes offer, one for each version, the newest first.

        `hashes` are the allowed ones, such as `sha256:...`; none allows any. Raises Unsatisfiable where the project
        may not be built, and Unreachable when an index does not answer.
        """

    def of_index(
        self, name: ProjectName, source: Offered, hashes: Sequence[str], packages: Sequence[CondaPackage]
    ) -> BuiltWheel:
        """Return the wheel of a source distribution that an index offers. Raises as `of_line` does."""
