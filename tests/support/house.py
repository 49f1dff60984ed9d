"""Draw the rooms and floors of the code from the import contracts in pyproject.toml.

`python -m tests.support.house` writes the picture into docs/concepts.md.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/concepts.md"
BEGIN, END = "<!-- made by `python -m tests.support.house` -->\n", "<!-- end of what it made -->\n"


def floors() -> list[list[str]]:
    """Return the rooms of each floor, from the top, as the contract names them without `envpack.`."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip().removeprefix("envpack.") for room in layer.split("|")] for layer in layers]


def purpose(room: str) -> str:
    """Return the first line of a room's docstring."""
    text = importlib.import_module(f"envpack.{room}").__doc__ or ""
    return text.strip().splitlines()[0].rstrip(".")


def picture() -> str:
    """Return the floors as a Mermaid drawing, and what each room is for as a table."""
    lines = ["```mermaid", "flowchart TB"]
    for number, rooms in enumerate(floors()):
        lines += [f'  subgraph floor{number}[" "]', "    direction LR"]
        lines += [f'    {room}["{room}"]' for room in rooms]
        lines.append("  end")
    lines += [f"  floor{number} --> floor{number + 1}" for number in range(len(floors()) - 1)]
    lines += ["```", "", "| floor | room | purpose |", "|---|---|---|"]
    for number, rooms in enumerate(floors()):
        lines += [f"| {len(floors()) - number} | `{room}` | {purpose(room)} |" for room in rooms]
    return "\n".join(lines) + "\n"


def renewed(page: str) -> str:
    """Return the page with the picture as it is now."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + picture() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
