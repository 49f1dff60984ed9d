"""`envpack submit`."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import options
from envpack.cli.answer import hand_over
from envpack.cli.screen import plain, screen
from envpack.errors import JobFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from envpack.jobs.watch import JobResult

_INTERRUPTED = 130
_TERMINATED = 143
"""The exit codes after Ctrl-C and after a termination signal, as shells give them."""


@click.command(
    "submit",
    epilog="""\b
Examples:
  envpack submit job.yaml --set date=2026-01-31
  envpack submit job.yaml --dry-run
  envpack submit job.yaml --pinned --code 3f2a9c1b --env pandas-udf@3f2a9c1b4d5e6f70""",
)
@click.argument("job", metavar="[JOB]", type=click.Path(path_type=Path), default="job.yaml")
@click.option(
    "--set", "values", multiple=True, metavar="NAME=VALUE", help="Set a parameter of the job. Repeatable."
)
@click.option(
    "--code", metavar="DIGEST", help="Run the code with this digest from the store, not the working tree."
)
@click.option("--env", "environment", metavar="REF", help="Run in this release, not in the one of the job file.")
@click.option(
    "--pinned", is_flag=True, help="Refuse code and releases that can change later: a working tree, a tag."
)
@click.option("--master", metavar="URL", help="The Spark master; it overrides the one of the job file.")
@click.option("--server", metavar="URL", help="The URL of Livy or Kyuubi; it overrides the one of the job file.")
@click.option("--dry-run", is_flag=True, help="Print what would be submitted, ready to paste; change nothing.")
@click.option(
    "--kill-on-interrupt", is_flag=True, help="Kill the job on Ctrl-C and on a termination signal, without asking."
)
@options.SPARK
@options.LAUNCHER
@options.DRIVER_PYTHON
@options.STORE
@options.CACHE
@options.TALK
def submit_command(
    job: Path,
    *,
    values: tuple[str, ...],
    code: str | None,
    environment: str | None,
    master: str | None,
    server: str | None,
    pinned: bool,
    dry_run: bool,
    kill_on_interrupt: bool,
    quiet: bool,
    verbose: bool,
    **given: Any,
) -> int:
    """Submit the job of the job file JOB (by default job.yaml), follow it, and end with its exit code.

    The environment is resolved to one digest. The code is packed and uploaded, unless the store already has it.
    The job's output goes to stdout, Spark's log to stderr. On Ctrl-C you are asked whether to kill the job.
    """
    from envpack.files.cache import Cache
    from envpack.jobs import job_file, launch, plan, submit
    from envpack.jobs.watch import JobWatch
    from envpack.spark.launchers import launcher_named

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    described = job_file.read(job)
    places = {"master": master, "server": server}
    job_file.check(places, Path.cwd())
    described = replace(described, master=master or described.master, server=server or described.server)
    choices = plan.Choices(
        parameters=dict(map(_pair, values)),
        code=code,
        environment=environment,
        pinned=pinned,
        driver_python=given["driver_python"],
        dry_run=dry_run,
    )
    launcher = launcher_named(plan.launcher_name(described, config))
    launch.submitter_of(launcher).check(described, launcher, dry_run=dry_run)
    planned = plan.plan(described, config, choices, progress)
    for note in planned.notes:
        progress.info(f"note: {note}")
    for warning in planned.settings.warnings:
        progress.warn(warning)
    progress.info(f"environment {planned.release.manifest.reference}, code {planned.code[:16]}")
    if dry_run:
        hand_over(submit.text(planned))
        for lack in submit.lacking(planned):
            progress.info(f"note: {lack}")
        return 0
    with _heard() as terminated:
        watch = JobWatch(
            out=hand_over,
            log=plain(quiet=quiet),
            kill=lambda dies: _wants_kill(dies, terminated, kill_on_interrupt=kill_on_interrupt),
            progress=progress,
        )
        ended = submit.submit(planned, watch, Cache(Path(config.cache_dir)))
    if terminated and ended.exit_code == _INTERRUPTED:
        ended = replace(ended, exit_code=_TERMINATED)
    return _exit_code(ended, watch.application, progress.info)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise UsageError(f"--set: {text!r} is not NAME=VALUE", hint="write it as --set date=2026-01-31")
    return name, value


def _exit_code(ended: JobResult, application: str, say: Callable[[str], None]) -> int:
    """Return the exit code of a job that ended so; raises JobFailed where it has none."""
    which = f"the job {application}".rstrip()
    if ended.state == "submitted":
        say(f"{which} goes on")
        return ended.exit_code or 0
    if ended.state == "succeeded":
        say(f"{which} succeeded")
        return 0
    how = {"failed": "failed", "killed": "was killed"}.get(ended.state, "ended with an unknown result")
    said = f": {ended.said}" if ended.said else ""
    if not ended.exit_code:
        raise JobFailed(
            f"{which} did not succeed: it {how}{said}",
            hint="see its log: `envpack job history` shows the URL",
        )
    click.echo(f"error: {which} {how}{said}", err=True)
    return ended.exit_code


@contextmanager
def _heard() -> Iterator[list[int]]:
    """Let Ctrl-C and a termination signal interrupt what follows a job, which then decides; give the latter."""
    terminated: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        terminated.append(number)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)
    try:
        yield terminated
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wants_kill(dies: bool, terminated: list[int], *, kill_on_interrupt: bool) -> bool:
    """Return whether to kill the job; where nobody can be asked, one that cannot go on alone is."""
    if kill_on_interrupt:
        return True
    if terminated or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return dies
    try:
        return click.confirm("kill the job?", default=dies, err=True)
    except click.Abort:
        return dies
