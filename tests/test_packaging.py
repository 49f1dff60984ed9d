"""What `packaging/` offers says what pyproject.toml says, and linters find nothing in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import envpack
from envpack.requirements.names import ProjectName
from envpack.resolve.mapping import guesses, known

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    recipe: dict[str, Any] = yaml.safe_load((PACKAGING / "conda/recipe.yaml").read_text())
    return recipe


def test_the_conda_package_has_the_name_and_version_of_the_distribution(
    project: dict[str, Any], recipe: dict[str, Any]
) -> None:
    assert recipe["package"]["name"] == project["name"]
    assert recipe["context"]["version"] == envpack.__version__
    assert recipe["build"]["python"]["entry_points"] == [
        f"{command} = {place}" for command, place in project["scripts"].items()
    ]


def test_the_conda_package_needs_what_the_distribution_needs(
    project: dict[str, Any], recipe: dict[str, Any]
) -> None:
    needed = dict(line.partition(" ")[::2] for line in recipe["requirements"]["run"])
    assert needed.pop("python") == f"{project['requires-python']},<3.14"
    for requirement in map(Requirement, project["dependencies"]):
        name = ProjectName(requirement.name)
        (conda,) = {*known().get(name, ()), *guesses(name)} & needed.keys()
        assert SpecifierSet(needed.pop(conda)) == requirement.specifier
    assert not needed


@pytest.mark.parametrize(
    ("path", "schema"),
    [("gitlab/envpack.gitlab-ci.yml", "gitlab-ci.json"), ("github/action.yml", "github-actions.json")],
)
def test_the_schema_of_the_service_accepts_it(path: str, schema: str) -> None:
    schemas = resources.files("check_jsonschema.builtin_schemas.vendor")
    validator = jsonschema.Draft7Validator(json.loads((schemas / schema).read_text()))
    document = yaml.safe_load((PACKAGING / path).read_text())
    assert [error.message for error in validator.iter_errors(document)] == []


def test_a_linter_for_dockerfiles_finds_nothing() -> None:
    if not (hadolint := shutil.which("hadolint", path=str(BIN))):
        pytest.skip("PyPI has no hadolint for this processor")
    done = subprocess.run(
        [hadolint, "--no-color", PACKAGING / "container/Dockerfile"], capture_output=True, text=True
    )
    assert done.stdout == ""


def test_an_auditor_of_github_actions_finds_nothing() -> None:
    zizmor: list[str | Path] = [BIN / "zizmor", "--offline", "--no-config", "--quiet", "--format", "json"]
    done = subprocess.run([*zizmor, PACKAGING / "github"], capture_output=True, text=True)
    assert (done.returncode, yaml.safe_load(done.stdout)) == (0, [])
