"""What tests do on a machine that lacks what they need."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Fail in CI and in `make acceptance`, where everything must be there; skip elsewhere."""
    if os.environ.get("CI") or os.environ.get("ENVPACK_ACCEPTANCE"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
