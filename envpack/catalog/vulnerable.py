"""The known vulnerabilities of the releases that a catalog shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpack.resolve.names import Names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpack.config.config import Config
    from envpack.packages.advisories import Advisories, Vulnerability
    from envpack.packages.package import Contained, PackedPackage


class Vulnerable:
    """Looks up packages in advisories, each package once."""

    def __init__(self, advisories: Advisories, names: Names) -> None:
        self._advisories = advisories
        self._project = names.project
        self._known: dict[Contained, tuple[Vulnerability, ...]] = {}

    def might(self, packages: Iterable[Contained]) -> list[list[str]]:
        """Return the vulnerabilities of a release by its index, as JSON values that change with them.

        The team's own projects count as well: an index does not say which they are.
        """
        return [
            [each.package.name, each.package.version, each.severity, each.summary, *each.ids, *each.fixed]
            for package in packages
            for each in self._of(package)
        ]

    def of(self, packages: Iterable[PackedPackage]) -> tuple[Vulnerability, ...]:
        """Return the vulnerabilities of a release's packages, worst first."""
        return self._advisories.of(packages, self._project)

    def _of(self, package: Contained) -> tuple[Vulnerability, ...]:
        if package not in self._known:
            self._known[package] = self._advisories.of([package], self._project)
        return self._known[package]


def from_config(config: Config) -> Vulnerable | None:
    """Return what looks up vulnerabilities, or None when no advisories are configured.

    Raises UsageError when they cannot be read.
    """
    if config.advisories is None:
        return None
    from envpack.packages.advisories import read  # noqa: PLC0415 - most catalogs need no advisories

    return Vulnerable(read(Path(config.advisories)), Names(config.names))
