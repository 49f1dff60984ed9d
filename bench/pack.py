"""Pack one linked and compiled prefix: envpack, conda-pack, and plain tar and zip, which relocate nothing.

Usage: python -m bench.pack [small|middle|large|mixed|notebook]... [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import places, results
from bench.environments import CHANGED, CONDA_SIZES, SIZES, Environment, environment, lock_of, variables
from bench.measure import Rival, compare
from bench.places import emptied
from envpack.archive.formats import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.results import Row

_CONDA_PACK = (Path(sys.executable).with_name("conda-pack"), "--quiet")

_LEVELS = {"small": tuple(LEVELS), "middle": tuple(LEVELS)}
"""The levels that a size is packed with while nothing was packed before; the others with the default alone."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sizes that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", default=(*SIZES, *CONDA_SIZES))
    parser.add_argument("--all", action="store_true", help="zip archives and plain tar and zip, too")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    for size in given.sizes:
        rows += measure(size, given.rounds, everything=given.all)
    results.save("pack", rows)


def measure(size: str, rounds: int, *, everything: bool) -> list[Row]:
    """Return the rows of one environment."""
    one = environment(size)
    files, bytes_ = one.size()
    print(f"{size}: {one.packages} packages, {files:,} files, {bytes_ / 1e6:,.0f} MB", file=sys.stderr)
    with places.work() as work:
        taken = compare(list(rivals(one, work, everything=everything)), rounds=rounds)
    return results.rows(size, taken, packages=one.packages, files=files, unpacked=bytes_)


def rivals(one: Environment, work: Path, *, everything: bool) -> Iterator[Rival]:
    """Yield who packs the environment into `work`."""
    yield from _envpack(one, work, ("tar.gz", "zip") if everything else ("tar.gz",))
    yield from conda_pack(one, work, "tar.gz", (1, len(os.sched_getaffinity(0))))
    if everything:
        yield from conda_pack(one, work, "zip", (1,))  # it writes a zip with one thread always
        yield from _plain(one, work)


def _envpack(one: Environment, work: Path, kinds: Sequence[str]) -> Iterator[Rival]:
    changed = environment(one.name, change=CHANGED[one.name])
    for kind in kinds:
        for level in _LEVELS.get(one.name, ("default",)) if kind == "tar.gz" else ("default",):
            place = work / f"cold-{level}-{kind}"
            name = f"envpack {kind} {level}, nothing packed before"
            yield rival(name, locked(one, place, work / f"cold-{level}.{kind}", level), partial(emptied, place))
        place = work / f"changed-{kind}"
        command = locked(one, place, work / f"changed.{kind}", "default")
        yield rival(f"envpack {kind}, one package changed", command, partial(_keep, changed, place, kind))
        out = work / f"again.{kind}"
        yield Rival(
            name=f"envpack {kind}, packed before",
            commands=[[places.ENVPACK, "pack", one.prefix, out]],
            variables=variables(work / f"cache-{kind}"),
            before=partial(_packed_before, one, work / f"cache-{kind}", out),
            after=partial(taken_away, out),
        )


def rival(name: str, command: Sequence[str | Path], before: Callable[[], object]) -> Rival:
    """Return who packs by such a command as `locked` gives."""
    *_, out, _ = map(Path, command)
    return Rival(
        name=name, commands=[command], variables=variables(), before=before, after=partial(taken_away, out)
    )


def locked(one: Environment, pieces: Path, out: Path, level: str) -> list[str | Path]:
    """Return the command that packs an environment as a build does, with kept pieces in a directory."""
    return [sys.executable, "-m", "bench.pack_locked", one.prefix, lock_of(one), pieces, out, level]


def _keep(earlier: Environment, place: Path, kind: str) -> None:
    """Lay out the pieces of the environment before the change, made once, and nothing else."""
    kept = place.with_name(f"kept-{kind}")
    if not kept.exists():
        command = locked(earlier, kept, kept.with_name(f"earlier.{kind}"), "default")
        subprocess.run(command, env=variables(), check=True)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(kept, place, copy_function=os.link)


def _packed_before(one: Environment, cache: Path, out: Path) -> None:
    if not cache.exists():
        command: list[str | Path] = [places.ENVPACK, "pack", one.prefix, out]
        subprocess.run(command, env=variables(cache), check=True, stdout=subprocess.DEVNULL)
        out.unlink()


def conda_pack(one: Environment, work: Path, kind: str, threads: Sequence[int]) -> Iterator[Rival]:
    """Yield conda-pack with each number of threads."""
    for count in threads:
        out = work / f"conda-pack-{count}.{kind}"
        yield Rival(
            name=f"conda-pack {kind}, {count} {'thread' if count == 1 else 'threads'}",
            commands=[[*_CONDA_PACK, "--n-threads", str(count), "--prefix", one.prefix, "--output", out]],
            variables=variables(),
            after=partial(taken_away, out),
        )


def _plain(one: Environment, work: Path) -> Iterator[Rival]:
    out = work / "plain.tar.gz"
    yield Rival(
        name="tar -czf",
        commands=[["tar", "-czf", out, "-C", one.prefix, "."]],
        variables=variables(),
        after=partial(taken_away, out),
    )
    out = work / "plain.zip"
    yield Rival(
        name="zip -r",
        commands=[["sh", "-c", 'cd "$1" && zip -qry "$2" .', "zip", one.prefix, out]],
        variables=variables(),
        after=partial(taken_away, out),
    )


def taken_away(path: Path) -> dict[str, float]:
    """Remove what was written, so that it takes no room in memory from the next; return its size, in bytes."""
    size = path.stat().st_size
    path.unlink()
    return {"size": size}


if __name__ == "__main__":
    main()
