"""Run all checks on a run, and collect the findings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from envpack.errors import EnvpackError, UsageError
from envpack.explain import (
    functions,
    imports,
    logs,
    memory,
    python_failures,
    reading,
    releases,
    selection,
    stages,
    workers,
)
from envpack.explain.findings import Case, RunFinding, Unevaluated, worst_first
from envpack.explain.limits import SEVERITIES
from envpack.explain.run import Run
from envpack.explain.secrets import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpack.explain.findings import Look, Vulnerable
    from envpack.explain.imports import ImportRecord
    from envpack.explain.limits import Severity
    from envpack.explain.logs import EventLog
    from envpack.stores.base import Store

SCHEMA = 1
"""Version of the JSON that the command prints (docs/explain.schema.json)."""

LOOKS: tuple[Look, ...] = (
    python_failures.no_interpreter,
    python_failures.python_differs,
    python_failures.module_missing,
    python_failures.binary_misfit,
    python_failures.worker_crashed,
    memory.container_killed,
    python_failures.python_limit,
    memory.python_memory_tight,
    workers.slow_worker_start,
    workers.no_worker_reuse,
    workers.slow_fetch,
    workers.slow_submission,
    selection.archive_staged,
    selection.ignored_setting,
    functions.pickled_rows,
    functions.arrow_batch,
    functions.small_arrow_batches,
    stages.small_tasks,
    stages.skewed_tasks,
    memory.spill,
    memory.garbage_collection,
    stages.idle_executors,
    stages.failed_tasks,
    releases.from_the_store,
    releases.vulnerable,
    imports.versions_differ,
    imports.unused_packages,
)
"""All checks of a run; each gives findings and what could not be evaluated."""

_CAUSES = frozenset(
    {"no-interpreter", "python-differs", "module-missing", "binary-misfit", "worker-crashed", "python-limit"}
)
"""Findings that say why tasks failed: with them, the failure itself is no separate finding."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The explanation of one application, from its log."""

    log: EventLog
    run: Run
    findings: tuple[RunFinding, ...]
    """The worst first."""
    unevaluated: tuple[Unevaluated, ...]
    reference: str | None = None
    """The release that it ran in, where the store has it."""

    def count(self, severity: Severity) -> int:
        """Return how many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def reaches(self, severity: Severity) -> bool:
        """Return whether a finding is of this severity or a worse one."""
        return any(SEVERITIES.index(f.severity) <= SEVERITIES.index(severity) for f in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as JSON values (schema: docs/explain.schema.json)."""
        run = self.run
        return {
            "schema": SCHEMA,
            "application": {
                "id": run.id or None,
                "attempt": run.attempt or None,
                "name": shown(run.name) or None,
                "spark": run.spark or None,
                "started": moment(run.started),
                "ended": moment(run.ended),
                "seconds": round((run.end - run.begin) / 1000, 3),
                "executors": len(run.executors),
                "stages": len(run.stages),
                "tasks": sum(stage.ended + stage.failed for stage in run.stages.values()),
                "release": self.reference,
            },
            "log": str(self.log.path),
            "findings": [finding.to_json() for finding in self.findings],
            "unevaluated": [vars(each) for each in self.unevaluated],
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "passed_over": list(run.passed_over),
        }


def explain(
    log: EventLog,
    *,
    store: Store | None = None,
    records: Sequence[ImportRecord] = (),
    vulnerable: Vulnerable | None = None,
    looks: Sequence[Look] = LOOKS,
) -> Explanation:
    """Read a log and explain it. `store` may have the release that ran; `records` are the imports.

    `vulnerable` gives the known vulnerabilities of packages, where advisories were named.
    Raises UsageError for a log without any event, which says nothing about an application.
    """
    passed_over: list[str] = []
    run = reading.read(logs.lines(log, passed_over), passed_over)
    if run == Run(passed_over=passed_over):
        raise UsageError(
            f"{log.path} contains no readable Spark event",
            hint="it is not an event log, or it is cut off in its first line: see the directory of "
            "spark.eventLog.dir",
        )
    case = replace(_case(run, store, records), vulnerable=vulnerable)
    seen = [each for look in looks for each in look(case)]
    findings = [each for each in seen if isinstance(each, RunFinding)]
    if any(each.name in _CAUSES for each in findings):
        findings = [each for each in findings if each.name != "failed-tasks"]
    return Explanation(
        log=log,
        run=run,
        findings=worst_first(findings),
        unevaluated=tuple(each for each in seen if isinstance(each, Unevaluated)),
        reference=case.release.manifest.reference if case.release else None,
    )


def moment(time: int | None) -> str | None:
    """Return a time in ms since 1970 as ISO 8601, UTC."""
    if time is None or time > 253_402_300_799_000:  # the year 9999
        return None
    return (
        datetime.fromtimestamp(time / 1000, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _case(run: Run, store: Store | None, records: Sequence[ImportRecord]) -> Case:
    try:
        release = releases.release_of(run, store) if store else None
    except EnvpackError as error:
        return Case(run=run, imports=records, no_store=error.message)
    return Case(run=run, store=store, release=release, imports=records)
