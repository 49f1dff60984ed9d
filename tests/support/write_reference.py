"""Write docs/cli.md, the reference of the command line, from click: `make reference`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from envpack.cli import cli

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


_ARGUMENTS = {
    "REF": "A release: NAME, NAME:TAG, NAME@DIGEST or an archive's address; see [settings](#envpack-settings).",
    "NAME": "Only what belongs to this name.",
    "FILE": "A requirements file; see above.",
    "FILE|GLOB": "Requirements files, or patterns of them.",
    "DIR": "The directory to write.",
    "DIRECTORY": "The directory to write into; by default this one.",
    "JOB": "The job file; by default job.yaml.",
    "A": "A reference of a release, or a requirements file.",
    "B": "A reference of a release, or a requirements file.",
    "PACKAGE[SPEC]": "A project's name, with a version specifier if you like.",
    "TAG": "The tag.",
    "-- COMMAND...": "The command, with its arguments.",
    "ID": "The job; see above.",
    "EVENTLOG|DIR|APPLICATION": "The event log; see above.",
    "PREFIX": "The conda environment.",
    "{bash|zsh|fish}": "The shell.",
}
"""What arguments mean, where the command does not say more: click has no help for them."""

_OWN = {
    "envpack job new FILE": "The job file to write; by default job.yaml.",
    "envpack pack FILE": "The archive to write.",
    "envpack channel init DIRECTORY": "The directory of the channel.",
}


def page() -> str:
    """Return the reference: every command with its arguments, options and examples."""
    lines = [
        "# Command line",
        "",
        "`make reference` writes this page from `--help`. If an option of the configuration is not given, its",
        "`ENVPACK_*` variable counts, then `envpack.yaml`, then the default:",
        "[Configuration](../README.md#configuration).",
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
            shown = record[0].removesuffix("...").strip() if record[0].startswith("[") else record[0]
            word = shown[1:-1] if shown.startswith("[") and shown.endswith("]") else shown
            meaning = record[1] or _OWN.get(f"{name} {word}") or _ARGUMENTS[word]
            yield f"| `{_cell(record[0])}` | {_cell(meaning)} |"
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
