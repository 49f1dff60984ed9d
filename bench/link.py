"""Link the conda packages of a lock, all of them cached: envpack's step beside py-rattler's own call.

Each is a process of its own; that which links nothing tells what the start and the imports take.

Usage: python -m bench.link [SIZE]... [--rounds N]
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from bench import places, results
from bench.environments import environment, lock_of, packages, variables
from bench.measure import Rival, compare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.results import Row

WAYS = ("envpack", "py-rattler", "neither")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the environments that are named, or the small one and the one of hundreds of conda packages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", default=("small", "notebook"))
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    for size in given.sizes:
        lock = lock_of(environment(size))
        with places.work() as work:
            taken = compare([_rival(way, lock, work / "prefix") for way in WAYS], rounds=given.rounds)
        rows += results.rows(size, taken)
    results.save("link", rows)


def _rival(way: str, lock: Path, prefix: Path) -> Rival:
    return Rival(
        name=way,
        commands=[[sys.executable, "-m", "bench.link_locked", way, lock, prefix, packages().root]],
        variables=variables(),
        before=partial(places.emptied, prefix),
    )


if __name__ == "__main__":
    main()
