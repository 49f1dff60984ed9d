"""How memory goes with bytes: packing the middle environment, and the same with ten times as many bytes.

Usage: python -m bench.memory [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bench import places, results
from bench.environments import environment
from bench.measure import compare
from bench.pack import conda_pack, rival

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.environments import Environment
    from bench.measure import Rival

TIMES = 10
"""How many times as many bytes."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args(arguments)
    rows = []
    middle = environment("middle")
    with places.work() as work:
        for case, one in (("middle", middle), ("with large files", _heavier(middle, work / "heavier"))):
            files, unpacked = one.size()
            print(f"{case}: {files:,} files, {unpacked / 1e6:,.0f} MB", file=sys.stderr)
            taken = compare(list(_rivals(one, work)), rounds=given.rounds)
            rows += results.rows(case, taken, files=files, unpacked=unpacked)
    results.save("memory", rows)


def _heavier(one: Environment, prefix: Path) -> Environment:
    """Return the environment with its largest library under so many names that it has `TIMES` as many bytes."""
    shutil.copytree(one.prefix, prefix, symlinks=True, copy_function=os.link)
    largest = max(
        (path for path in prefix.rglob("*.so*") if not path.is_symlink()), key=lambda path: path.stat().st_size
    )
    _, unpacked = one.size()
    weights = prefix / "share" / "weights"
    weights.mkdir(parents=True)
    for number in range((TIMES - 1) * unpacked // largest.stat().st_size):
        (weights / f"{number:03}.bin").hardlink_to(largest)
    return replace(one, prefix=prefix)


def _rivals(one: Environment, work: Path) -> Iterator[Rival]:
    cache = work / "cache"
    yield rival("envpack", one.prefix, work / "out.tar.gz", cache=cache, before=partial(places.emptied, cache))
    yield from conda_pack(one, work, "tar.gz", (1,))


if __name__ == "__main__":
    main()
