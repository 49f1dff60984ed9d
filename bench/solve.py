"""Solve requests on real conda-forge records: envpack's step beside py-rattler's own call.

Each is a process of its own; that which solves nothing tells what the start and the imports take. `envpack lock` is
the whole command, which reads the file, solves and writes the lock.

Usage: python -m bench.solve [--rounds N]
"""

from __future__ import annotations

import argparse
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING

from bench import places, results
from bench.environments import CONDA_SIZES, file_of, variables
from bench.measure import Rival, compare
from tests.support.replica import solving_channel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.results import Row

WAYS = ("envpack", "py-rattler", "neither")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the environments that are of conda packages, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", default=["notebook"], help=", ".join(CONDA_SIZES))
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    for size in given.sizes:
        with places.work() as work:
            rows += results.rows(size, compare(list(_rivals(size, work)), rounds=given.rounds))
    results.save("solve", rows)


def _rivals(size: str, work: Path) -> Iterator[Rival]:
    channel = solving_channel()
    file = work / file_of(size).name
    shutil.copy(file_of(size), file)
    given = {**variables(work / "cache"), "ENVPACK_CHANNELS": channel.as_uri(), "ENVPACK_PYTHON": "3.12"}
    for way in WAYS:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "bench.solve_once",
            way,
            file,
            channel.as_uri(),
            work / "cache",
        ]
        yield Rival(name=way, commands=[command], variables=given)
    lock = file.with_name(f"{file.name}.lock")
    yield Rival(
        name="envpack lock",
        commands=[[places.ENVPACK, "lock", file, "--quiet"]],
        variables=given,
        before=partial(lock.unlink, missing_ok=True),
    )


if __name__ == "__main__":
    main()
