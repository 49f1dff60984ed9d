"""`envpack job`."""

from __future__ import annotations

import shlex
from itertools import islice
from pathlib import Path
from typing import Any

import click

from envpack.cli import options
from envpack.cli.answer import say, say_json
from envpack.cli.choice import Whole
from envpack.cli.screen import screen
from envpack.cli.table import table
from envpack.units import age, count


@click.group("job")
def job_command() -> None:
    """Write job files, send their code, and look at what was submitted."""


@job_command.command("new", epilog="Example: envpack job new --environment pandas-udf:prod")
@click.argument("file", metavar="[FILE]", type=click.Path(path_type=Path), default="job.yaml")
@click.option("--name", metavar="NAME", help="The name of the application; by default the name of the directory.")
@click.option(
    "--environment",
    metavar="REF|FILE",
    help="The release, or the requirements file, that the job runs in; by default pandas-udf.",
)
@options.TALK
def new_command(file: Path, name: str | None, environment: str | None, *, quiet: bool, verbose: bool) -> None:
    """Write a job file with a comment for every key to FILE, by default job.yaml."""
    from envpack.jobs import job_file, starter

    progress = screen(quiet=quiet, verbose=verbose)
    job_file.check({"name": name, "environment": environment}, file.absolute().parent)
    name = name or job_file.default_name(file)
    entrypoint = starter.write(file, name=name, environment=environment or "pandas-udf")
    progress.info(f"it runs {entrypoint}: envpack submit {shlex.quote(str(file))} --dry-run")
    say(file)


@job_command.command("code", epilog="Example: envpack job code job.yaml")
@click.argument("job", metavar="[JOB]", type=click.Path(path_type=Path), default="job.yaml")
@options.STORE
@options.OUTPUT_JSON
@options.TALK
def code_command(job: Path, output: str, *, quiet: bool, verbose: bool, **given: Any) -> None:
    """Upload the code of JOB to the store, as `envpack submit` does, and print its digest for --code.

    The files that git lists are sent, as they are in the working tree; .envpackignore leaves out more. Code that
    the store already has is not sent again.
    """
    from envpack.jobs import code, job_file, plan
    from envpack.stores import store_of

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    bundle = code.pack(job_file.read(job))
    store = store_of(config)
    sent = code.send(store, bundle)
    plan.send_runner(store)
    for note in bundle.notes:
        progress.info(f"note: {note}")
    progress.info(f"{count(len(bundle.files), 'file')}, {'sent' if sent else 'there already'}")
    if output == "json":
        say_json({"schema": 1, "digest": bundle.digest, "sent": sent, "files": list(bundle.files)})
        return
    say(bundle.digest)


@job_command.command("history", epilog="Example: envpack job history pandas-udf")
@click.argument("name", required=False)
@click.option(
    "-n",
    "--number",
    type=Whole(1, 1_000_000),
    default=20,
    metavar="N",
    help="The most jobs to show; by default 20.",
)
@options.STORE
@options.OUTPUT_JSON
@options.TALK
def history_command(
    name: str | None, number: int, output: str, *, quiet: bool, verbose: bool, **given: Any
) -> None:
    """Show the submitted jobs, newest first: those in releases of NAME, or all."""
    import msgspec

    from envpack.releases import keys, references, submissions
    from envpack.stores import store_of

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    store = store_of(config)
    found = submissions.of_store(store, keys.check_name(name) if name else None)
    shown = list(islice(sorted(found, key=lambda each: each.submitted, reverse=True), number))
    if name and not shown and next(iter(store.list(f"{name}/")), None) is None:
        raise references.no_such_name(store, name)
    if output == "json":
        say_json({"schema": 1, "jobs": [{"schema": 1, **msgspec.to_builtins(each)} for each in shown]})
        return
    if not shown:
        progress.info("no job was submitted, or none was recorded")
        return
    rows = [
        (
            each.job,
            f"{each.release}@{each.digest[:16]}",
            each.code[:16],
            each.state + (f" {each.exit_code}" if each.exit_code else ""),
            age(each.submitted),
            each.by,
            each.application,
        )
        for each in shown
    ]
    say(table(("job", "environment", "code", "state", "age", "by", "application"), rows))


@job_command.command("kill", epilog="Example: envpack job kill application_1700000000000_0042")
@click.argument("job", metavar="ID")
@click.option("--server", metavar="URL", help="The URL of Livy or Kyuubi, if ID is the number of a batch.")
@options.STORE
@options.TALK
def kill_command(job: str, *, server: str | None, quiet: bool, verbose: bool, **given: Any) -> None:
    """Kill a running job, from any machine: a YARN application, or a batch of Livy or Kyuubi.

    ID is the value of `envpack job history` under application, or `id` of `--output json`. The client that
    submitted the job does not have to run any more.
    """
    from envpack.jobs.kill import kill
    from envpack.releases import submissions
    from envpack.stores import store_of

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    record = submissions.find(store_of(config), job)
    kill(record, server)
    progress.info(f"killed {record.value.application}")
    say(record.value.application)
