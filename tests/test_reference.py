"""The reference of the command line is what the program takes; every schema says what it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from envpack import cli
from envpack.errors import EnvpackError
from tests.support import write_troubleshooting
from tests.support.every_command import leaves
from tests.support.write_reference import PAGE

DOCS = PAGE.parent
ROOT = DOCS.parent
SCHEMAS = sorted(DOCS.glob("*.schema.json"))


def test_the_reference_is_what_help_shows() -> None:
    # In a process of its own: click keeps a command's --help as it was first asked for.
    program = "from tests.support.write_reference import page; print(page(), end='')"
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert PAGE.read_text("utf-8") == shown.stdout, "run `make reference`"


def test_troubleshooting_has_every_message_of_every_error() -> None:
    text = write_troubleshooting.PAGE.read_text("utf-8")
    assert text == write_troubleshooting.page(), "run `make reference`"
    assert re.findall(r"\{[a-z_.]+\}", text) == [], "a text has braces for a value and lacks its `f`"
    codes = {kind.exit_code for kind in EnvpackError.__subclasses__()}
    assert {int(code) for code in re.findall(r"^## Exit code (\d+)", text, re.MULTILINE)} == codes
    assert text.count("\n| ") > 150


def test_every_option_is_in_the_reference() -> None:
    text = PAGE.read_text("utf-8")
    for option in ("--format", "--name", "--no-verify", "--cuda", "--s3-endpoint-url", "--progress"):
        assert f"{option} " in text or f"{option}`" in text, option


def test_every_page_links_to_what_is_there() -> None:
    pages = [*DOCS.glob("*.md"), *ROOT.glob("*.md")]
    assert len(pages) > 10
    for each in pages:
        text = re.sub(r"```.*?```", "", each.read_text("utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            target, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            place = (each.parent / target) if target else each
            assert place.exists(), f"{each.name}: {link}"
            if anchor and place.suffix == ".md":
                assert anchor in anchors(place), f"{each.name}: {link}"


def anchors(place: Path) -> set[str]:
    """Return the anchors that GitHub and mkdocs make of a page's headings."""
    text = re.sub(r"```.*?```", "", place.read_text("utf-8"), flags=re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


OF_SEVERAL = {
    "ci": "report",
    "search": "list",
}
"""The schemas of commands whose JSON is that of another."""


def test_every_command_that_prints_json_has_a_schema_that_says_so() -> None:
    commands = {
        "-".join(words): option
        for words, command in leaves(cli.cli)
        for option in command.params
        if "--output" in option.opts and "json" in getattr(option.type, "choices", ())
    }
    assert {"build", "kernel", "job-history"} <= commands.keys()
    for command in commands:
        schema = DOCS / f"{OF_SEVERAL.get(command, command)}.schema.json"
        assert schema.exists(), command
        title = json.loads(schema.read_text("utf-8"))["title"]
        assert f"envpack {command.replace('-', ' ')}" in title or command in OF_SEVERAL, title


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_every_schema_has_an_id_of_its_own(path: Path) -> None:
    assert json.loads(path.read_text("utf-8"))["$id"] == path.name


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    assert {page for each in site["nav"] for page in each.values()} == {path.name for path in DOCS.glob("*.md")}
