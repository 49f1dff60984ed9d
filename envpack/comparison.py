"""Say how the packages of two environments differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpack.manifest import PackedPackage


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What one environment has that another has not; each part sorted by name."""

    added: tuple[PackedPackage, ...] = ()
    removed: tuple[PackedPackage, ...] = ()
    changed: tuple[tuple[PackedPackage, PackedPackage], ...] = ()
    """Before and after: another version, another source, or other bytes of the same version."""

    def __bool__(self) -> bool:
        """Return whether they differ."""
        return bool(self.added or self.removed or self.changed)


def compare(before: Iterable[PackedPackage], after: Iterable[PackedPackage]) -> Comparison:
    """Return how the packages after differ from those before; a package is known by its name."""
    old = {package.name: package for package in before}
    new = {package.name: package for package in after}
    both = sorted(old.keys() & new.keys())
    return Comparison(
        added=tuple(new[name] for name in sorted(new.keys() - old.keys())),
        removed=tuple(old[name] for name in sorted(old.keys() - new.keys())),
        changed=tuple((old[name], new[name]) for name in both if old[name].sha256 != new[name].sha256),
    )


def download_size(packages: Iterable[PackedPackage]) -> int:
    """Return how many bytes of packages an environment is made of, as far as their sizes are known."""
    return sum(package.size or 0 for package in packages)
