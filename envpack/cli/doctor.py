"""`envpack doctor`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import colours, options
from envpack.cli.answer import hand_over, say_json
from envpack.cli.choice import Whole
from envpack.cli.screen import screen
from envpack.units import count
from envpack.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.doctor import Diagnosis

_MARKS = {
    "ok": ("ok", "green"),
    "note": ("note", "cyan"),
    "warning": ("warning", "yellow"),
    "problem": ("PROBLEM", "red"),
}


@click.command(
    "doctor",
    epilog="""\b
Examples:
  envpack doctor --store s3://bucket/envs
  envpack doctor pandas-udf:prod --launcher k8s-cluster --spark 4.0
  envpack doctor --node | ssh NODE python3 -""",
)
@click.argument("reference", metavar="[REF]", required=False)
@options.STORE
@click.option(
    "-c", "--channel", "channels", multiple=True, metavar="CHANNEL", help="A conda channel to check. Repeatable."
)
@click.option("--python", metavar="VERSION", help="The version of the environment's Python, such as 3.11.")
@click.option("--platform", metavar="PLATFORM", help="The platform of the cluster's nodes; by default linux-64.")
@click.option("--glibc", metavar="VERSION", help="The oldest glibc of any node of the cluster; by default 2.28.")
@options.SPARK
@options.FORMAT
@options.LAUNCHER
@options.CONFINE
@options.CACHE
@click.option(
    "--timeout",
    type=Whole(1, 86_400),
    default=20,
    metavar="SECONDS",
    help="Seconds to wait for each check; by default 20.",
)
@click.option("--node", is_flag=True, help="Print a script that shows a node's own settings for Python.")
@options.OUTPUT_JSON
@options.TALK
def doctor_command(
    reference: str | None, output: str, *, timeout: int, node: bool, quiet: bool, verbose: bool, **given: Any
) -> None:
    """Check whether a build would work here: configuration, store, channels, index, cache, cluster.

    With REF, also check whether that release runs with the configured launcher and Spark. One small object is
    written to the store and removed again. The exit code is 12 if a build would not work, or the release would not
    run. With --node nothing is checked: a Python script is printed, to run on a node or in a Spark session.
    """
    if node:
        from envpack.spark.node import script

        hand_over(script())
        return
    from envpack.doctor import diagnose
    from envpack.errors import NotReady

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given, checked=False)
    with progress.step("look") as step:
        report = diagnose(config, reference, limit=timeout)
        step.note(count(len(report.findings), "finding"))
    if output == "json":
        say_json(report.to_json())
    else:
        for line in _lines(report):
            click.echo(line, color=colours())
    if report.problems:
        raise NotReady(
            f"{count(len(report.problems), 'problem')}: a build would not work", hint="correct each PROBLEM above"
        )


def _lines(report: Diagnosis) -> Iterator[str]:
    values = [value for value in report.configuration if value.value]
    widths = [max(len(value.name) for value in values), min(50, max(len(value.value) for value in values))]
    for value in values:
        yield f"{value.name:<{widths[0]}}  {value.value:<{widths[1]}}  {value.origin}"
    yield ""
    for finding in report.findings:
        word, colour = _MARKS[finding.level]
        first, *rest = visible(finding.text, lines=True).splitlines()
        yield f"{click.style(f'{word:<8}', fg=colour)} {finding.check:<14} {first}"
        yield from (f"{'':<24}{line}" for line in rest)
        if finding.hint:
            yield from textwrap.wrap(
                f"-> {visible(finding.hint)}", 110, initial_indent=" " * 24, subsequent_indent=" " * 27
            )
