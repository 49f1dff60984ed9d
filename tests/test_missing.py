"""What becomes of the slow tests, and of tests on a machine that cannot have what they need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

NEEDS_JARS = """\
from tests.support.maven import jars

def test_that_needs_jars():
    jars("none", ["no.such:artifact:1"])
"""


def ran(directory: Path, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on this project in another process, on a machine that has kept nothing from earlier runs."""
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "ENVPACK_ACCEPTANCE"}}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-rs",
            "-c",
            ROOT / "pyproject.toml",
            *arguments,
        ],
        cwd=ROOT,
        env={**kept, "ENVPACK_TEST_CACHE": str(directory / "kept"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.acceptance
def test_slow_tests_are_skipped_by_name_unless_they_are_asked_for(tmp_path: Path) -> None:
    done = ran(tmp_path, "tests/acceptance/test_yarn.py", "tests/acceptance/test_spark.py")
    assert done.returncode == 0, done.stdout
    for line in ("tests/acceptance/test_yarn.py", "slow: `make yarn` runs it", "slow: `make acceptance` runs it"):
        assert line in done.stdout
    assert " passed" not in done.stdout


@pytest.mark.parametrize(
    ("variables", "outcome"),
    [
        ({}, "1 skipped"),
        ({"CI": "true"}, "1 failed"),
        pytest.param({"ENVPACK_ACCEPTANCE": "1"}, "1 failed", marks=pytest.mark.acceptance),
    ],
)
def test_a_machine_without_maven_central_fails_in_ci_and_says_so_elsewhere(
    variables: dict[str, str], outcome: str, tmp_path: Path
) -> None:
    (tmp_path / "test_jars.py").write_text(NEEDS_JARS)
    done = ran(tmp_path, tmp_path / "test_jars.py", PATH="/nowhere", **variables)
    assert outcome in done.stdout, done.stdout
    assert "no jars from Maven Central: there is no mvn on PATH" in done.stdout
