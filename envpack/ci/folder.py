"""Write the results of a run into one folder, for people and for other jobs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from envpack.build import pipeline
from envpack.ci.junit import junit
from envpack.ci.markdown import markdown
from envpack.errors import UsageError
from envpack.files import atomic
from envpack.redact import hide, stored
from envpack.spark.launchers import DEFAULT, launcher_named
from envpack.spark.render import render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpack.ci.outcome import Outcome, Report
    from envpack.config.config import Config
    from envpack.releases.lookup import Release
    from envpack.spark.render import Output

REPORT = "report.json"
JUNIT = "junit.xml"
SUMMARY = "summary.md"

IGNORE = ".gitignore"
"""Keeps the folder, itself included, out of git."""

_OF_LAUNCHERS: dict[str, str] = {
    "livy.json": "livy-batch",
    "livy-session.json": "livy-session",
    "sparkmagic.txt": "sparkmagic",
    "airflow.txt": "airflow",
    "airflow-livy.txt": "airflow-livy",
}
"""The files that are always written: the suffix of the name, and the launcher of the text."""

_OF_THE_CHOSEN: dict[str, Output] = {"submit.txt": "text", "spark-defaults.conf": "conf"}
"""The files for the configured launcher, or for the default one where that has no such text."""


def write_folder(
    report: Report, folder: Path, config: Config, driver_python: str | None = None
) -> dict[str, list[str]]:
    """Write report.json, junit.xml, summary.md and every environment's settings; return the files by environment.

    Files in an earlier run's report.json are removed first, so that no old file is mistaken for a new one.
    """
    clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / IGNORE).exists():
        (folder / IGNORE).write_text("*\n", "utf-8")
    files: dict[str, list[str]] = {}
    for outcome in report.outcomes:
        release = outcome.built.release if outcome.built else None
        if release and not report.dry_run:
            files[outcome.name] = _write_settings(outcome, release, folder, config, driver_python)
    atomic.write(folder / JUNIT, stored(junit(report)))
    atomic.write(folder / SUMMARY, hide(markdown(report)).encode())
    value = report.to_json()
    for environment in value["environments"]:
        environment["files"] = files.get(environment["name"], [])
    atomic.write(folder / REPORT, (hide(json.dumps(value, indent=1, ensure_ascii=False)) + "\n").encode())
    return files


def clear(folder: Path) -> None:
    """Remove the files that the report of an earlier run lists."""
    try:
        value = json.loads((folder / REPORT).read_text("utf-8"))
        names = [name for environment in value["environments"] for name in environment["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for name in (*names, REPORT):
        if "/" not in name:
            (folder / name).unlink(missing_ok=True)


def _write_settings(
    outcome: Outcome, release: Release, folder: Path, config: Config, driver_python: str | None
) -> list[str]:
    written = []
    for end, launcher, output in _texts(config):
        try:
            settings = pipeline.settings(release, replace(config, launcher=launcher), driver_python)
            text = render(settings, output)
        except UsageError:
            # A launcher that refuses has no file; a refusal of the configured one has already failed the build.
            continue
        name = f"{outcome.name}.{end}"
        atomic.write(folder / name, (hide(text) + "\n").encode())
        written.append(name)
    return written


def _texts(config: Config) -> Iterator[tuple[str, str, Output]]:
    yield "settings.json", config.launcher, "json"
    submitting = config.launcher if launcher_named(config.launcher).text == "submit" else DEFAULT
    for end, output in _OF_THE_CHOSEN.items():
        yield end, submitting, output
    for end, launcher in _OF_LAUNCHERS.items():
        yield end, launcher, "text"
