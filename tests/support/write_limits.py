"""Write the table of limits into docs/explain.md: `make reference`."""

from __future__ import annotations

from pathlib import Path

from envpack.explain.limits import LIMITS, written
from envpack.spark.versions import dotted

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"
BEGIN, END = "<!-- made by `make reference` -->\n", "<!-- end of what it made -->\n"


def table() -> str:
    """Return the table as Markdown."""
    lines = ["| finding | measured | limits | floor | Spark | source of the limit |", "|---|---|---|---|---|---|"]
    for name, limit in LIMITS.items():
        steps = ", ".join(f"{written(value, limit.unit)} {severity}" for value, severity in reversed(limit.steps))
        floor = written(limit.floor, limit.floor_unit) if limit.floor else ""
        since = f"{dotted(limit.since)} on" if limit.since else ""
        lines.append(f"| `{name}` | {limit.measure} | {steps} | {floor} | {since} | {limit.source} |")
    return "\n".join(lines) + "\n"


def renewed(page: str) -> str:
    """Return the page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
