"""`envpack pull` and `envpack run`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import options, umask
from envpack.cli.answer import hand_over, say_json
from envpack.cli.screen import screen
from envpack.errors import UsageError

if TYPE_CHECKING:
    from envpack.config.config import Config

SCHEMA = 1
"""Version of the JSON that `pull` prints."""


@click.command(
    "pull",
    epilog="""\b
Examples:
  envpack pull pandas-udf:prod ./environment
  eval "$(envpack pull pandas-udf:prod ./environment)" && python app.py""",
)
@options.REFERENCE
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@options.STORE
@options.CACHE
@options.OUTPUT_JSON
@options.TALK
def pull_command(reference: str, directory: Path, output: str, *, quiet: bool, verbose: bool, **given: Any) -> None:
    """Download the release REF, check its digest, and unpack it into DIR, ready to run.

    DIR must be empty or must not exist; it appears whole or not at all. The command prints lines for a shell that
    put the environment's Python first on PATH and set its variables.
    """
    from envpack.archive.unpack import check_empty
    from envpack.config.addresses import directory_at
    from envpack.files.cache import Cache
    from envpack.pull.pull import pull
    from envpack.releases import references
    from envpack.spark.local_process import variables_in
    from envpack.spark.paste import shell_name, shell_word

    check_empty(directory)
    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    found = references.find(reference, config)
    release, directory = found.release, Path(directory_at(directory, Path.cwd()))
    own = variables_in(release.manifest, release.archive_uri, directory)
    pull(found.store, release, directory, cache=Cache(Path(config.cache_dir)), progress=progress)
    if output == "json":
        facts = {
            "schema": SCHEMA,
            "reference": release.manifest.reference,
            "digest": release.manifest.digest,
            "directory": str(directory),
            "python": str(directory / "bin" / "python"),
            "env": own,
        }
        say_json(facts)
        return
    progress.info(f"{release.manifest.reference} is ready: {directory / 'bin' / 'python'} app.py")
    hand_over(f"export PATH={shell_word(str(directory / 'bin'))}:$PATH")
    for name, value in own.items():
        hand_over(f"export {shell_name(name)}={shell_word(value)}")


@click.command(
    "run",
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
Examples:
  envpack run pandas-udf:prod -- python -c 'import pandas; print(pandas.__version__)'
  envpack run pandas-udf --launcher yarn-client -- python app.py""",
)
@options.SPARK
@options.LAUNCHER
@options.STORE
@options.CACHE
@options.TALK
@options.REFERENCE
@click.argument("command", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
def run_command(reference: str, command: tuple[str, ...], *, quiet: bool, verbose: bool, **given: Any) -> None:
    """Run COMMAND in the release REF: with its programs first on PATH, and its variables.

    The release is unpacked in the cache once, read-only, for all processes. A Spark driver that COMMAND starts uses
    the release's Python, and so do its workers: on this machine, or on the cluster with a --launcher in client
    mode, such as yarn-client. COMMAND replaces envpack, so signals and the exit code are COMMAND's.
    """
    from envpack.files.cache import Cache
    from envpack.pull.shared import prepare
    from envpack.releases import references
    from envpack.spark.local_process import environ_in, variables_in

    command = command[1:] if command[:1] == ("--",) else command
    if not command:
        raise UsageError("no command was given", hint=f"for example: envpack run {reference} -- python")
    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    launcher = _launcher(config)
    found = references.find(reference, config)
    manifest, uri = found.release.manifest, found.release.archive_uri
    variables_in(manifest, uri, Path("/"), launcher=launcher, spark=config.spark)  # refuses before the download
    directory = prepare(found.store, found.release, cache=Cache(Path(config.cache_dir)), progress=progress)
    own = variables_in(manifest, uri, directory, launcher=launcher, spark=config.spark)
    _become(command, environ_in(directory, own, os.environ))


def _launcher(config: Config) -> str:
    from envpack.spark.local_process import launcher_here

    return launcher_here(config.launcher, asked=config.origins.get("launcher", "").startswith("--"))


def _become(command: tuple[str, ...], environ: dict[str, str]) -> None:
    """Replace this process; raises UsageError when there is no such command."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores them, and exec would hand that down.
    ignored = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    umask.restore()
    try:
        os.execvpe(command[0], command, environ)  # noqa: S606 - it was asked for, and no shell is wanted
    except OSError as error:
        for number, handler in ignored.items():
            signal.signal(number, handler)
        reason = "no such command" if isinstance(error, FileNotFoundError) else error.strerror
        raise UsageError(
            f"{command[0]} cannot be run: {reason}",
            hint="check its spelling: envpack looks in the release, then on PATH",
        ) from error
