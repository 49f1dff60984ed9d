"""`envpack channel`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from envpack.cli import options
from envpack.cli.answer import say, say_json
from envpack.cli.screen import screen


@click.group("channel")
def channel_command() -> None:
    """Make conda channels where none can be reached."""


@channel_command.command("init", epilog="Example: envpack channel init ./channel")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--python", type=click.Path(path_type=Path), metavar="PATH", help="The Python to put in; by default this."
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The root directory of another system whose Python to put in; qemu-user runs it.",
)
@options.OUTPUT_JSON
@options.TALK
def init_command(
    directory: Path, python: Path | None, root: Path | None, output: str, *, quiet: bool, verbose: bool
) -> None:
    """Make a small, real conda channel in DIRECTORY from the Python that runs envpack.

    With it, and wheels from a PyPI index for the rest, real environments can be built without any other channel.
    With --root the Python is that of a system whose packages were unpacked there, as `dpkg-deb --extract` does; it
    may be another processor's, and --python is its path from that root. DIRECTORY may hold Pythons of both.
    """
    from envpack.channel import init

    progress = screen(quiet=quiet, verbose=verbose)
    made = init(directory, python=python, root=root, progress=progress)
    if output == "json":
        value = {"schema": 1, "directory": str(made.directory), "packages": list(made.packages)}
        say_json({**value, "python": made.python, "platform": made.platform, "glibc": made.glibc})
        return
    progress.info(f"Python {made.python} for {made.platform}; it runs on nodes with glibc {made.glibc} or newer")
    progress.info(
        f"build with: envpack build FILE --channel {shlex.quote(str(made.directory))} --glibc {made.glibc}"
    )
    say(made.directory)
