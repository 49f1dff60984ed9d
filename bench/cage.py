"""What the cage costs: one command, and a whole verification, each with it and without it, in turns.

The rival without starts the same Python as a plain process and does not look after it. Both are of one process, so
that imports are paid for by neither.

Usage: python -m bench.cage [SIZE]... [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench import places, results
from bench.environments import environment
from envpack.archive.packing import pack
from envpack.progress import SILENT
from envpack.tools import cage
from envpack.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bench.results import Row
    from envpack.tools.cage import Cage


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a start, and the verification of the environments that are named, or of the small one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", default=("small",))
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args(arguments)
    with places.work() as work:
        empty = cage.Cage(directory=work, environ={}, writable=[work])
        rows = _pair("start", given.rounds, lambda: cage.run(["/bin/true"], empty), lambda: _true(work))
        for size in given.sizes:
            check = _verification(size, work)
            rows += _pair(f"verify {size}", given.rounds, check, lambda check=check: _without(check))  # type: ignore[misc]
    results.save("cage", rows)


def _pair(case: str, rounds: int, with_it: Callable[[], object], without: Callable[[], object]) -> list[Row]:
    """Run both in turns, each first every other time; what counts is the median of the ratios of the rounds.

    Processor time is told where all processes end by themselves: of one that a cage kills nobody learns it.
    """
    rivals = {"cage": with_it, "plain process": without}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in rivals}
    for number in range(rounds + 1):
        for name, work in sorted(rivals.items(), reverse=number % 2 == 1):
            wall, processor = time.perf_counter(), _processor()
            work()
            if number:
                taken[name].append((time.perf_counter() - wall, _processor() - processor))
    walls = {name: [wall for wall, _ in each] for name, each in taken.items()}
    ratio = statistics.median(one / other for one, other in zip(*walls.values(), strict=True))
    print(f"{case}: {ratio:.3f} of a plain process' time")
    return [
        {
            "case": case,
            "rival": name,
            "seconds": statistics.median(walls[name]),
            **(
                {"processor_seconds": statistics.median(used for _, used in taken[name])} if case == "start" else {}
            ),
            "ratio": ratio if name == "cage" else 1.0,
        }
        for name in rivals
    ]


def _processor() -> float:
    """Return the processor seconds of this process and of all below it that have ended."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _true(directory: Path) -> None:
    subprocess.run(["/bin/true"], cwd=directory, env={}, capture_output=True, check=True)


def _verification(size: str, work: Path) -> Callable[[], object]:
    made = environment(size)
    archive = work / f"{size}.tar.gz"
    pack(made.prefix, archive, progress=SILENT)
    lock = made.lock
    return lambda: verify(
        archive,
        target=lock.target,
        python=lock.python,
        requested=lock.requested,
        build_prefix=None,
        variables={"SSL_CERT_FILE": "./environment/ssl/cacert.pem"},
        workdir=work,
    )


class _Plain:
    """What `cage.start` gives, around a process that nothing confines."""

    def __init__(self, process: subprocess.Popen[bytes], report: int) -> None:
        self.report = os.fdopen(report, "rb", buffering=0)
        self.commands = process.stdin


@contextmanager
def _plain(command: Sequence[str | Path], settings: Cage, *, told: bool = False) -> Iterator[_Plain]:
    report, reporting = os.pipe()
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {cage.REPORT}>&{reporting}', "sh", *command],
        cwd=settings.directory,
        env=dict(settings.environ),
        stdin=subprocess.PIPE if told else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[reporting],
        bufsize=0,
    )
    os.close(reporting)
    try:
        yield _Plain(process, report)
    finally:
        process.kill()
        process.wait()


def _without(work: Callable[[], object]) -> None:
    start = cage.start
    cage.start = _plain  # type: ignore[assignment]
    try:
        work()
    finally:
        cage.start = start


if __name__ == "__main__":
    main()
