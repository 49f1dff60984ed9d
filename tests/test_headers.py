"""What requirement lines say in comments for envpack, and which variables reach beyond an environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpack import requirements
from envpack.errors import BadRequirements
from envpack.requirements import reach
from envpack.requirements.formats import header

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.requirements import Requirements
    from tests.support.command import Desk

HEADER = """\
# The people of the churn model use this.
# envpack:
#   description: Features for
#     the churn model
#   owner: data-platform@example.com
#
#   channels: [conda-forge, ./mine]
#   variables:
#     HF_HOME: ./.cache/hf   # where workers may write
#     THREADS: 010
#     DEBUG: true
# Keep this sorted.
numpy
"""


def read(directory: Path, text: str, name: str = "requirements.txt") -> Requirements:
    (directory / name).write_text(text)
    return requirements.read(directory / name)


def problems(directory: Path, text: str) -> list[str]:
    with pytest.raises(BadRequirements) as caught:
        read(directory, text)
    return [line.partition("requirements.txt:")[2] for line in caught.value.message.splitlines()]


def test_a_header_says_what_lines_cannot(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    asked = read(tmp_path, HEADER)
    assert asked.description == "Features for the churn model"
    assert asked.owner == "data-platform@example.com"
    assert asked.channels == ("conda-forge", str(tmp_path / "mine"))
    assert asked.variables == {"HF_HOME": "./.cache/hf", "THREADS": "010", "DEBUG": "True"}
    assert [line.name for line in asked.pypi] == ["numpy"]
    assert asked.conda_first
    assert asked.warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        "# envpack: owner: me\n# envpack: variables: {A: b}\nnumpy\n",
        "# envpack: {owner: me, variables: {A: b}}\nnumpy\n",
        "#envpack:\n#  owner: me\n#  variables:\n#    A: b\nnumpy\n",
        "numpy\n# Envpack: owner: me\n\n# envpack: variables:\n#   A: b\n",
        "# envpack:\r\n#   owner: me\r\n#   variables: {A: b}\r\nnumpy\r\n",
    ],
)
def test_a_header_may_be_written_in_several_ways(tmp_path: Path, text: str) -> None:
    asked = read(tmp_path, text)
    assert (asked.owner, asked.variables) == ("me", {"A": "b"})


@pytest.mark.parametrize("text", ["# envpack builds this\nnumpy\n", "# see envpack: good\nnumpy\n", "numpy\n"])
def test_other_comments_are_for_people(tmp_path: Path, text: str) -> None:
    asked = read(tmp_path, text)
    assert (asked.owner, asked.description, asked.variables, asked.channels) == (None, None, {}, ())


def test_an_environment_file_says_the_same_in_keys(tmp_path: Path) -> None:
    text = "dependencies: [numpy]\ndescription: >\n  Features for\n  churn\nowner: me\n"
    asked = read(tmp_path, text, "env.yml")
    assert (asked.description, asked.owner, asked.warnings) == ("Features for churn", "me", ())


def test_description_and_owner_change_no_request(tmp_path: Path) -> None:
    plain, described = read(tmp_path, "numpy\n"), read(tmp_path, "# envpack: {owner: me, description: x}\nnumpy\n")
    assert plain.canonical() == described.canonical()
    assert read(tmp_path, "# envpack: variables: {A: b}\nnumpy\n").canonical() != plain.canonical()


def test_every_mistake_of_a_header_is_said_at_once_with_its_line_and_the_nearest_key(tmp_path: Path) -> None:
    text = """\
# envpack:
#   ownr: me
#   license: MIT
#   description: [a, b]
#   variables:
#     A-B: c
#     LIST: [1]
#     API_TOKEN: ghp_9fK2mQ7xT4vB8nR1sW6yZ3
#   channels: conda-forge
# envpack: variables: {}
numpy ==
"""
    said = problems(tmp_path, text)
    assert {line.partition(":")[0] for line in said} == {"2", "3", "4", "6", "7", "8", "9", "10", "11"}
    assert next(line for line in said if line.startswith("2:")).endswith("did you mean owner?")
    assert all(key in next(line for line in said if line.startswith("3:")) for key in header.KEYS)
    assert "line 6" in next(line for line in said if line.startswith("10:"))
    assert "ghp_" not in str(said)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# envpack:\n#   owner: 'me\nnumpy\n", "2"),
        ("# envpack: just words\nnumpy\n", "1"),
        ("\n\n# envpack:\n#   - owner\nnumpy\n", "4"),
        ("# envpack: owner: !!python/name:os.system ''\nnumpy\n", "1"),
        (f"# envpack: owner: {'x' * 3000}\nnumpy\n", "1"),
    ],
)
def test_what_is_no_header_is_refused_with_its_line(tmp_path: Path, text: str, line: str) -> None:
    assert {said.partition(":")[0] for said in problems(tmp_path, text)} == {line}


def test_a_header_of_an_included_file_has_no_effect_and_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text("# envpack: owner: them\nsix\n")
    asked = read(tmp_path, "-r base.txt\nnumpy\n")
    assert asked.owner is None
    (warning,) = asked.warnings
    assert "base.txt:1:" in warning


def test_an_explicit_list_says_the_same_in_comments(tmp_path: Path) -> None:
    url = f"https://conda.anaconda.org/conda-forge/linux-64/python-3.11.7-0_cpython.conda#sha256:{'0' * 64}"
    asked = read(tmp_path, f"# envpack: {{owner: me, variables: {{A: b}}}}\n@EXPLICIT\n{url}\n")
    assert (asked.owner, asked.variables, asked.warnings) == ("me", {"A": "b"}, ())
    assert asked.pinned is not None


def test_a_comment_in_a_file_that_has_keys_of_its_own_is_warned_of(tmp_path: Path) -> None:
    asked = read(tmp_path, "dependencies: [numpy]\n# envpack: owner: me\n", "env.yml")
    assert asked.owner is None
    (warning,) = asked.warnings
    assert "env.yml:2:" in warning


@pytest.mark.parametrize(
    "name",
    [
        *("LD_PRELOAD", "LD_AUDIT", "LD_BIND_NOW", "PATH", "HOME", "PYTHONPATH"),
        *("PYTHONHOME", "PYTHONOPTIMIZE", "PYTHONNEW", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "SPARK_HOME"),
        *("SPARK_SUBMIT_OPTS", "HADOOP_USER_NAME", "HADOOP_OPTS", "HTTPS_PROXY", "https_proxy", "OPENSSL_CONF"),
    ],
)
@pytest.mark.parametrize("kind", ["header", "environment file"])
def test_a_variable_that_reaches_further_is_allowed_and_warned_of_with_its_line(
    tmp_path: Path, name: str, kind: str
) -> None:
    if kind == "header":
        asked = read(tmp_path, f"# envpack:\n#   variables:\n#     {name}: /x\nnumpy\n")
        place = "requirements.txt:3"
    else:
        asked = read(tmp_path, f"dependencies: [numpy]\nvariables:\n\n  {name}: /x\n", "env.yml")
        place = "env.yml:4"
    assert asked.variables == {name: "/x"}
    (warning,) = asked.warnings
    assert f"{place}: the variable {name} goes to every job: {reach.effect(name)}" in warning


@pytest.mark.parametrize("name", ["BASH_ENV", "ENV", "IFS", "SHELLOPTS", "PROMPT_COMMAND"])
def test_a_variable_that_rules_a_shell_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    (said,) = problems(tmp_path, f"# envpack:\n#   variables:\n#     {name}: /x\nnumpy\n")
    assert said.startswith(f"3: '{name}'")


@pytest.mark.parametrize("name", ["HF_HOME", "MODE", "PYTHONUNBUFFERED", "PYSPARK_PYTHON", "MY_PATH"])
def test_a_variable_of_the_environments_own_is_not_warned_of(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, f"# envpack: variables: {{{name}: x}}\nnumpy\n").warnings == ()


def test_description_and_owner_are_kept_in_the_release_and_shown(desk: Desk) -> None:
    desk.write("d.txt", "# envpack: {owner: me, description: For churn, variables: {LD_PRELOAD: /x.so}}", "greeter")
    built = desk.run("build", "d.txt", "--no-verify", "--output", "json")
    assert built.code == 0, built.err
    assert "d.txt:1: the variable LD_PRELOAD goes to every job" in built.err
    manifest = desk.run("show", "d", "--output", "json").json()["manifest"]
    assert (manifest["owner"], manifest["description"]) == ("me", "For churn")
    shown = desk.run("show", "d").out
    assert "For churn" in shown
    assert "me" in [line.split()[1] for line in shown.splitlines() if line.startswith("owner")]
    desk.write(
        "d.txt", "# envpack: {owner: you, description: For churn, variables: {LD_PRELOAD: /x.so}}", "greeter"
    )
    again = desk.run("build", "d.txt", "--no-verify", "--output", "json")
    assert again.json()["digest"] == built.json()["digest"]
    assert "keeps the owner that it was published with, 'me'" in again.err
