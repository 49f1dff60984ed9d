"""What the README and docs/speed.md say of speed is what was measured."""

from __future__ import annotations

from bench import report


def test_the_tables_are_made_of_the_results() -> None:
    assert report.short() in report.README.read_text("utf-8")
    assert report.full() in report.PAGE.read_text("utf-8")
