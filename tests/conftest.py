"""Fixtures that many tests share live in `tests/support`, one module per real thing they set up."""

from __future__ import annotations

pytest_plugins = [
    "tests.support.archives",
    "tests.support.channel",
    "tests.support.command",
    "tests.support.s3",
    "tests.support.spark",
    "tests.support.yarn",
]
