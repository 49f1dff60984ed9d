"""What the README says of speed is what was measured."""

from __future__ import annotations

from bench import report


def test_the_table_in_the_readme_is_made_of_the_results() -> None:
    assert report.block() in report.README.read_text("utf-8")
