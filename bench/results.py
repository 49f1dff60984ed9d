"""What was measured: `bench/results/NAME.json`, and the same as a table."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import places
from envpack.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.measure import Taken

FOLDER = places.HERE / "results"

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One benchmark's figures."""

    bench: str
    made: Mapping[str, Any]
    """When, on what, with what."""
    rows: Sequence[Row]
    """Each with `case` and `rival`, and figures by name."""

    def row(self, case: str, rival: str) -> Row:
        """Return the row of a rival in a case. Raises KeyError when it was not measured."""
        for row in self.rows:
            if (row["case"], row["rival"]) == (case, rival):
                return row
        raise KeyError(f"{self.bench} has no {rival} in {case}")


def rows(case: str, taken: Iterable[Taken], **facts: float) -> list[Row]:
    """Return the rows of one case; `facts` are of the case, such as the environment's size."""
    return [{"case": case, **facts, **one.to_json()} for one in taken]


def save(bench: str, rows: Sequence[Row]) -> Result:
    """Write a benchmark's figures in the place of its last ones, cases that were not measured again staying.

    Prints them as a table.
    """
    path = FOLDER / f"{bench}.json"
    cases = {row["case"] for row in rows}
    before = load(bench).rows if path.exists() else []
    everything = [*(row for row in before if row["case"] not in cases), *rows]
    order = list(dict.fromkeys(row["case"] for row in [*before, *rows]))
    everything.sort(key=lambda row: order.index(row["case"]))
    result = unsaved(bench, everything)
    value = {"schema": 1, "bench": bench, "made": result.made, "rows": result.rows}
    FOLDER.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
    print(table(result))
    return result


def unsaved(bench: str, rows: Sequence[Row]) -> Result:
    """Return figures that were measured just now."""
    return Result(bench=bench, made=_made(), rows=rows)


def load(bench: str) -> Result:
    """Return the figures of the last run."""
    value = json.loads((FOLDER / f"{bench}.json").read_text("utf-8"))
    return Result(bench=bench, made=value["made"], rows=value["rows"])


def table(result: Result) -> str:
    """Return all figures but the single rounds, as text in columns."""
    names = list(dict.fromkeys(name for row in result.rows for name in row if name not in ("seconds", "parts")))
    lines = [names, *([_cell(row.get(name)) for name in names] for row in result.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, int) and value >= 1_000_000:
        return f"{value / 1e6:,.1f} MB"
    return str(value)


def _made() -> dict[str, Any]:
    """Return when, on what and with what, without what would name the machine."""
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": f"python -m bench.{Path(sys.argv[0]).stem}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "envpack": VERSION,
        **{name: version(name) for name in ("conda-pack", "uv", "deflate", "zlib-ng", "py-rattler")},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
