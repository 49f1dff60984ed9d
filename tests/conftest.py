"""Fixtures that many tests share live in `tests/support`, one module per real thing they set up."""

from __future__ import annotations

pytest_plugins: list[str] = []
