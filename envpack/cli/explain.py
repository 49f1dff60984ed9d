"""`envpack explain`."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from envpack.cli import colours, options
from envpack.cli.answer import hand_over, say, say_json
from envpack.cli.choice import OneOf
from envpack.cli.screen import screen
from envpack.errors import PolicyViolated, UsageError
from envpack.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.config.config import Config
    from envpack.explain.explanation import Explanation
    from envpack.explain.findings import Vulnerable
    from envpack.explain.limits import Severity
    from envpack.stores.base import Store

_COLOURS = {"critical": "red", "high": "red", "moderate": "yellow", "info": "cyan"}


@click.command(
    "explain",
    epilog="""\b
Examples:
  envpack explain application_1700000000000_0042 --log-dir /var/log/spark
  envpack explain eventlog_v2_app-20260101000000-0000 --store s3://bucket/envs --output html > report.html
  envpack explain --import-hook > envpack_imports.py""",
)
@click.argument("log", metavar="EVENTLOG|DIR|APPLICATION", required=False)
@click.option(
    "--log-dir",
    metavar="DIR",
    help="The directory of event logs, for an APPLICATION; by default the one that SPARK_CONF_DIR configures.",
)
@click.option(
    "--imports",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    help="The executors' output with records of imports: a file, such as the output of `yarn "
    "logs`, or a directory. Repeatable.",
)
@click.option(
    "--advisories",
    metavar="PATH",
    help="Also look for vulnerabilities of the release that ran, in advisories as envpack audit takes them.",
)
@click.option(
    "--import-hook", is_flag=True, help="Print the module that records what workers import, instead of a report."
)
@click.option(
    "--fail-on",
    type=OneOf(["critical", "high", "moderate", "info"]),
    help="End with exit code 11 if a finding has this severity or a higher one.",
)
@options.STORE
@options.CACHE
@click.option("--output", type=OneOf(["text", "json", "markdown", "html"]), default="text", help="How to print it.")
@options.TALK
def explain_command(
    log: str | None,
    output: str,
    *,
    log_dir: str | None,
    imports: tuple[Path, ...],
    import_hook: bool,
    fail_on: str | None,
    quiet: bool,
    verbose: bool,
    **given: Any,
) -> int:
    """Read the event log of a Spark application: what its environment cost, what went wrong, what to change.

    EVENTLOG is a file or the directory of a rolling log, compressed or not; the application may still run. If DIR
    has several logs, the newest is read. APPLICATION is an application id. Nothing is sent anywhere. With a store,
    the archive that the application ran in is compared with its release.
    """
    from envpack.explain import imports as records
    from envpack.explain import logs
    from envpack.explain.explanation import explain

    progress = screen(quiet=quiet, verbose=verbose)
    if import_hook:
        progress.info(f"submit the job with {' '.join(records.SETTINGS)}")
        hand_over(records.hook())
        return 0
    if not log:
        raise UsageError(
            "no event log was given",
            hint="run `envpack explain EVENTLOG`, or give a directory or an application id",
        )
    config = options.configuration(given)
    found = logs.find(log, log_dir or _configured())
    if found.also:
        progress.info(f"the newest of {len(found.also) + 1} logs is read: {found.path}")
    with progress.step("read") as step:
        explanation = explain(
            found,
            store=_store(config),
            records=records.read(imports),
            vulnerable=_vulnerable(config) if config.advisories else None,
        )
        step.note(f"{sum(stage.ended for stage in explanation.run.stages.values()):,} tasks")
    for text in explanation.run.passed_over:
        progress.warn(f"passed over {text}")
    _answer(explanation, output)
    return PolicyViolated.exit_code if fail_on and explanation.reaches(cast("Severity", fail_on)) else 0


def _vulnerable(config: Config) -> Vulnerable:
    """Return a function that gives the known vulnerabilities of packages."""
    from envpack.packages.advisories import read
    from envpack.resolve.names import Names

    known, project = read(Path(str(config.advisories))), Names(config.names).project
    return lambda packages: known.of(packages, project)


def _configured() -> str | None:
    """Return the folder of event logs that this machine's spark-defaults.conf names."""
    from envpack.spark import configuration

    found = configuration.defaults_here(os.environ).get("spark.eventLog.dir")
    return found.value if found else None


def _store(config: Config) -> Store | None:
    from envpack.stores import store_of

    return store_of(config) if config.store else None


def _answer(explanation: Explanation, output: str) -> None:
    if output == "json":
        say_json(explanation.to_json())
    elif output == "html":
        from envpack.explain.page import page

        hand_over(page(explanation))
    elif output == "markdown":
        from envpack.explain.text import markdown

        say("\n".join(markdown(explanation)))
    else:
        for line in _lines(explanation):
            click.echo(line, color=colours())


def _lines(explanation: Explanation) -> Iterator[str]:
    from envpack.explain.text import heading, lines_of, summary

    yield visible(heading(explanation))
    yield summary(explanation)
    for finding in explanation.findings:
        yield ""
        word = click.style(f"{finding.severity:<9}", fg=_COLOURS[finding.severity], bold=True)
        first, *rest = textwrap.wrap(visible(finding.text), 100)
        yield f"{word} {first}"
        yield from (f"{'':<10}{line}" for line in rest)
        for line in lines_of(finding):
            shown = visible(line)
            indent = "   " if shown.startswith("->") else ""
            yield from (
                textwrap.wrap(
                    shown,
                    110,
                    initial_indent=" " * 10,
                    subsequent_indent=f"{'':<10}{indent}",
                    break_on_hyphens=False,
                )
                if not shown.startswith("   ")
                else (f"{'':<10}{shown}",)
            )
    if explanation.unevaluated:
        yield ""
        yield "not evaluated:"
        width = max(len(each.name) for each in explanation.unevaluated)
        yield from (visible(f"  {each.name:<{width}}  {each.reason}") for each in explanation.unevaluated)
