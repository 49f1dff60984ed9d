"""The results of a run, as values with a JSON form."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from envpack.build.results import describe
from envpack.packages.compare import Comparison, compare, download_size

if TYPE_CHECKING:
    from envpack.build.results import Built
    from envpack.ci.changes import Base
    from envpack.ci.plan import Item
    from envpack.packages.advisories import Vulnerability
    from envpack.packages.package import PackedPackage

SCHEMA = 1
"""Version of report.json."""

Status = Literal["published", "unchanged", "would publish", "unaffected", "failed"]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an environment was not built."""

    message: str
    hint: str | None
    code: int
    """The exit code of its kind; 1 for a bug in envpack, whose message is the traceback."""


@dataclass(frozen=True, kw_only=True)
class Before:
    """The previous state of an environment."""

    label: str
    """The tag or the lock that was compared with."""
    packages: tuple[PackedPackage, ...]
    archive_size: int | None = None
    """Bytes of its archive; None when it was never published."""


@dataclass(frozen=True, kw_only=True)
class Vulnerabilities:
    """The known vulnerabilities of an environment, compared with its previous state."""

    new: tuple[Vulnerability, ...]
    """Those that the previous state did not have; all of them when there is none."""
    gone: tuple[Vulnerability, ...]
    count: int
    """How many there are now."""

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON values (schema: docs/report.schema.json)."""
        return {
            "new": [each.to_json() for each in self.new],
            "gone": [each.to_json() for each in self.gone],
            "count": self.count,
        }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one environment."""

    file: str
    name: str
    status: Status
    reason: str
    """Why it was checked."""
    built: Built | None = None
    before: Before | None = None
    failure: Failure | None = None
    own_warnings: tuple[str, ...] = ()
    """Notes on the check."""
    vulnerabilities: Vulnerabilities | None = None
    """None when no advisories are configured or nothing was solved."""
    log: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def changes(self) -> Comparison:
        """How its packages differ from before; empty when there was nothing before or nothing was solved."""
        return compare(self.before.packages, self.built.packages) if self.before and self.built else Comparison()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the build and its settings warn about."""
        if self.built is None:
            return self.own_warnings
        settings = self.built.settings.warnings if self.built.settings else ()
        new = (f"new vulnerability: {each}" for each in (self.vulnerabilities.new if self.vulnerabilities else ()))
        return tuple(dict.fromkeys((*self.own_warnings, *new, *self.built.notes, *settings)))

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON values (schema: docs/report.schema.json)."""
        release = self.built.release if self.built else None
        return {
            "file": self.file,
            "name": self.name,
            "status": self.status,
            "reason": self.reason,
            **(describe(release) if release else {}),
            "changes": _changes_json(self.changes) if self.before and self.built else None,
            "size": self._sizes() if self.built else None,
            "vulnerabilities": self.vulnerabilities.to_json() if self.vulnerabilities else None,
            "warnings": list(self.warnings),
            "failure": asdict(self.failure) if self.failure else None,
            "seconds": round(self.seconds, 3),
        }

    def _sizes(self) -> dict[str, Any]:
        release = self.built.release if self.built else None
        return {
            "packages_before": download_size(self.before.packages) if self.before else None,
            "packages_after": download_size(self.built.packages) if self.built else None,
            "archive_before": self.before.archive_size if self.before else None,
            "archive_after": release.manifest.archive.size if release else None,
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of one run."""

    base: Base
    commit: str | None
    """The commit that was built."""
    tree: str | None
    """The hash of that commit's content."""
    affected: tuple[str, ...]
    """The files of all affected environments, also of those that other agents build."""
    dry_run: bool
    started: str
    """UTC, ISO 8601."""
    seconds: float
    outcomes: tuple[Outcome, ...]
    """Sorted by file."""
    deleted: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or the code of the first failure."""
        return next((outcome.failure.code for outcome in self.outcomes if outcome.failure), 0)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values (schema: docs/report.schema.json)."""
        return {
            "schema": SCHEMA,
            "base": asdict(self.base),
            "commit": self.commit,
            "tree": self.tree,
            "affected": list(self.affected),
            "dry_run": self.dry_run,
            "started": self.started,
            "seconds": round(self.seconds, 3),
            "environments": [outcome.to_json() for outcome in self.outcomes],
            "deleted": list(self.deleted),
        }


def unaffected(item: Item) -> Outcome:
    """Return the outcome of an environment that was not checked."""
    return Outcome(
        file=item.shown, name=item.name, status="unaffected", reason="nothing that it is made of has changed"
    )


def _changes_json(changes: Comparison) -> dict[str, Any]:
    return {
        "added": [_package(package) for package in changes.added],
        "removed": [_package(package) for package in changes.removed],
        "changed": [
            {"name": old.name, "before": _package(old), "after": _package(new)} for old, new in changes.changed
        ],
    }


def _package(package: PackedPackage) -> dict[str, str]:
    return {"name": package.name, "version": package.version, "source": package.source}
