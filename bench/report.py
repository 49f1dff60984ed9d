"""Write what was measured, from `bench/results/*.json`: all of it into docs/speed.md, four rows into the README.

Usage: python -m bench.report
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import places, results

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bench.results import Result, Row

README = places.HERE.parent / "README.md"
PAGE = README.parent / "docs/speed.md"
START, END = "<!-- made by `python -m bench.report` -->", "<!-- end of what it made -->"

_CONDA_PACK = "conda-pack tar.gz, "
_SCRIPT = "uv, conda-pack, aws"
_COLD = ", nothing packed before"

_PACK_COLD = "pack, nothing packed before, no larger than conda-pack's"
_PACK_KEPT = "pack, all packed before"
_UNCHANGED = "build, unchanged"
_START = "executor's cold start, compared with conda-pack: unpack, `import pandas`"
_SHORT = (_PACK_COLD, _PACK_KEPT, _UNCHANGED, _START)


def main() -> None:
    """Put the tables into the README and the page."""
    for file, made in ((README, short()), (PAGE, full())):
        text = file.read_text("utf-8")
        file.write_text(f"{text[: text.index(START)]}{made}{text[text.index(END) + len(END) :]}", "utf-8")


def full() -> str:
    """Return the table of the page, with its marks."""
    lines = ["| what | target | measured | by |", "|---|---|---|---|"]
    rows = list(_rows())
    lines += [f"| {what} | {bar} | {measured} | `bench.{bench}` |" for what, bar, measured, bench in rows]
    return _marked(lines, dict.fromkeys(bench for *_, bench in rows))


def short() -> str:
    """Return the table of the README, with its marks."""
    rows = {what: (measured, bench) for what, _, measured, bench in _rows()}
    lines = ["| what | measured |", "|---|---|", *(f"| {what} | {rows[what][0]} |" for what in _SHORT)]
    return _marked(lines, dict.fromkeys(rows[what][1] for what in _SHORT))


def _marked(lines: list[str], benches: Iterable[str]) -> str:
    made = results.load("pack").made
    machine = f"Measured {made['date']} on {made['cores']} cores ({made['processor']}), Python {made['python']}."
    if _busy(made):
        machine += f" Others kept the machine busy (load {made['load']:.0f}), which hides what a second core gives."
    for bench in benches:
        other = results.load(bench).made
        if other["date"] != made["date"] or _busy(other) != _busy(made):
            machine += f" `bench.{bench}`: {other['date']}, load {other['load']:.0f}."
    return "\n".join([START, "", *lines, "", machine, END])


def _busy(made: Mapping[str, Any]) -> bool:
    """Say whether others kept the machine busy."""
    return bool(made["load"] > 2 * made["cores"])


def _rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield what was measured: what, the bar, the figures, the benchmark; what was not measured has no row."""
    told_by = (
        ("pack", _packing),
        ("memory", _remembering),
        ("build", _building),
        ("agent", _on_an_agent),
        ("solve", _solving),
        ("link", _linking),
        ("cluster", _starting),
        ("store", _looking_up),
    )
    for bench, told in told_by:
        if (results.FOLDER / f"{bench}.json").exists():
            for what, bar, measured in told(results.load(bench)):
                yield what, bar, measured, bench


def _packing(pack: Result) -> Iterator[tuple[str, str, str]]:
    yield _PACK_COLD, "2x conda-pack", _ratios(pack, _COLD)
    yield "pack, one package changed", "10x conda-pack", _ratios(pack, "tar.gz, one package changed")
    yield _PACK_KEPT, "50x conda-pack", _ratios(pack, "tar.gz, packed before")
    yield "peak memory of packing", "400 MB", _memory(pack)


def _remembering(memory: Result) -> Iterator[tuple[str, str, str]]:
    rows = [row for row in memory.rows if row["rival"] == "envpack"]
    told = [
        f"{row['peak_memory'] / 1e6:.0f} MB for {row['unpacked'] / 1e9:.1f} GB in {row['files']:,} files"
        for row in rows
    ]
    yield "the same, ten times as many bytes in as many files", "no growth", ", ".join(told)


def _building(build: Result) -> Iterator[tuple[str, str, str]]:
    for case, bar in (
        ("first build", "1x the script"),
        ("packed before", ""),
        ("one package changed", ""),
        ("one package added", "6 s"),
        ("project line changed", "3 s"),
        ("source built before", "as packed before"),
        ("unchanged", "1 s"),
    ):
        if built := _built(build, case):
            yield f"build, {case}", bar, built
    yield "bytes sent to S3, one package changed", "that package", _sent(build)
    yield "`envpack --help`", "0.2 s", f"{build.row('--help', 'envpack --help')['median']:.2f} s"


def _on_an_agent(agent: Result) -> Iterator[tuple[str, str, str]]:
    changes = {
        "unchanged": "1.5 s",
        "one package changed": "1.5x the warm agent",
        "project changed": "",
        "all new": "",
    }
    for change, bar in changes.items():
        told = []
        for size in dict.fromkeys(row["case"] for row in agent.rows):
            row = agent.row(size, f"empty agent, {change}")
            moved = f"{row['received'] / 1e6:.1f} MB fetched, {row['sent'] / 1e6:.1f} sent"
            text = f"{row['median']:.2f} s {size}, {moved}"
            if change == "all new":
                script = agent.row(size, f"empty agent, {_SCRIPT}")["median"]
                text += f", {script / row['median']:.1f}x the script there"
            else:
                warm = agent.row(size, f"warm agent, {change}")["median"]
                text += f", {row['median'] / warm:.1f}x a warm agent"
            told.append(text)
        yield f"build on an empty agent, {change}", bar, "; ".join(told)


def _solving(solve: Result) -> Iterator[tuple[str, str, str]]:
    bare, ours, rival = (
        1000 * solve.row("notebook", way)["processor"] for way in ("neither", "envpack", "py-rattler")
    )
    times = (ours - bare) / (rival - bare)
    told = f"{times:.2f} times its processor time, {ours - bare:.0f} ms and {rival - bare:.0f} ms"
    yield (
        "solve 375 conda packages on real records",
        "1.3 times py-rattler's time",
        f"{told}; to start either takes {bare:.0f} ms more",
    )


def _linking(link: Result) -> Iterator[tuple[str, str, str]]:
    bare = link.row("small", "neither")["median"]
    ours, rival = (1000 * (link.row("small", name)["median"] - bare) for name in ("envpack", "py-rattler"))
    told = f"{ours:.0f} ms, py-rattler alone {rival:.0f} ms; to start either takes {1000 * bare:.0f} ms more"
    yield "link conda packages that are cached", "as py-rattler", told


def _starting(cluster: Result) -> Iterator[tuple[str, str, str]]:
    yield _START, "1x conda-pack", _started(cluster)
    rival = cluster.row("middle", "conda-pack")
    for name, words in (("envpack tar", "`tar`"), ("envpack zip", "`zip`"), ("envpack tar --slim", "`tar --slim`")):
        if not any(row["rival"] == name for row in cluster.rows):
            continue
        row = cluster.row("middle", name)
        unpacking = (
            f"{rival['unpack'] / row['unpack']:.1f}x as fast, {row['unpack']:.2f} s and {rival['unpack']:.2f} s"
        )
        yield f"unpack {words}, compared with conda-pack's tar.gz", "3x" if name == "envpack tar" else "", unpacking
        theirs, ours = (_arrived(each) for each in (rival, row))
        yield (
            f"fetch at 10 Gbit/s, unpack and import, {words}",
            "2x" if name == "envpack tar" else "",
            f"{theirs / ours:.1f}x, {ours:.2f} s and {theirs:.2f} s",
        )


_GBIT = 1e9 / 8
"""Bytes of a gigabit."""


def _looking_up(store: Result) -> Iterator[tuple[str, str, str]]:
    counts = sorted({row["releases"] for row in store.rows if row["case"].startswith("versitygw ")})
    for question, bar in (
        ("list, new machine", ""),
        ("list", "3 s"),
        ("search", "linear"),
        ("gc plan", "linear"),
        ("catalog --publish, one change", "requests of its own do not grow"),
    ):
        rows = [row for row in store.rows if row["case"].startswith("versitygw ") and row["rival"] == question]
        told = [
            f"{row['cpu']:.1f} s, {row['requests']:.0f} requests for {row['releases']:,} releases" for row in rows
        ]
        if counts and told:
            yield f"{question}: processor time and requests, by releases on S3", bar, "; ".join(told)


def _arrived(row: Row) -> float:
    """Return the seconds until a node with 10 Gbit/s has fetched an archive, unpacked it and imported from it."""
    return float(row["size"] / (10 * _GBIT) + row["unpack"] + row["first_import"])


def _ratios(pack: Result, ending: str) -> str:
    """Return, for each size, how many times as fast as conda-pack: as it comes, with one thread, and with all."""
    cases = dict.fromkeys(row["case"] for row in pack.rows)
    ours = {case: _ours(pack, case, ending) for case in cases}
    told = [
        ", ".join(f"{rival['median'] / ours[case]:.1f}x {case}" for case, rival in _rivals(pack, number))
        for number in ("1 thread", f"{pack.made['cores']} threads")
    ]
    return f"{told[0]}; {told[1]} when it uses all threads"


def _rivals(pack: Result, threads: str) -> list[tuple[str, Row]]:
    return [(row["case"], row) for row in pack.rows if row["rival"] == f"{_CONDA_PACK}{threads}"]


def _ours(pack: Result, case: str, ending: str) -> float:
    """Return the seconds of the quickest that is no larger than what conda-pack makes as it comes."""
    largest = pack.row(case, f"{_CONDA_PACK}1 thread")["size"]
    rows = [row for row in pack.rows if row["case"] == case and row["size"] <= largest]
    return min(
        float(row["median"])
        for row in rows
        if row["rival"].startswith("envpack tar.gz") and row["rival"].endswith(ending)
    )


def _memory(pack: Result) -> str:
    ours = [row for row in pack.rows if row["rival"].startswith("envpack tar.gz")]
    cases = dict.fromkeys(row["case"] for row in ours)
    peaks = {case: max(row["peak_memory"] for row in ours if row["case"] == case) for case in cases}
    return ", ".join(f"{peak / 1e6:.0f} MB {case}" for case, peak in peaks.items())


def _built(build: Result, case: str) -> str:
    told = []
    for size in _sizes(build, f"envpack, {case}"):
        ours = build.row(size, f"envpack, {case}")["median"]
        script = build.row(size, _SCRIPT)["median"]
        told.append(f"{ours:.2f} s {size}, {script / ours:.1f}x the script")
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


def _sizes(build: Result, rival: str = _SCRIPT) -> list[str]:
    """Return the sizes in which a rival took part."""
    return [row["case"] for row in build.rows if row["rival"] == rival]


def _started(cluster: Result) -> str:
    rival = cluster.row("middle", "conda-pack")["median"]
    told = [
        f"{rival / cluster.row('middle', name)['median']:.2f}x {'with --slim' if 'slim' in name else 'by default'}"
        for name in ("envpack", "envpack --slim")
    ]
    return ", ".join(told)


if __name__ == "__main__":
    main()
