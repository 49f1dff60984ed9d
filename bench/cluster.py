"""What the cluster pays for an archive: its size, its files, unpacking it, and the first import on a node.

Every archive is of the same prefix. An executor's cold start is unpacking and the first `import pandas` together.

Usage: python -m bench.cluster [--rounds N]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import places, results
from bench.environments import Environment, environment, variables
from bench.measure import Rival, compare
from envpack.archive.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_IMPORT = "import pandas"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the archives of the middle environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    one = environment("middle")
    with places.work() as work:
        taken = compare(
            [_rival(name, archive, work) for name, archive in archives(one, work).items()], rounds=given.rounds
        )
        rows = results.rows("middle", taken)
        for row in rows:
            row["unpack"], row["first_import"] = row.pop("parts")
    results.save("cluster", rows)


def archives(one: Environment, work: Path) -> dict[str, Path]:
    """Return the archives to compare, by name."""
    made: dict[str, Path] = {}
    for name, manner in {
        "envpack": [],
        "envpack tar": [],
        "envpack zip": [],
        "envpack --slim": ["--slim"],
        "envpack tar --slim": ["--slim"],
        "envpack zip --slim": ["--slim"],
        "envpack --compression fast": ["--compression", "fast"],
        "envpack --compression best": ["--compression", "best"],
    }.items():
        words = name.split()
        out = work / f"{len(made)}.{words[1] if words[1:] and words[1] in FORMATS else 'tar.gz'}"
        command: list[str | Path] = [places.ENVPACK, "pack", "--quiet", *manner, one.prefix, out]
        subprocess.run(command, env=variables(work / "cache"), check=True)
        made[name] = out
    made["conda-pack"] = _conda_packed(one.prefix, work / "conda-pack.tar.gz")
    bare = work / "bare"
    shutil.copytree(
        one.prefix, bare, symlinks=True, copy_function=_link, ignore=shutil.ignore_patterns("__pycache__")
    )
    for folder in (one.prefix / "lib").glob("python3*"):  # the Python's own bytecode is part of its conda package
        _link_bytecode(folder, bare / "lib" / folder.name)
    made["conda-pack of wheels without bytecode"] = _conda_packed(bare, work / "bare.tar.gz")
    return made


def _conda_packed(prefix: Path, out: Path) -> Path:
    command: list[str | Path] = [
        Path(sys.executable).with_name("conda-pack"),
        "--quiet",
        "--prefix",
        prefix,
        "--output",
        out,
    ]
    subprocess.run(command, env=variables(), check=True)
    return out


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def _link_bytecode(source: Path, target: Path) -> None:
    for pyc in source.rglob("__pycache__/*.pyc"):
        place = target / pyc.relative_to(source)
        if "site-packages" not in pyc.parts and place.parent.parent.exists():
            place.parent.mkdir(exist_ok=True)
            _link(str(pyc), str(place))


def _rival(name: str, archive: Path, work: Path) -> Rival:
    node = work / "node"
    zipped = archive.suffix == ".zip"
    unpack: list[str | Path] = (
        ["unzip", "-q", archive, "-d", node] if zipped else ["tar", "-xf", archive, "-C", node]
    )
    return Rival(
        name=name,
        commands=[unpack, [node / "bin" / "python", "-I", "-c", _IMPORT]],
        variables=variables(),
        before=partial(places.emptied, node),
        after=partial(_facts, archive),
    )


def _facts(archive: Path) -> Mapping[str, float]:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            sizes = [entry.file_size for entry in file.infolist() if not entry.is_dir()]
    else:
        with tarfile.open(archive) as tar:
            sizes = [member.size for member in tar if not member.isdir()]
    return {"size": archive.stat().st_size, "files": len(sizes), "unpacked": sum(sizes)}


if __name__ == "__main__":
    main()
