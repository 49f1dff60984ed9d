"""A requirements file onto S3: envpack beside the script that teams write, with uv, conda-pack and aws.

Both start with all downloads cached, both talk to the same S3 server on this machine over a wire that counts.

Usage: python -m bench.build [small|middle|large]... [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from uv import find_uv_bin

from bench import places, results
from bench.bucket import Counted, counted
from bench.environments import CHANGED, SIZES, Environment, channel, environment, packages, variables
from bench.measure import Rival, compare
from bench.tools import programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


_SCRIPT = """\
set -e
rm -rf "$WORK/prefix" "$WORK/out.tar.gz"
"$PYTHON" -m bench.link_python "$CHANNEL" "$WORK/prefix" "$PACKAGES"
"$UV" pip install --quiet --python "$WORK/prefix/bin/python" --break-system-packages $BYTECODE -r "$FILE"
conda-pack --quiet --n-threads -1 --prefix "$WORK/prefix" --output "$WORK/out.tar.gz"
aws s3 cp --only-show-errors "$WORK/out.tar.gz" "s3://$BUCKET/envs/middle.tar.gz"
"""
"""What a team's script does: no lock, no verification, the object overwritten."""

_MADE = ("pieces", "recipes")
"""The directories of the cache that hold what was packed; the others hold downloads."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sizes that are named; by default the middle one, and `--help`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", default=["middle"], help=", ".join(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    rows = results.rows("--help", compare(list(_helped()), rounds=4 * given.rounds))
    for size in given.sizes:
        work = places.emptied(places.home() / "work")
        with counted(places.emptied(work / "s3")) as s3:
            desk = _Desk(before=environment(size), after=environment(size, change=CHANGED[size]), work=work, s3=s3)
            for case, rivals in desk.cases().items():
                print(f"{size}, {case}", file=sys.stderr)
                rows += results.rows(f"{size}, {case}", compare(rivals, rounds=given.rounds))
        shutil.rmtree(work)
    results.save("build", rows)


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """Where one size is built, and the server that it goes to."""

    before: Environment
    after: Environment
    """With one package changed."""
    work: Path
    s3: Counted

    def cases(self) -> dict[str, list[Rival]]:
        """Return who takes part in which case."""
        script, quick_script = self._script("--compile-bytecode"), self._script("")
        return {
            "first build": [self._envpack(self._first), script, quick_script],
            "unchanged": [self._envpack(self._unchanged), script],
            "packed before": [self._envpack(self._packed_before), script],
            "one package changed": [self._envpack(self._changed), script],
        }

    def _envpack(self, scene: Callable[[dict[str, str]], None]) -> Rival:
        file = self.work / "desk" / self.before.requirements.name
        return self._rival("envpack", [places.ENVPACK, "build", file], self._of_envpack(), scene)

    def _of_envpack(self) -> dict[str, str]:
        return {**variables(), **self.s3.server.variables()}

    def _script(self, bytecode: str) -> Rival:
        given = {
            **self._of_envpack(),
            "PATH": f"{programs()}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(places.HERE.parent),
            "CHANNEL": channel().as_uri(),
            "PACKAGES": str(packages().packages),
            "UV": find_uv_bin(),
            "UV_CACHE_DIR": str(packages().uv),
            "BYTECODE": bytecode,
            "FILE": str(self.before.requirements),
            "WORK": str(self.work),
        }
        return self._rival(
            "uv, conda-pack, aws" if bytecode else "the same without bytecode",
            ["sh", "-c", _SCRIPT],
            given,
            lambda given: given.update(BUCKET=self.s3.server.new_bucket()),
        )

    def _rival(
        self,
        name: str,
        command: Sequence[str | Path],
        given: dict[str, str],
        scene: Callable[[dict[str, str]], None],
    ) -> Rival:
        marks: list[tuple[int, int]] = []

        def before() -> None:
            scene(given)
            marks.append(self.s3.mark())

        return Rival(
            name=name,
            commands=[command],
            variables=given,
            before=before,
            after=lambda: self.s3.since(marks[-1]),
        )

    def _first(self, given: dict[str, str]) -> None:
        """Set the scene: everything is downloaded, and nothing was ever built."""
        self._forget()
        self._start(given)

    def _unchanged(self, given: dict[str, str]) -> None:
        """Set the scene: the very same was built before, into the same store."""
        if "ENVPACK_STORE" not in given:
            self._first(given)
            self._build(given)

    def _packed_before(self, given: dict[str, str]) -> None:
        """Set the scene: the very same was built before on this machine, into another store."""
        self._unchanged(given)
        lock = self._start(given).with_name(f"{self.before.requirements.name}.lock")
        shutil.copy(self.before.requirements.with_name(lock.name), lock)

    def _changed(self, given: dict[str, str]) -> None:
        """Set the scene: the release before the change was built on this machine, into the same store."""
        kept = self.work / "kept"
        if kept.exists():
            self._forget()
            for name in _MADE:
                _link_tree(kept / name, packages().root / name)
        self._packed_before(given)
        self._build(given)
        if not kept.exists():
            for name in _MADE:
                _link_tree(packages().root / name, kept / name)
        file = self.work / "desk" / self.before.requirements.name
        shutil.copy(self.after.requirements, file)

    def _forget(self) -> None:
        """Forget what was packed, and keep what was downloaded."""
        for name in _MADE:
            shutil.rmtree(packages().root / name, ignore_errors=True)

    def _start(self, given: dict[str, str]) -> Path:
        """Lay out a desk with the requirements alone, and name an empty store; return the requirements' path."""
        given["ENVPACK_STORE"] = f"s3://{self.s3.server.new_bucket()}/envs"
        desk = places.emptied(self.work / "desk")
        return Path(shutil.copy(self.before.requirements, desk))

    def _build(self, given: dict[str, str]) -> None:
        file = self.work / "desk" / self.before.requirements.name
        subprocess.run([places.ENVPACK, "build", file, "--quiet"], env=given, check=True, stdout=subprocess.DEVNULL)


def _link_tree(source: Path, target: Path) -> None:
    if source.exists():
        shutil.copytree(source, target, copy_function=os.link)


def _helped() -> Iterator[Rival]:
    """Yield what starts: envpack, conda-pack, and the interpreter that both start with."""
    commands: dict[str, list[str | Path]] = {
        "envpack --help": [places.ENVPACK, "--help"],
        "conda-pack --help": [programs() / "conda-pack", "--help"],
        "aws --version": [programs() / "aws", "--version"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    for name, command in commands.items():
        yield Rival(name=name, commands=[command], variables=variables())


if __name__ == "__main__":
    main()
