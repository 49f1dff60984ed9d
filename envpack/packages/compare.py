"""Say how the packages of two environments differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpack.packages.package import PackedPackage


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The differences between two environments; each part is sorted by name."""

    added: tuple[PackedPackage, ...] = ()
    removed: tuple[PackedPackage, ...] = ()
    changed: tuple[tuple[PackedPackage, PackedPackage], ...] = ()
    """Before and after: another version, another source, or other bytes of the same version."""

    def __bool__(self) -> bool:
        """Return whether they differ."""
        return bool(self.added or self.removed or self.changed)


def compare(before: Iterable[PackedPackage], after: Iterable[PackedPackage]) -> Comparison:
    """Return how the later packages differ from the earlier ones.

    A package is identified by its name, from any source; where one side has two of a name, by its source as well.
    """
    sides = [list(before), list(after)]
    twice = {name for side in sides for name, count in Counter(p.name for p in side).items() if count > 1}
    old, new = ({(p.name, p.source if p.name in twice else ""): p for p in side} for side in sides)
    both = sorted(old.keys() & new.keys())
    return Comparison(
        added=tuple(new[key] for key in sorted(new.keys() - old.keys())),
        removed=tuple(old[key] for key in sorted(old.keys() - new.keys())),
        changed=tuple((old[key], new[key]) for key in both if old[key].sha256 != new[key].sha256),
    )


def told_apart(package: PackedPackage, other: PackedPackage) -> str:
    """Return a version with its difference from the other: its source, its build, or its bytes."""
    if package.kind != other.kind:
        return f"{package.version} ({package.kind})"
    if package.version != other.version:
        return package.version
    if package.build != other.build:
        return f"{package.version} {package.build}"
    return f"{package.version} {package.sha256[:8]}"


def download_size(packages: Iterable[PackedPackage]) -> int:
    """Return the total size of an environment's packages in bytes, as far as their sizes are known."""
    return sum(package.size or 0 for package in packages)
