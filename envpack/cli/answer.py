"""Print answers on standard output: for people, for programs, for shells."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from envpack.cli import colours
from envpack.visible import visible, visible_json


def say(text: object) -> None:
    """Print text for people, in which nothing steers their terminal."""
    click.echo(visible(str(text), lines=True))


def say_json(value: Any) -> None:
    """Print a JSON value; what a terminal would act upon is written as JSON's own escapes."""
    click.echo(visible_json(json.dumps(value, indent=2, ensure_ascii=False)))


def hand_over(text: str) -> None:
    """Print text for a shell or a file as it is; on a terminal, where people read it, as `say` does."""
    if sys.stdout.isatty():
        say(text)
    else:
        click.echo(text)


def warn(text: str) -> None:
    """Print a warning to stderr."""
    mark = click.style("warning:", fg="yellow", bold=True)
    click.echo(f"{mark} {visible(text, lines=True)}", err=True, color=colours())
