"""`envpack settings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from envpack.cli import options
from envpack.cli.answer import hand_over, say_json
from envpack.cli.screen import screen

if TYPE_CHECKING:
    from envpack.progress import Progress
    from envpack.spark.render import Output
    from envpack.spark.settings import Settings


@click.command(
    "settings",
    epilog=f"""Example: spark-submit $(envpack settings pandas-udf --store s3://bucket/envs --output oneline) app.py

{options.LAUNCHERS_EXPLAINED}""",
)
@options.REFERENCE
@options.STORE
@options.SPARK
@options.LAUNCHER
@options.DRIVER_PYTHON
@options.DIRECTORY
@click.option(
    "--check",
    is_flag=True,
    help="Print a Python script instead, which compares what executors import with the manifest.",
)
@options.ARCHIVES
@options.OUTPUT
@options.TALK
def settings_command(reference: str, output: str, *, check: bool, quiet: bool, verbose: bool, **given: Any) -> None:
    """Print the settings with which a launcher runs jobs in a published release.

    REF is NAME (the release of its tag latest), NAME:TAG, NAME@DIGEST (the first digits of the digest are enough)
    or the address of the archive. With --check a Python script is printed instead. Run it in a Spark session with
    these settings: it compares what executors import with the manifest.
    """
    from envpack.build import pipeline
    from envpack.build.results import SCHEMA, describe
    from envpack.releases import references
    from envpack.releases.last_use import note_use
    from envpack.releases.lookup import asked_of, check_there
    from envpack.spark.render import describe as describe_settings

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    found = references.find(reference, config)
    release = check_there(found.store, found.release)
    if check:
        from envpack.spark.node import check as check_script

        hand_over(check_script(release.manifest))
        return
    asked = None if config.spark else asked_of(found.store, release)
    settings = pipeline.settings(release, config, given["driver_python"], given["directory"], asked=asked)
    if config.record_use:
        note_use(found.store, release.manifest)
    if output == "json":
        value = {
            "schema": SCHEMA,
            "name": release.manifest.name,
            **describe(release),
            "settings": describe_settings(settings),
        }
        say_json(value)
        return
    echo_settings(settings, output, progress)


def echo_settings(settings: Settings, output: str, progress: Progress) -> None:
    """Print settings to stdout, and what to know about them to stderr."""
    from envpack.spark.render import render

    for note in settings.notes:
        progress.info(f"note: {note}")
    for command in settings.prepare:
        progress.info(f"first: {command}")
    for warning in settings.warnings:
        progress.warn(warning)
    hand_over(render(settings, cast("Output", output)))
