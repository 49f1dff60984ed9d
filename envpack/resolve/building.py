"""What the resolver wants of those who build wheels: a wheel for a line that names a source, or for a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from packaging.specifiers import SpecifierSet

    from envpack.lock.lock import CondaPackage, Wheel
    from envpack.requirements import PyRequirement
    from envpack.requirements.names import ProjectName


@dataclass(frozen=True, kw_only=True)
class BuiltWheel:
    """A wheel that was built from its source."""

    path: Path
    """Where it is on this machine."""
    wheel: Wheel
    """What a lock says of it."""


class Builder(Protocol):
    """Builds wheels for the Python among `packages`, conda's part of the answer."""

    def of_line(self, line: PyRequirement, packages: Sequence[CondaPackage]) -> BuiltWheel:
        """Return the wheel of a line that names a source.

        Raises Unsatisfiable where it may not be built or does not fit the target, and what a build raises.
        """

    def of_index(
        self, name: ProjectName, allowed: SpecifierSet, hashes: Sequence[str], packages: Sequence[CondaPackage]
    ) -> BuiltWheel | None:
        """Return the wheel of the newest allowed source distribution of a project; None where there is none.

        `hashes` are those it may have, such as `sha256:...`; none for any. Raises as `of_line` does.
        """
