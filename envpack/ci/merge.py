"""Join the reports of several agents that have shared the work of one run."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import junitparser

from envpack.ci.folder import JUNIT, REPORT, SUMMARY, clear
from envpack.ci.outcome import SCHEMA
from envpack.errors import UsageError
from envpack.files import atomic
from envpack.files.inside import inside
from envpack.redact import hide, stored
from envpack.units import agreeing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_UNAFFECTED = "unaffected"
"""The status of an environment that an agent did not have to check."""


def merge(parts: Sequence[Path], folder: Path) -> dict[str, Any]:
    """Write one report folder from those of several agents, and return its report.json as a value.

    An environment that one agent has built counts as built, and as unaffected only if all agents say so. Raises
    UsageError when a folder has no report, the reports are of different content, two agents have built one
    environment, or an affected environment is in none of the reports.
    """
    reports = [(part, _read(part)) for part in parts]
    _check_content(reports)
    merged = _joined([report for _, report in reports])
    clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for part, report in reports:
        for name in (name for environment in report["environments"] for name in environment["files"]):
            shutil.copyfile(inside(part, name), inside(folder, name))
    atomic.write(folder / JUNIT, stored(_joined_cases([part / JUNIT for part in parts], merged)))
    atomic.write(folder / SUMMARY, hide(_joined_summary([part / SUMMARY for part in parts], merged)).encode())
    atomic.write(folder / REPORT, (hide(json.dumps(merged, indent=1, ensure_ascii=False)) + "\n").encode())
    return merged


def exit_code(report: dict[str, Any]) -> int:
    """Return 0, or the code of the first failure of a report."""
    failures = [environment["failure"] for environment in report["environments"] if environment["failure"]]
    return int(failures[0]["code"]) if failures else 0


def _read(part: Path) -> dict[str, Any]:
    path = part / REPORT
    try:
        report = json.loads(path.read_bytes())
        if report["schema"] != SCHEMA:
            raise ValueError(f"its schema is {report['schema']}, not {SCHEMA}")
        for environment in report["environments"]:
            _ = environment["file"], environment["status"], environment["failure"], list(environment["files"])
        _ = report["tree"], report["commit"], list(report["affected"])
        _ = float(report["seconds"]), report["started"], report["dry_run"], list(report["deleted"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not a report that can be merged: {getattr(error, 'strerror', None) or error}",
            hint="give the directories that `envpack ci --report DIR` wrote, with --only or --shard",
        ) from error
    return dict(report)


def _check_content(reports: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    (first, one), *others = reports
    for part, report in others:
        if (report["tree"], report["dry_run"]) != (one["tree"], one["dry_run"]):
            raise UsageError(
                f"the reports {first} and {part} are from different runs: {_about(one)}, and {_about(report)}",
                hint="run all agents with the same commit and the same options",
            )


def _about(report: dict[str, Any]) -> str:
    return f"{'a dry run' if report['dry_run'] else 'a build'} of commit {str(report['commit'] or 'unknown')[:10]}"


def _joined(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    by_file: dict[str, dict[str, Any]] = {}
    for environment in (environment for report in reports for environment in report["environments"]):
        there = by_file.get(environment["file"])
        if there is None or there["status"] == _UNAFFECTED:
            by_file[environment["file"]] = environment
        elif environment["status"] != _UNAFFECTED:
            raise UsageError(
                f"{environment['file']} is in two reports",
                hint="merge the reports of one run only, and each report once",
            )
    affected = {file for report in reports for file in report["affected"]}
    if left := sorted(file for file in affected if by_file.get(file, {}).get("status", _UNAFFECTED) == _UNAFFECTED):
        raise UsageError(
            agreeing(left, "the result of {} is missing", "the results of {} are missing")
            + ": a report was not given",
            hint="give the report of every shard with its own --merge",
        )
    return {
        **reports[0],
        "affected": sorted(affected),
        "dry_run": all(report["dry_run"] for report in reports),
        "started": min(report["started"] for report in reports),
        "seconds": max(report["seconds"] for report in reports),
        "environments": [by_file[file] for file in sorted(by_file)],
        "deleted": sorted({name for report in reports for name in report["deleted"]}),
    }


def _joined_cases(parts: Sequence[Path], merged: dict[str, Any]) -> bytes:
    """Return one suite of the cases of all agents; a built environment has its builder's case."""
    built = {each["file"] for each in merged["environments"] if each["status"] != _UNAFFECTED}
    cases: dict[str, junitparser.TestCase] = {}
    for part in parts:
        for case in _cases(part):
            skipped = any(isinstance(result, junitparser.Skipped) for result in case.result)
            if not (skipped and case.name in built):
                cases[case.name] = case
    suite = junitparser.TestSuite("envpack")
    suite.add_testcases([cases[name] for name in sorted(cases)])
    document = junitparser.JUnitXml("envpack")
    document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call] # the library has no types here
    return bytes(document.tostring())  # type: ignore[no-untyped-call] # nor here


def _cases(part: Path) -> list[junitparser.TestCase]:
    try:
        return [case for suite in junitparser.JUnitXml.fromfile(str(part)) for case in suite]
    except Exception as error:  # any error of the XML library for an invalid file
        raise UsageError(
            f"{part} is not a JUnit report: {error}",
            hint="give the directories that `envpack ci --report DIR` wrote",
        ) from error


def _joined_summary(parts: Sequence[Path], merged: dict[str, Any]) -> str:
    """Return one heading, and below it the body of each agent's summary."""
    counted = Counter(environment["status"] for environment in merged["environments"])
    states = ", ".join(f"{count} {status}" for status, count in sorted(counted.items())) or "no environments"
    bodies = []
    for part in parts:
        try:
            _, _, body = part.read_text("utf-8").partition("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{part} cannot be read: {error}", hint="give the directories that `envpack ci --report DIR` wrote"
            ) from error
        bodies.append(body.strip())
    return "\n\n".join([f"## envpack: {states}", *bodies]) + "\n"
