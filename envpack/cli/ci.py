"""`envpack ci`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import options
from envpack.cli.answer import say, say_json
from envpack.cli.choice import Whole
from envpack.cli.screen import plain, screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.ci import Report


class Shard(click.ParamType[tuple[int, int]]):
    """A share of the work, such as `2/5`."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return its number and how many there are."""
        if isinstance(value, tuple):
            return value
        number, _, of = str(value).partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of) <= _MOST_SHARES):
            self.fail(f"{value!r} is not a shard: write it as 2/5, the second of five", param, ctx)
        return int(number), int(of)


_MOST_SHARES = 1000


@click.command("ci", epilog="Example: envpack ci 'envs/**/*.txt' --store s3://bucket/envs --spark 3.5 --jobs 2")
@click.argument("patterns", nargs=-1, metavar="[FILE|GLOB]...")
@click.option(
    "--since",
    metavar="COMMIT",
    help="Compare with this commit; by default with the one that the CI system's variables give.",
)
@click.option("--all", "everything", is_flag=True, help="Build every environment, changed or not.")
@click.option("--refresh", is_flag=True, help="Solve every environment again, to pick up new versions.")
@click.option(
    "-j",
    "--jobs",
    type=Whole(1, 64),
    default=1,
    metavar="N",
    help="Build N environments at a time, 64 at most; by default 1.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    default="envpack-report",
    metavar="DIR",
    help="The directory of the report; by default envpack-report.",
)
@click.option("--plan", is_flag=True, help="Print as JSON which environments would be built; build nothing.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Build only this environment, if it is affected. Repeatable."
)
@click.option(
    "--shard",
    type=Shard(),
    metavar="K/N",
    help="Build share K of the affected environments in N shares, such as 1/4.",
)
@click.option(
    "--merge",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Merge the report in DIR with the others into one; build nothing. Repeat it for each agent's report.",
)
@options.STORE
@options.SOLVE
@options.SPARK
@options.FORMAT
@options.LAUNCHER
@options.TAG
@click.option("--no-verify", is_flag=True, help="Publish the archives without verifying them.")
@click.option("--dry-run", is_flag=True, help="Solve and report what would change; build and publish nothing.")
@options.DRIVER_PYTHON
@options.CONFINE
@options.CACHE
@options.OUTPUT_JSON
@options.TALK
def ci_command(patterns: tuple[str, ...], output: str, *, quiet: bool, verbose: bool, **given: Any) -> int:
    """Build the environments whose requirements have changed, and report.

    FILE and GLOB select requirements files; by default those of `ci:` `requirements:` in envpack.yaml. git says
    what has changed since the commit of --since. Without it the CI system's variables give the commit: in a pull
    request the one where its branch began, else that of the last successful build. If one build fails, the others
    go on.
    """
    from envpack.build.pipeline import Options
    from envpack.ci import Share, WantedRun, look, run
    from envpack.ci.folder import write_folder

    screen(quiet=quiet, verbose=verbose)
    if given["merge"]:
        return _merge(given["merge"], given["report"], output)
    config = options.configuration(given)
    number, of = given["shard"] or (1, 1)
    wanted = WantedRun(
        patterns=patterns or config.ci_requirements,
        since=given["since"],
        everything=given["everything"],
        refresh=given["refresh"],
        jobs=given["jobs"],
        share=Share(only=given["only"], number=number, of=of),
    )
    if given["plan"]:
        say_json(look(wanted, config=config, environ=os.environ).to_json())
        return 0
    chosen = Options(
        tag=given["tag"],
        latest=not given["no_latest"],
        locked=given["locked"],
        upgrade=given["upgrade"],
        verify=not given["no_verify"],
        dry_run=given["dry_run"],
        driver_python=given["driver_python"],
    )
    log = plain(quiet=quiet)
    report = run(wanted, config=config, environ=os.environ, options=chosen, say=log)
    write_folder(report, given["report"], config, chosen.driver_python)
    log(f"report: {given['report']}")
    if output == "json":
        say_json(report.to_json())
    else:
        for line in _rows(report):
            say(line)
    return report.exit_code


def _merge(parts: tuple[Path, ...], folder: Path, output: str) -> int:
    from envpack.ci.merge import exit_code, merge

    report = merge(parts, folder)
    if output == "json":
        say_json(report)
    else:
        for environment in report["environments"]:
            shown = environment.get("reference") or environment["name"]
            say(f"{environment['status']:<13} {shown:<40} {environment['file']}")
    return exit_code(report)


def _rows(report: Report) -> Iterator[str]:
    for outcome in report.outcomes:
        release = outcome.built.release if outcome.built else None
        yield f"{outcome.status:<13} {release.manifest.reference if release else outcome.name:<40} {outcome.file}"
    for file in report.deleted:
        yield f"{'gone':<13} {'':<40} {file}"
