"""Every command, with a secret in each of its arguments and options, says and writes nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.every_command import FORMS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("each", "forms", "least"),
    [(8, 1, 40), pytest.param(1, 3, 700, marks=pytest.mark.acceptance)],
    ids=["some of them", "all"],
)
def test_no_argument_comes_out_again(tmp_path: Path, each: int, forms: int, least: int) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ENVPACK_", "AWS_"))}
    environ |= {"HOME": str(tmp_path), "ENVPACK_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    environ |= {"AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-m", "tests.support.every_command", str(each), str(forms)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environ, timeout=900)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["found"] == []
    assert told["tried"] >= least
    assert set(told["forms"]) == set(FORMS)
