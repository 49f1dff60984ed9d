"""`envpack completion`."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from envpack.cli.choice import OneOf


@click.command("completion", epilog='Example: eval "$(envpack completion bash)"')
@click.argument("shell", type=OneOf(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the script that completes envpack's commands and options in SHELL: bash, zsh or fish."""
    from envpack.cli import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"envpack has no completion for {shell}")
    # click's own for bash would start a bash, with the person's environment, to warn of an old one.
    click.echo(ShellComplete.source(kind(cli, {}, "envpack", "_ENVPACK_COMPLETE")))
