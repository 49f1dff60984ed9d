"""Write docs/cli.md, the reference of the command line, from click: `make reference`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from envpack.cli import cli

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def page() -> str:
    """Return the reference: every command with its arguments, options and examples."""
    lines = [
        "# Command line",
        "",
        "Made by `make reference` from what `--help` shows. An option that is not given comes from its",
        "`ENVPACK_*` variable, `envpack.yaml` or its default: see [Configuration](../README.md#configuration).",
        "",
    ]
    context = click.Context(cli, info_name="envpack")
    commands = list(_commands(cli, context))
    lines += [f"- [`{name}`](#{name.replace(' ', '-')})" for name, *_ in commands]
    for name, command, its in commands:
        lines += ["", *_command(name, command, its)]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        own = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from _commands(command, own)
        else:
            yield own.command_path, command, own


def _command(name: str, command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    yield f"    {usage}"
    yield ""
    yield _text(command.help or "")
    yield ""
    yield "| option | meaning |"
    yield "|---|---|"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record:
            yield f"| `{_cell(record[0])}` | {_cell(record[1])} |"
    if command.epilog:
        yield ""
        yield _text(command.epilog)


def _text(text: str) -> str:
    """Return help as Markdown: paragraphs as they are, what keeps its lines as a code block."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip("\n") for line in paragraph.splitlines()]
        if lines[0].strip() == "\b":
            head, *rest = [line.strip() for line in lines[1:]]
            paragraphs.append("\n".join([head, "", *(f"    {line}" for line in rest)]))
        elif lines[0].startswith("Example: "):
            paragraphs.append(f"Example:\n\n    {' '.join(lines).removeprefix('Example: ')}")
        else:
            paragraphs.append(" ".join(line.strip() for line in lines).replace("<", "&lt;"))
    return "\n\n".join(paragraphs)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE}\n")
