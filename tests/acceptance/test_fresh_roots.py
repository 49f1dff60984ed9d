"""The README's two commands on fresh machines: Debian with Python, make, git and certificates, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fresh_root import machine

DEMO_AND_TEST = [
    pytest.param(suite, user, target, marks=marks)
    for suite in ("trixie", "bookworm", "sid")
    for user in ("root", "person")
    for target in ("demo", "test")
    for marks in [
        pytest.mark.fresh_roots
        if target == "test" or suite == "sid"
        else (pytest.mark.fresh_roots, pytest.mark.acceptance)
    ]
]
"""Python 3.13, 3.11 and whatever the next Debian has. `make acceptance` runs the demos, `make fresh-roots` all."""


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("suite", "user", "target"), DEMO_AND_TEST)
def test_make_works_on_a_fresh_machine(suite: str, user: str, target: str, tmp_path: Path) -> None:
    done = machine(suite, user, tmp_path).make(target)
    assert done.returncode == 0, done.stdout[-20_000:]
    if target == "demo":
        assert "warning: Spark" not in done.stdout
        assert "runs pandas" in done.stdout
