"""Fixtures that many tests share live in `tests/support`, one module per real thing they set up."""

from __future__ import annotations

# pytest registers a module before any other imports it: those that build on others come last.
pytest_plugins = [
    "tests.support.archives",
    "tests.support.channel",
    "tests.support.command",
    "tests.support.job",
    "tests.support.s3",
    "tests.support.spark",
    "tests.support.yarn",
    "tests.support.livy",
]
