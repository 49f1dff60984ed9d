"""Link the conda packages of a lock, all of them cached: envpack's step beside py-rattler's own call.

Each is a process of its own; that which links nothing tells what the start and the imports take.

Usage: python -m bench.link [--rounds N]
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

WAYS = ("envpack", "py-rattler", "neither")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the small environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args(arguments)
    lock = lock_of(environment("small"))
    with places.work() as work:
        taken = compare([_rival(way, lock, work / "prefix") for way in WAYS], rounds=given.rounds)
    results.save("link", results.rows("small", taken))


def _rival(way: str, lock: Path, prefix: Path) -> Rival:
    return Rival(
        name=way,
        commands=[[sys.executable, "-m", "bench.link_locked", way, lock, prefix, packages().root]],
        variables=variables(),
        before=partial(places.emptied, prefix),
    )


if __name__ == "__main__":
    main()
