"""Draw how cost grows, from the results: docs/speed-size.svg, speed-packages.svg, speed-levels.svg, speed-node.svg.

Usage: python -m bench.plots
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from bench import places, results

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.results import Row

_DOCS = places.HERE.parent / "docs"

_LINES = {
    "conda-pack tar.gz, 1 thread": "conda-pack",
    "envpack tar.gz default, nothing packed before": "envpack, nothing packed before",
    "envpack tar.gz, one package changed": "envpack, one package changed",
    "envpack tar.gz, packed before": "envpack, packed before",
}

_ON_A_NODE = ("conda-pack", "envpack", "envpack tar", "envpack zip", "envpack --slim", "envpack tar --slim")


def main() -> None:
    """Draw all."""
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "envpack", "font.size": 9})
    packed = results.load("pack").rows
    _draw_lines(
        "speed-size",
        "Packing, by the size of the environment",
        "unpacked, MB",
        {label: _points(packed, rival, "unpacked", 1e6) for rival, label in _LINES.items()},
    )
    _draw_levels([row for row in packed if row["case"] == "middle"])
    grown = results.load("growth").rows
    _draw_lines(
        "speed-packages",
        "Packing, by the number of packages",
        "packages of 20 modules",
        {rival: _points(grown, rival, "packages", 1) for rival in dict.fromkeys(row["rival"] for row in grown)},
    )
    _draw_node(results.load("cluster").rows)


def _draw_node(rows: Iterable[Row]) -> None:
    """Draw what a node waits for, by its bandwidth: the transfer is reckoned, the rest was measured."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    bandwidths = [0.1 * 250 ** (step / 40) for step in range(41)]  # to 25 Gbit/s
    for row in rows:
        if row["rival"] in _ON_A_NODE:
            seconds = [8e-9 * row["size"] / each + row["unpack"] + row["first_import"] for each in bandwidths]
            axes.plot(bandwidths, seconds, label=row["rival"])
    axes.set(title="Fetch, unpack, import pandas", xlabel="bandwidth of a node, Gbit/s", ylabel="seconds")
    axes.set(xscale="log", yscale="log")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize=8)
    _save(figure, "speed-node")


def _points(rows: Iterable[Row], rival: str, by: str, unit: float) -> list[tuple[float, float]]:
    return sorted((row[by] / unit, row["median"]) for row in rows if row["rival"] == rival)


def _draw_lines(name: str, title: str, xlabel: str, lines: dict[str, list[tuple[float, float]]]) -> None:
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for label, points in lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
    axes.set(title=title, xlabel=xlabel, ylabel="seconds", xscale="log", yscale="log")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize=8)
    _save(figure, name)


def _draw_levels(rows: list[Row]) -> None:
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        words = row["rival"].split()
        if "nothing" in words and words[1] == "tar.gz":
            label = f"--compression {words[2].rstrip(',')}"
        elif row["rival"].startswith("conda-pack tar.gz") or row["rival"] == "tar -czf":
            label = row["rival"]
        else:
            continue
        axes.plot(row["size"] / 1e6, row["median"], "o")
        axes.annotate(
            label, (row["size"] / 1e6, row["median"]), xytext=(5, 4), textcoords="offset points", fontsize=8
        )
    axes.set(title="Size and time of packing, the middle environment", xlabel="archive, MB", ylabel="seconds")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.25)
    axes.grid(visible=True, alpha=0.2)
    _save(figure, "speed-levels")


def _save(figure: Figure, name: str) -> None:
    figure.savefig(_DOCS / f"{name}.svg", metadata={"Date": None, "Creator": "python -m bench.plots"})


if __name__ == "__main__":
    main()
