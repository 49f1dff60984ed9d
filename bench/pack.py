"""Pack a prefix by the command that people type: envpack, conda-pack, plain tar and zip (which relocate nothing).

The prefix has its bytecode, as installers leave it. Each command is measured from its start to its end.

Usage: python -m bench.pack [small|middle|large|mixed|notebook]... [--rounds N]
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import places, results
from bench.environments import (
    CHANGED,
    CONDA_SIZES,
    SIZES,
    Environment,
    compile_as_installers,
    environment,
    link,
    variables,
)
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
    for kind in kinds:
        for level in _LEVELS.get(one.name, ("default",)) if kind == "tar.gz" else ("default",):
            cache = work / f"cold-{level}-{kind}"
            name = f"envpack {kind} {level}, nothing packed before"
            out = work / f"cold-{level}.{kind}"
            yield rival(name, one.prefix, out, cache=cache, before=partial(emptied, cache), level=level)
        yield _changed(one, work, kind)
        cache, out = work / f"cache-{kind}", work / f"again.{kind}"
        before = partial(_packed_before, one.prefix, cache, out)
        yield rival(f"envpack {kind}, packed before", one.prefix, out, cache=cache, before=before)


def rival(
    name: str, prefix: Path, out: Path, *, cache: Path, before: Callable[[], object], level: str = "default"
) -> Rival:
    """Return the command that a person types to pack a prefix, with a cache of its own."""
    return Rival(
        name=name,
        commands=[[places.ENVPACK, "pack", "--quiet", "--compression", level, prefix, out]],
        variables=variables(cache),
        before=before,
        after=partial(taken_away, out),
    )


def _changed(one: Environment, work: Path, kind: str) -> Rival:
    """Return the same command, after one package of the prefix was replaced by another version of it."""
    place = work / f"changed-{kind}"
    prefix, kept, cache, out = place / "prefix", place / "kept", place / "cache", place / f"out.{kind}"

    def before() -> None:
        if not kept.exists():
            place.mkdir()
            first, second = place / "first", place / "second"
            link(one, prefix)
            _packed_before(prefix, kept, out)
            prefix.rename(first)
            link(environment(one.name, change=CHANGED[one.name]), prefix)  # files name the prefix they are in
            prefix.rename(second)
            first.rename(prefix)
            _replace(prefix, second)
            compile_as_installers(prefix)
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(kept, cache, copy_function=os.link)

    return rival(f"envpack {kind}, one package changed", prefix, out, cache=cache, before=before)


def _replace(prefix: Path, changed: Path) -> None:
    """Make the files of a prefix those of another, and leave alone what is the same in both.

    Bytecode that both have is left to the compiler: it has the time of its module, which is that of the install.
    The records of packages that both have are left alone: each lock has a channel of its own, and records name it.
    """
    compared = filecmp.dircmp(prefix, changed, ignore=[])
    for name in compared.left_only:
        gone = prefix / name
        if gone.is_dir() and not gone.is_symlink():
            shutil.rmtree(gone)
        else:
            gone.unlink()
    for name in compared.right_only:
        if (changed / name).is_dir() and not (changed / name).is_symlink():
            shutil.copytree(changed / name, prefix / name, symlinks=True)
        else:
            shutil.copy2(changed / name, prefix / name, follow_symlinks=False)
    common = [name for name in compared.common_files if not name.endswith(".pyc") and prefix.name != "conda-meta"]
    _, different, _ = filecmp.cmpfiles(prefix, changed, common, shallow=False)
    for name in different:
        (prefix / name).unlink()
        shutil.copy2(changed / name, prefix / name, follow_symlinks=False)
    for name in compared.common_dirs:
        if not (prefix / name).is_symlink():
            _replace(prefix / name, changed / name)


def _packed_before(prefix: Path, cache: Path, out: Path) -> None:
    if not cache.exists():
        command: list[str | Path] = [places.ENVPACK, "pack", prefix, out]
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
