"""Pack one linked and compiled prefix: envpack, conda-pack, and plain tar and zip, which relocate nothing.

Usage: python -m bench.pack [small|middle|large]... [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import places, results
from bench.environments import SIZES, Environment, environment, variables
from bench.measure import Rival, compare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.results import Row

_PACK = (
    "import sys; from pathlib import Path; from envpack.archive import pack\n"
    "pack(Path(sys.argv[1]), Path(sys.argv[2]), format=sys.argv[3])"
)
_CONDA_PACK = (Path(sys.executable).with_name("conda-pack"), "--quiet", "--force")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sizes that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", default=SIZES)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    for size in given.sizes:
        rows += measure(size, given.rounds)
    results.save("pack", rows)


def measure(size: str, rounds: int) -> list[Row]:
    """Return the rows of one environment."""
    one = environment(size)
    files, bytes_ = one.size()
    print(f"{size}: {one.packages} packages, {files:,} files, {bytes_ / 1e6:,.0f} MB", file=sys.stderr)
    work = places.emptied(places.home() / "work")
    taken = compare(list(rivals(one, work)), rounds=rounds)
    shutil.rmtree(work)
    return results.rows(size, taken, packages=one.packages, files=files, unpacked=bytes_)


def rivals(one: Environment, work: Path) -> Iterator[Rival]:
    """Yield who packs the environment into `work`."""
    cores = len(os.sched_getaffinity(0))
    for kind in ("tar.gz", "zip"):
        out = work / f"envpack.{kind}"
        yield Rival(
            name=f"envpack cold {kind}",
            commands=[[sys.executable, "-c", _PACK, one.prefix, out, kind]],
            variables=variables(),
            after=partial(size_of, out),
        )
        for threads in (1, cores) if kind == "tar.gz" else (1,):  # it writes a zip with one thread always
            out = work / f"conda-pack-{threads}.{kind}"
            yield Rival(
                name=f"conda-pack {kind} {threads} {'thread' if threads == 1 else 'threads'}",
                commands=[[*_CONDA_PACK, "--n-threads", str(threads), "--prefix", one.prefix, "--output", out]],
                variables=variables(),
                after=partial(size_of, out),
            )
    out = work / "plain.tar.gz"
    yield Rival(
        name="tar and gzip",
        commands=[["tar", "-czf", out, "-C", one.prefix, "."]],
        variables=variables(),
        after=partial(size_of, out),
    )
    yield Rival(
        name="zip",
        commands=[["sh", "-c", 'cd "$1" && zip -qry "$2" .', "zip", one.prefix, work / "plain.zip"]],
        variables=variables(),
        before=partial((work / "plain.zip").unlink, missing_ok=True),  # it would add to what is there
        after=partial(size_of, work / "plain.zip"),
    )


def size_of(path: Path) -> dict[str, float]:
    """Return the size of what was written, in bytes."""
    return {"size": path.stat().st_size}


if __name__ == "__main__":
    main()
