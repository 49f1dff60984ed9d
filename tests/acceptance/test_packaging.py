"""What `packaging/` offers, for real: the conda package is built, the CI steps run, the wheel runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml
from rattler.index import index_fs
from rattler.package_streaming import extract
from rattler_build import Stage0Recipe, ToolConfiguration
from uv import find_uv_bin

import envpack
from envpack import digest
from tests.support.cache import kept
from tests.support.channel import Channel
from tests.support.loop import in_a_loop
from tests.support.missing import missing
from tests.support.repository import Repository, new_repository

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
BUILDS_WITH = ("pip", "hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git has of this project, as a person would clone it."""
    checkout = tmp_path_factory.mktemp("checkout") / "envpack"
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
    return checkout


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    constraint = ("--build-constraint", checkout / "constraints.txt")
    uv("build", "--quiet", "--wheel", *constraint, "--out-dir", checkout / "dist", checkout)
    (wheel,) = (checkout / "dist").glob("*.whl")
    return wheel


def uv(*arguments: str | Path) -> None:
    subprocess.run([find_uv_bin(), *arguments], check=True, env={**os.environ, "UV_NO_PROGRESS": "1"})


# conda


@pytest.fixture(scope="module")
def builder_channel(full_channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel with what the recipe builds with: each from its real wheel."""
    channel = tmp_path_factory.mktemp("builder") / "channel"
    shutil.copytree(full_channel.path, channel)
    for name in BUILDS_WITH:
        scratch = tmp_path_factory.mktemp(name)
        constraint = ("--constraint", ROOT / "constraints.txt")
        target = ("--target", scratch / "wheel", "--python", sys.executable)
        uv("pip", "install", "--quiet", "--no-deps", *constraint, *target, name)
        needs = [each for each in BUILDS_WITH if each not in (name, "pip")] if name == "hatchling" else []
        recipe = {
            "package": {"name": name, "version": "1000"},
            "source": {"path": str(scratch / "wheel"), "use_gitignore": False},
            "build": {
                "noarch": "python",
                "script": "mkdir -p $SP_DIR && cp -R . $SP_DIR/ && rm -f $SP_DIR/conda_*",
            },
            "requirements": {"host": ["python"], "run": ["python", *needs]},
        }
        (scratch / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        build(scratch / "recipe.yaml", channel, scratch / "built")
        for package in (scratch / "built/noarch").glob("*.conda"):
            shutil.copy(package, channel / "noarch")
        in_a_loop(index_fs(channel, force=True))
    return channel


def build(recipe: Path, channel: Path, into: Path) -> Path:
    (built,) = Stage0Recipe.from_file(recipe).run_build(
        tool_config=ToolConfiguration(test_strategy="skip"), output_dir=into, channels=[channel.as_uri()]
    )
    (package,) = built.packages
    return Path(package)


def test_the_conda_package_is_built_and_holds_what_the_wheel_holds(
    checkout: Path, wheel: Path, builder_channel: Path, tmp_path: Path
) -> None:
    package = build(checkout / "packaging/conda/recipe.yaml", builder_channel, tmp_path / "built")
    extract(package, tmp_path / "package")
    shutil.unpack_archive(wheel, tmp_path / "wheel", "zip")
    assert python_files(tmp_path / "package/site-packages") == python_files(tmp_path / "wheel")
    about = json.loads((tmp_path / "package/info/index.json").read_text())
    assert (about["name"], about["version"], about["noarch"]) == ("envpack-spark", envpack.__version__, "python")
    link = json.loads((tmp_path / "package/info/link.json").read_text())
    assert link["noarch"]["entry_points"] == ["envpack = envpack.cli:main"]


def python_files(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): digest.of_file(path)
        for path in (root / "envpack").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


# a linter of workflows

_ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"


@pytest.fixture(scope="module")
def actionlint() -> Path:
    def build_it(directory: Path) -> None:
        go = shutil.which("go")
        if not go:
            missing("no actionlint: there is no go on PATH to build it with")
        subprocess.run(
            [go, "install", _ACTIONLINT], env={**os.environ, "GOBIN": str(directory)}, check=True, timeout=600
        )

    return kept("actionlint-1.7.12", build_it) / "actionlint"


def test_a_linter_of_workflows_finds_nothing_in_the_action_and_in_the_example_that_uses_it(
    actionlint: Path, tmp_path: Path
) -> None:
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    (example,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "packaging/github" in text]
    steps = re.sub(r"uses: YOUR-ORGANISATION/envpack/packaging/github@COMMIT", "uses: ./packaging/github", example)
    workflow = "on: [push, pull_request]\njobs:\n  environments:\n    runs-on: ubuntu-latest\n    steps:\n"
    flows = tmp_path / ".github/workflows"
    flows.mkdir(parents=True)
    shutil.copytree(PACKAGING / "github", tmp_path / "packaging/github")
    (flows / "example.yml").write_text(workflow + indent(steps, " " * 6))
    new_repository(tmp_path).commit()

    def said() -> str:
        command = [str(actionlint), "-oneline", "-no-color", "-shellcheck=", "-pyflakes="]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done.stdout + done.stderr

    assert said() == ""
    (flows / "example.yml").write_text(workflow + indent(steps.replace("sha256:", "digest:"), " " * 6))
    assert 'missing input "sha256"' in said()


# CI services


@dataclass
class Service:
    """A CI service that runs the shell of a job on this machine."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, script: str, directory: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), **self._indexes(), **self.variables}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=directory,
            env={**environment, **variables},
            capture_output=True,
            text=True,
        )

    @staticmethod
    def _indexes() -> dict[str, str]:
        """Return this machine's own way to PyPI."""
        return {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_"))}


@pytest.fixture
def team(tmp_path: Path, full_channel: Channel) -> Repository:
    repository = new_repository(tmp_path / "team")
    repository.commit(
        envpack_yaml=f"store: {tmp_path}/store\nchannels: [{full_channel.url}]\nglibc: '{full_channel.glibc}'\n"
        f"python: '{full_channel.python}'\nci: {{requirements: ['*.txt']}}\n"
    )
    repository.commit(udf_txt="six==1.17.0\n")
    return repository


def steps_of_the_action(inputs: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return the shell of each step with its variables, as GitHub fills them in."""
    action = yaml.safe_load((PACKAGING / "github/action.yml").read_text())
    given = {name: inputs.get(name, each.get("default")) for name, each in action["inputs"].items()}
    return [
        (step["run"], {name: str(given[value.split(".")[1].split(" ")[0]]) for name, value in step["env"].items()})
        for step in action["runs"]["steps"]
    ]


def run_the_action(team: Repository, tmp_path: Path, **inputs: str) -> tuple[int, dict[str, Any], str]:
    """Run the steps until one fails; return the last exit code, the report, and the summary or what was said."""
    files = {name: tmp_path / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    service = Service(tmp_path / "home", {name: str(path) for name, path in files.items()})
    service.variables |= {
        "RUNNER_TEMP": str(tmp_path / "runner temp"),
        "ENVPACK_CACHE_DIR": str(tmp_path / "cache"),
    }
    (tmp_path / "runner temp").mkdir(exist_ok=True)
    code, said = 0, ""
    for script, variables in steps_of_the_action(inputs):
        if code == 0:
            done = service.run(script, team.path, variables)
            code = done.returncode
            said = done.stdout + done.stderr
    report = team.path / "envpack-report/report.json"
    summary = files["GITHUB_STEP_SUMMARY"]
    return (
        code,
        json.loads(report.read_text()) if report.exists() else {},
        summary.read_text() if summary.exists() else said,
    )


def test_the_github_action_previews_and_then_publishes(team: Repository, wheel: Path, tmp_path: Path) -> None:
    given = {"wheel": wheel.as_uri(), "sha256": digest.of_file(wheel)}
    code, report, summary = run_the_action(team, tmp_path, **given, preview="true")
    assert code == 0
    assert not list((tmp_path / "store").glob("udf/*"))
    assert "udf" in summary
    code, report, summary = run_the_action(team, tmp_path, **given, requirements="\n  udf.txt  \n", tag="nightly")
    assert code == 0
    (built,) = report["environments"]
    assert list((tmp_path / "store/udf").glob("*/manifest.json"))
    assert built["reference"] in summary


@pytest.mark.parametrize("sha256", ["0" * 64, "", "$(touch harmed)"])
def test_the_github_action_installs_no_other_wheel(
    team: Repository, wheel: Path, tmp_path: Path, sha256: str
) -> None:
    code, report, _ = run_the_action(team, tmp_path, wheel=wheel.as_uri(), sha256=sha256)
    assert code != 0
    assert not report
    assert not (team.path / "harmed").exists()


def test_the_gitlab_job_publishes(team: Repository, wheel: Path, tmp_path: Path) -> None:
    jobs = yaml.safe_load((PACKAGING / "gitlab/envpack.gitlab-ci.yml").read_text())
    script = "\n".join((*jobs[".envpack"]["before_script"], *jobs["envpack-publish"]["script"]))
    script = script.replace("/tmp/envpack", str(tmp_path / "installed"))  # noqa: S108 - what the job says
    variables = {"ENVPACK_WHEEL": wheel.as_uri(), "ENVPACK_WHEEL_SHA256": digest.of_file(wheel)}
    cache = jobs[".envpack"]["variables"]["ENVPACK_CACHE_DIR"].replace("$CI_PROJECT_DIR", str(tmp_path / "builds"))
    done = Service(tmp_path / "home").run(script, team.path, {**variables, "ENVPACK_CACHE_DIR": cache})
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "store/udf").glob("*/manifest.json"))
    assert (team.path / jobs[".envpack"]["artifacts"]["reports"]["junit"]).exists()


# The wheel


def test_the_wheel_runs_without_being_installed(wheel: Path, tmp_path: Path) -> None:
    tool: list[str | Path] = [find_uv_bin(), "tool", "run", "--quiet", "--constraints", ROOT / "constraints.txt"]
    home = {**os.environ, "UV_TOOL_DIR": str(tmp_path / "tools")}
    done = subprocess.run([*tool, "--from", wheel, "envpack", "version"], capture_output=True, text=True, env=home)
    assert done.stdout.split() == ["envpack", envpack.__version__]
