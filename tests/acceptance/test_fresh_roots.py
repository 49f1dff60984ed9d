"""The README's two commands on fresh machines: Debian with Python, make, git and certificates, and nothing else."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from tests.support.fresh_root import machine

IN_ACCEPTANCE = {(suite, user, "demo") for suite in ("trixie", "bookworm") for user in ("root", "person")}
"""What `make acceptance` runs of it; the rest takes an hour."""

DEMO_AND_TEST = [
    pytest.param(
        *each, marks=[pytest.mark.fresh_roots, *([pytest.mark.acceptance] if each in IN_ACCEPTANCE else [])]
    )
    for each in product(("trixie", "bookworm", "sid"), ("root", "person"), ("demo", "test"))
]
"""Python 3.13, 3.11 and whatever the next Debian has. `make fresh-roots` runs all."""


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("suite", "user", "target"), DEMO_AND_TEST)
def test_make_works_on_a_fresh_machine(suite: str, user: str, target: str, tmp_path: Path) -> None:
    done = machine(suite, user, tmp_path).make(target)
    assert done.returncode == 0, done.stdout[-20_000:]
    if target == "demo":
        assert "warning: Spark" not in done.stdout
        assert "runs pandas" in done.stdout
