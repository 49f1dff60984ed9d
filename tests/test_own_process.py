"""Tests of one worker share a process, and none may depend on which ran before it."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.own_process import ASKED, FACTS, LEARNED

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

LEAVES_ALL_BEHIND = """
import logging, os, signal
from envpack import redact
from envpack.redact import known

def test_first():
    redact.know("correct-horse-battery")
    os.environ["LEFT_BEHIND"] = "1"
    os.environ.pop("HOME", None)
    os.chdir("/")
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: None)
    logging.getLogger("envpack").addHandler(logging.NullHandler())

def test_second(request):
    assert known.hide("correct-horse-battery") == "correct-horse-battery"
    assert "LEFT_BEHIND" not in os.environ and "HOME" in os.environ
    assert os.getcwd() == str(request.config.invocation_params.dir)
    assert os.umask(0o022) == 0o022
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert logging.getLogger("envpack").handlers == []
"""


def test_a_test_finds_nothing_that_another_left_behind(tmp_path: Path) -> None:
    (tmp_path / "test_both.py").write_text(LEAVES_ALL_BEHIND)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.own_process", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        umask=0o022,
        preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    )
    assert done.returncode == 0, done.stdout


def test_all_that_a_process_learns_is_known_to_the_tests() -> None:
    """A module that remembers something new is either put back for each test, or it remembers a fact."""
    found = {
        (".".join(path.relative_to(ROOT).with_suffix("").parts), name)
        for path in (ROOT / "envpack").rglob("*.py")
        for name in _remembered(ast.parse(path.read_text("utf-8")))
    }
    assert found == {*LEARNED, *ASKED, *FACTS}


def _remembered(module: ast.Module) -> Iterator[str]:
    """Yield the names of a module's caches and of its variables that begin empty."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and any("cache" in ast.unparse(each) for each in node.decorator_list):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if ast.unparse(node.value) in ("{}", "[]", "set()", "dict()", "list()", "None"):
                yield from (ast.unparse(target) for target in targets if ast.unparse(target).islower())
