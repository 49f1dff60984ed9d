"""Print answers on standard output: for people, for programs, for shells."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from envpack.cli import colours
from envpack.visible import visible, visible_json

PROGRESS = "envpack.progress"
"""Where click's context keeps how progress is wanted."""


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


def progress_kind() -> str:
    """Return how progress is wanted: `auto`, `plain` or `json`."""
    context = click.get_current_context(silent=True)
    return str(context.meta.get(PROGRESS, "auto")) if context else "auto"


def say_event(value: dict[str, Any]) -> None:
    """Write one event of the progress to stderr, as one line of JSON."""
    click.echo(visible_json(json.dumps(value, ensure_ascii=False)), err=True)


def warn(text: str) -> None:
    """Print a warning to stderr."""
    if progress_kind() == "json":
        say_event({"event": "warning", "text": text})
        return
    mark = click.style("warning:", fg="yellow", bold=True)
    click.echo(f"{mark} {visible(text, lines=True)}", err=True, color=colours())
