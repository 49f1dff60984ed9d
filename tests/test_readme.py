from __future__ import annotations

import re
import shlex
from pathlib import Path
from textwrap import dedent

import click
import pytest
import yaml

from envpack import errors
from envpack.cli import cli
from envpack.config.config import SECTIONS, load
from envpack.releases import keys
from envpack.spark.launchers import LAUNCHERS

HERE = Path(__file__).parents[1]

README = (HERE / "README.md").read_text("utf-8")
PAGES = [README, *(page.read_text("utf-8") for page in sorted((HERE / "docs").glob("*.md")) if page.stem != "cli")]
COMMANDS = list(
    dict.fromkeys(
        match[1].split(" #")[0].partition(" > ")[0].strip()
        for page in PAGES
        for match in re.finditer(r"^(?: {4}| {8})(envpack .*)$", page, re.MULTILINE)
        if "[" not in match[1].split(" #")[0]
    )
)


def test_the_exit_codes_are_those_of_the_errors() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    kinds: list[type[errors.EnvpackError]] = [errors.EnvpackError, *errors.EnvpackError.__subclasses__()]
    assert {kind.exit_code for kind in kinds} == told - {0, 1, 130, 141, 143}
    assert len({kind.exit_code for kind in kinds[1:]}) == len(kinds) - 1


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_that_is_shown_is_one_that_envpack_takes(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ROOT").mkdir()
    (tmp_path / "output").touch()
    monkeypatch.chdir(tmp_path)
    command: click.Command = cli
    words = [word.replace("/opt/spark", str(tmp_path)) for word in shlex.split(line)[1:]]
    context = click.Context(cli, info_name="envpack")
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    command.make_context("envpack", words)


def test_the_launchers_that_are_listed_are_those_there_are() -> None:
    table = README[README.index("| launcher |") : README.index("`REF` is")]
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.*) \|$", table, re.MULTILINE)
    assert rows == [(launcher.name, launcher.purpose) for launcher in LAUNCHERS.values()]


def test_the_configuration_that_is_shown_is_one_that_envpack_reads(tmp_path: Path) -> None:
    blocks = re.findall(r"^( *)```yaml\n(.*?)```", README, re.DOTALL | re.MULTILINE)
    assert len(blocks) > 1
    for text in (dedent(block) for _, block in blocks):
        (tmp_path / "envpack.yaml").write_text(text, "utf-8")
        config = load({}, {}, tmp_path)
        for key, value in yaml.safe_load(text).items():
            for name in [f"{key}_{inner}" for inner in value] if key in SECTIONS else [key]:
                assert config.origins[name.replace("-", "_")].startswith(f"{tmp_path / 'envpack.yaml'}:")


def test_every_file_that_is_linked_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (Path(__file__).parent.parent / link.partition("#")[0]).exists(), link


def test_every_test_that_the_page_on_security_names_is_there() -> None:
    text = (HERE / "docs/security.md").read_text("utf-8")
    code = "\n".join(path.read_text("utf-8") for path in (HERE / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 20
    assert {name for name in named if f"def {name}(" not in code} == set()
    assert {path for path in re.findall(r"`(tests/[\w/.]+)`", text) if not (HERE / path).exists()} == set()


def test_the_number_of_launchers_is_that_of_the_table() -> None:
    assert f"**Settings for {len(LAUNCHERS)} launchers**" in README


def test_every_schema_of_an_output_is_listed() -> None:
    schemas = {path.name for path in (HERE / "docs").glob("*.schema.json") if not path.name.startswith("stored-")}
    assert schemas - set(re.findall(r"\(docs/([\w-]+\.schema\.json)\)", README)) == set()


def test_every_object_of_a_store_is_in_the_concepts() -> None:
    page = (HERE / "docs/concepts.md").read_text("utf-8")
    layout = "\n".join(re.findall(r"^ {4}(<store>/.*)$", page, re.MULTILINE))
    named = {
        value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str) and name[0] != "_"
    }
    assert {name for name in named - {keys.CATALOG_NOTE} if name not in layout} == set()
