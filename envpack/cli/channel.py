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
    "--python",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The Python to put into the channel; by default the one that runs envpack.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The root directory of another system, whose Python is put into the channel; qemu-user runs it if needed.",
)
@options.OUTPUT_JSON
@options.TALK
def init_command(
    directory: Path, python: Path | None, root: Path | None, output: str, *, quiet: bool, verbose: bool
) -> None:
    """Make a small conda channel in DIRECTORY from the Python that runs envpack.

    With this channel, and wheels from a package index, environments can be built without any other channel. With
    --root the Python is that of a Linux system that is unpacked there, for example by `dpkg-deb --extract`. The
    system may be for another processor; --python is then the path inside it. One channel can have Pythons of both.
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
