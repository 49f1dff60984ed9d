"""Which package each file of a prefix belongs to, and thus which piece of the archive it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from envpack import digest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from envpack.archive.consistency import PackageFiles

ENVIRONMENT = ""
"""The owner of files that belong to no package, or to more than one."""


@dataclass(frozen=True, kw_only=True)
class Owners:
    """The owners of files."""

    by_path: Mapping[str, str]
    """Path to owner, for files that only one package has."""
    contested: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Owner to those of its paths that another package has too, sorted."""
    lost: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Owner to those of its paths at which another package's file is, sorted."""
    names: tuple[str, ...] = ()
    """All owners, in the order of their files: sorted, those that come last at the end."""

    def of(self, path: str) -> str:
        """Return the owner of a path; bytecode belongs to its module's."""
        owner = self.by_path.get(path)
        if owner is None and path.endswith(".pyc"):
            owner = self.by_path.get(module_of(path))
        return owner or ENVIRONMENT


def owners_of(prefix: Path, packages: Sequence[PackageFiles], last: Collection[str] = ()) -> Owners:
    """Return the owners of the packages' files in a prefix; a file of two packages has no owner.

    Those in `last` come at the end.
    """
    by_path: dict[str, str] = {}
    contested: dict[str, set[str]] = {}
    names = set()
    for package in packages:
        names.add(package.owner)
        for path in package.files:
            other = by_path.setdefault(path, package.owner)
            if other != package.owner:
                contested.setdefault(path, {other}).add(package.owner)
        if package.record:
            by_path[package.record] = package.owner
    for path in contested:
        del by_path[path]
    return Owners(
        by_path=by_path,
        contested={
            name: tuple(sorted(path for path, claimed in contested.items() if name in claimed)) for name in names
        },
        lost=_lost(prefix, packages, contested),
        names=tuple(sorted(names, key=lambda name: (name in last, name))),
    )


def _lost(
    prefix: Path, packages: Sequence[PackageFiles], contested: Mapping[str, Collection[str]]
) -> dict[str, tuple[str, ...]]:
    """Return by owner the contested paths whose file is not the owner's own, as far as its record shows."""
    lost: dict[str, list[str]] = {}
    files = {package.owner: package for package in packages}
    for path in sorted(contested):
        here = prefix / path
        if path.endswith(".pyc") or here.is_symlink() or not here.is_file():
            continue
        sha256 = digest.of_file(here)
        for owner in contested[path]:
            known = files[owner].sha256(path)
            if known and known != sha256:
                lost.setdefault(owner, []).append(path)
    return {owner: tuple(paths) for owner, paths in lost.items()}


def module_of(pyc: str) -> str:
    """Return the path of the module that a pyc in `__pycache__` was compiled from."""
    folder, _, name = pyc.rpartition("/")
    return f"{folder.removesuffix('__pycache__')}{name.removesuffix('.pyc').rpartition('.')[0]}.py"
