"""The templates that teams start from: what their headers promise can be asked for as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from envpack.cli import cli
from envpack.requirements import read

TEMPLATES = sorted((Path(__file__).parent.parent / "requirements-templates").iterdir())


def header(template: Path) -> dict[str, str]:
    """Return the entries of a template's header, such as `Spark`."""
    text = template.read_text("utf-8").partition("\n\n")[0]
    comment = re.sub(r"^# {8,}", " ", text, flags=re.MULTILINE).replace("\n ", " ")
    return dict(re.findall(r"^# (\w+): +(.*)$", comment, re.MULTILINE))


def test_there_are_enough_of_them() -> None:
    assert len(TEMPLATES) >= 9


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_a_header_says_what_it_is_for_and_a_command_that_envpack_takes(template: Path) -> None:
    said = header(template)
    assert {"For", "Spark", "Use"} <= said.keys()
    program, command, file, *arguments = shlex.split(said["Use"])
    assert (program, command, file) == ("envpack", "build", template.name)
    context = click.Context(cli, info_name="envpack")
    build = cli.get_command(context, "build")
    assert build is not None
    taken = build.make_context("build", [file, *arguments]).params
    assert taken["spark"] == re.split(r"[ (]", said["Spark"])[0]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_a_template_is_read_without_a_problem(template: Path) -> None:
    asked = read(template)
    assert asked.pypi or asked.conda
