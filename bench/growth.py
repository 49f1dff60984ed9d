"""How packing grows with the number of packages: the same amount of code in more and more wheels.

How it grows with the size is in bench.pack's three sizes. `python -m bench.plots` draws both.

Usage: python -m bench.growth [--rounds N]
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import random
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import places, results
from bench.environments import Environment, made, variables
from bench.measure import Rival, compare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COUNTS = (10, 50, 200)
"""How many wheels."""

_MODULES = 20
_LINES = 40


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each number of packages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    rows = []
    for count in COUNTS:
        one = _environment(count)
        print(f"{count} wheels", file=sys.stderr)
        with places.work() as work:
            taken = compare(list(_rivals(one, work)), rounds=given.rounds)
        files, unpacked = one.size()
        rows += results.rows(f"{count} wheels", taken, packages=count, files=files, unpacked=unpacked)
    results.save("growth", rows)


def _environment(count: int) -> Environment:
    shelf = places.kept(f"wheels-{COUNTS[-1]}", _write_wheels)
    names = [f"part{number:03}==1" for number in range(count)]
    return made(f"growth-{count}", ["--no-index", f"--find-links {shelf}", *names])


def _rivals(one: Environment, work: Path) -> Iterator[Rival]:
    for name, cache, cleared in (
        ("nothing packed before", work / "cold", partial(_cleared, work, work / "cold")),
        ("packed before", work / "cache", partial(_cleared, work)),
    ):
        yield Rival(
            name=f"envpack, {name}",
            commands=[[places.ENVPACK, "pack", one.prefix, work / "envpack.tar.gz"]],
            variables=variables(cache),
            before=cleared,
        )
    for count in (1, len(os.sched_getaffinity(0))):
        conda_pack: list[str | Path] = [Path(sys.executable).with_name("conda-pack"), "--quiet"]
        conda_pack += ["--n-threads", str(count), "--prefix", one.prefix, "--output", work / "conda-pack.tar.gz"]
        yield Rival(
            name=f"conda-pack, {count} {'thread' if count == 1 else 'threads'}",
            commands=[conda_pack],
            variables=variables(),
            before=partial(_cleared, work),
        )


def _cleared(work: Path, cache: Path | None = None) -> None:
    for archive in work.glob("*.tar.gz"):
        archive.unlink()
    if cache:
        places.emptied(cache)


def _write_wheels(folder: Path) -> None:
    for number in range(COUNTS[-1]):
        name = f"part{number:03}"
        modules = {f"{name}/m{module:02}.py": _code(number * _MODULES + module) for module in range(_MODULES)}
        _write_wheel(folder, name, {f"{name}/__init__.py": "", **modules})


def _code(seed: int) -> str:
    """Return a module that compresses about as well as people's own."""
    words = random.Random(seed)  # noqa: S311 - the same every time
    names = [f"value_{words.randrange(10_000)}" for _ in range(_LINES)]
    return "".join(
        f"def {name}(left, right):\n    return left * {len(name) * seed % 97} + right\n\n\n" for name in names
    )


def _write_wheel(folder: Path, name: str, files: dict[str, str]) -> None:
    info = f"{name}-1.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(path, text)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    main()
