"""Write the README's table of what was measured, from `bench/results/*.json`.

Usage: python -m bench.report
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import places, results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.results import Result, Row

README = places.HERE.parent / "README.md"
START, END = "<!-- made by `python -m bench.report` -->", "<!-- end of what it made -->"

_CONDA_PACK = "conda-pack tar.gz, "
_SCRIPT = "uv, conda-pack, aws"
_COLD = ", nothing packed before"


def main() -> None:
    """Put the table into the README."""
    text = README.read_text("utf-8")
    README.write_text(f"{text[: text.index(START)]}{block()}{text[text.index(END) + len(END) :]}", "utf-8")


def block() -> str:
    """Return what stands in the README, with its marks."""
    lines = ["| what | bar | measured | by |", "|---|---|---|---|"]
    lines += [f"| {what} | {bar} | {measured} | `bench.{bench}` |" for what, bar, measured, bench in _rows()]
    made = results.load("pack").made
    machine = f"Measured {made['date']} on {made['cores']} cores ({made['processor']}), Python {made['python']}."
    if made["load"] > 2 * made["cores"]:
        machine += f" Others kept the machine busy (load {made['load']:.0f}), which hides what a second core gives."
    return "\n".join([START, "", *lines, "", machine, END])


def _rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield what was measured: what, the bar, the figures, the benchmark; what was not measured has no row."""
    for bench, told in (("pack", _packing), ("build", _building), ("cluster", _starting)):
        if (results.FOLDER / f"{bench}.json").exists():
            for what, bar, measured in told(results.load(bench)):
                yield what, bar, measured, bench


def _packing(pack: Result) -> Iterator[tuple[str, str, str]]:
    yield "pack, nothing packed before, no larger than conda-pack's", "2x conda-pack", _ratios(pack, _COLD)
    yield "pack, one package changed", "10x conda-pack", _ratios(pack, "tar.gz, one package changed")
    yield "pack, all packed before", "20x conda-pack", _ratios(pack, "tar.gz, packed before")
    yield "peak memory of packing", "400 MB", _memory(pack)


def _building(build: Result) -> Iterator[tuple[str, str, str]]:
    for case, bar in (
        ("first build", ""),
        ("packed before", ""),
        ("one package changed", ""),
        ("unchanged", "1 s"),
    ):
        yield f"build, {case}", bar, _built(build, case)
    yield "bytes sent to S3, one package changed", "that package", _sent(build)
    yield "`envpack --help`", "0.2 s", f"{build.row('--help', 'envpack --help')['median']:.2f} s"


def _starting(cluster: Result) -> Iterator[tuple[str, str, str]]:
    yield "executor's cold start: unpack, `import pandas`", "1x conda-pack", _started(cluster)


def _ratios(pack: Result, ending: str) -> str:
    """Return, for each size, how many times as fast as conda-pack with its better number of threads."""
    told = []
    for case in dict.fromkeys(row["case"] for row in pack.rows):
        rows = [row for row in pack.rows if row["case"] == case]
        rivals = [row for row in rows if row["rival"].startswith(_CONDA_PACK)]
        ours = [row for row in rows if row["rival"].startswith("envpack tar.gz") and row["rival"].endswith(ending)]
        if ending == _COLD:
            largest = max(row["size"] for row in rivals)
            ours = [row for row in ours if row["size"] <= largest]
        told.append(f"{_fastest(rivals) / _fastest(ours):.1f}x {case}" if ours else f"larger {case}")
    return ", ".join(told)


def _fastest(rows: list[Row]) -> float:
    return min(float(row["median"]) for row in rows)


def _memory(pack: Result) -> str:
    ours = [row for row in pack.rows if row["rival"].startswith("envpack tar.gz")]
    cases = dict.fromkeys(row["case"] for row in ours)
    peaks = {case: max(row["peak_memory"] for row in ours if row["case"] == case) for case in cases}
    return ", ".join(f"{peak / 1e6:.0f} MB {case}" for case, peak in peaks.items())


def _built(build: Result, case: str) -> str:
    told = []
    for size in _sizes(build):
        ours = build.row(size, f"envpack, {case}")["median"]
        script = build.row(size, _SCRIPT)["median"]
        told.append(f"{ours:.2f} s {size}, {script / ours:.1f}x a script of uv, conda-pack and aws")
    return "; ".join(told)


def _sent(build: Result) -> str:
    told = []
    for size in _sizes(build):
        changed, first, script = (
            build.row(size, rival)["sent"] / 1e6
            for rival in ("envpack, one package changed", "envpack, first build", _SCRIPT)
        )
        told.append(f"{changed:.1f} of {first:.1f} MB {size}; the script {script:.1f} MB")
    return "; ".join(told)


def _sizes(build: Result) -> list[str]:
    return [row["case"] for row in build.rows if row["rival"] == _SCRIPT]


def _started(cluster: Result) -> str:
    rival = cluster.row("middle", "conda-pack")["median"]
    told = [
        f"{rival / cluster.row('middle', name)['median']:.2f}x {'with --slim' if 'slim' in name else 'by default'}"
        for name in ("envpack", "envpack --slim")
    ]
    return ", ".join(told)


if __name__ == "__main__":
    main()
