"""A requirements file onto S3: envpack beside the script that teams write, with uv, conda-pack and aws.

Both start with all downloads cached, both talk to the same S3 server on this machine over a wire that counts.

Usage: python -m bench.build [small|middle|large]... [--rounds N] [--only WORDS]...
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uv import find_uv_bin

from bench import places, results
from bench.bucket import Counted, counted
from bench.environments import CHANGED, SIZES, Environment, channel, environment, packages, variables
from bench.measure import Rival, compare
from bench.tools import programs
from tests.support.projects import write_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


SCRIPT = """\
set -e
rm -rf "$WORK/prefix" "$WORK/out.tar.gz"
"$PYTHON" -m bench.link_python "$CHANNEL" "$WORK/prefix" "$PACKAGES"
"$UV" pip install --quiet --python "$WORK/prefix/bin/python" --break-system-packages $BYTECODE -r "$FILE"
conda-pack --quiet --n-threads -1 --prefix "$WORK/prefix" --output "$WORK/out.tar.gz"
aws s3 cp --only-show-errors "$WORK/out.tar.gz" "s3://$BUCKET/envs/middle.tar.gz"
"""
"""What a team's script does: no lock, no verification, the object overwritten."""

_SOURCE = "docopt==0.6.2"
"""A project that has a source distribution and no wheel."""

_ADDED = "tqdm==4.67.1"

_MADE = ("pieces", "recipes", "verified")
"""The directories of the cache that hold what was packed; the others hold downloads."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sizes that are named; by default the middle one, and `--help`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", default=["middle"], help=", ".join(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", action="append", help="measure those whose names hold these words, and keep nothing"
    )
    given = parser.parse_args(arguments)
    rows = [] if given.only else results.rows("--help", compare(list(_helped()), rounds=given.rounds))
    for size in given.sizes:
        with places.work() as work, counted(places.emptied(work / "s3")) as s3:
            print(size, file=sys.stderr)
            site = _Site(before=environment(size), after=environment(size, change=CHANGED[size]), work=work, s3=s3)
            chosen = [rival for rival in site.rivals() if _is_chosen(rival, given.only)]
            rows += results.rows(size, compare(chosen, rounds=given.rounds))
    if given.only:
        print(results.table(results.unsaved("build", rows)))
    else:
        results.save("build", rows)


def _is_chosen(rival: Rival, only: Sequence[str] | None) -> bool:
    return not only or any(words in rival.name for words in only)


@dataclass(frozen=True, kw_only=True)
class _Site:
    """Where one size is built, and the server that it goes to."""

    before: Environment
    after: Environment
    """With one package changed."""
    work: Path
    s3: Counted

    def rivals(self) -> list[Rival]:
        """Return who takes part: envpack as it finds things, and the script, which always does all."""
        return [
            self._envpack("envpack, first build", self._first),
            self._envpack("envpack, packed before", self._packed_before),
            self._envpack("envpack, one package changed", self._changed),
            self._envpack("envpack, one package added", self._added),
            self._envpack("envpack, project line changed", self._project_changed),
            self._envpack("envpack, source built before", self._source_built_before),
            self._envpack("envpack, unchanged", self._unchanged),
            self._script("uv, conda-pack, aws", "--compile-bytecode"),
            self._script("the same without bytecode", ""),
        ]

    def _envpack(self, name: str, scene: Callable[[Path, dict[str, str]], None]) -> Rival:
        file = self.work / name.replace(" ", "-") / self.before.requirements.name
        given = {**variables(), **self.s3.server.variables()}
        return self._rival(name, [places.ENVPACK, "build", file], given, lambda: scene(file, given))

    def _script(self, name: str, bytecode: str) -> Rival:
        given = script(self.before, self.work, self.s3, bytecode=bytecode)
        return self._rival(
            name, ["sh", "-c", SCRIPT], given, lambda: given.update(BUCKET=self.s3.server.new_bucket())
        )

    def _rival(
        self, name: str, command: Sequence[str | Path], given: dict[str, str], scene: Callable[[], object]
    ) -> Rival:
        marks: list[tuple[int, int, int]] = []

        def before() -> None:
            scene()
            marks.append(self.s3.mark())

        return Rival(
            name=name,
            commands=[command],
            variables=given,
            before=before,
            after=lambda: self.s3.since(marks[-1]),
        )

    def _first(self, file: Path, given: dict[str, str], more: str = "") -> None:
        """Set the scene: everything is downloaded, and nothing was ever built; `more` is a further line."""
        _forget()
        self._start(file, given, more)

    def _packed_before(self, file: Path, given: dict[str, str], more: str = "") -> None:
        """Set the scene: the very same was built before on this machine, into another store."""
        kept = self.work / f"kept {more}".rstrip()
        lock = f"{file.name}.lock"
        if not kept.exists():
            self._first(file, given, more)
            _build(file, given)
            for name in _MADE:
                _link_tree(packages().root / name, kept / name)
            shutil.copy(file.with_name(lock), kept / lock)
        _forget()
        for name in _MADE:
            _link_tree(kept / name, packages().root / name)
        self._start(file, given, more)
        shutil.copy(kept / lock, file.with_name(lock))

    def _changed(self, file: Path, given: dict[str, str]) -> None:
        """Set the scene: the release before the change was built on this machine, into the same store."""
        self._packed_before(file, given)
        _build(file, given)
        shutil.copy(self.after.requirements, file)

    def _added(self, file: Path, given: dict[str, str]) -> None:
        """Set the scene: the same, but for a small package that nobody needs."""
        self._packed_before(file, given)
        _build(file, given)
        with file.open("a") as lines:
            lines.write(f"{_ADDED}\n")

    def _project_changed(self, file: Path, given: dict[str, str]) -> None:
        """Set the scene: the release before was built with a project, of which one line is another now."""
        self._packed_before(file, given)
        project = write_project(file.parent / "features")
        with file.open("a", encoding="utf-8") as lines:
            lines.write("./features\n")
        _build(file, given)
        with (project / "features/__init__.py").open("a", encoding="utf-8") as module:
            module.write(f"BUILT = {time.time_ns()}\n")

    def _source_built_before(self, file: Path, given: dict[str, str]) -> None:
        """Set the scene: as packed before, with one package more that was built from its source distribution."""
        self._packed_before(file, given, _SOURCE)

    def _unchanged(self, file: Path, given: dict[str, str]) -> None:
        """Set the scene: the very same was built before, into the same store."""
        if "ENVPACK_STORE" not in given:
            self._packed_before(file, given)
            _build(file, given)

    def _start(self, file: Path, given: dict[str, str], more: str = "") -> None:
        """Lay out a desk with the requirements alone, and name an empty store."""
        given["ENVPACK_STORE"] = f"s3://{self.s3.server.new_bucket()}/envs"
        places.emptied(file.parent)
        file.write_text(f"{self.before.requirements.read_text('utf-8')}{more}\n", "utf-8")


def script(one: Environment, work: Path, s3: Counted, *, bytecode: str = "--compile-bytecode") -> dict[str, str]:
    """Return the variables of `SCRIPT`, but `BUCKET`, for an environment whose downloads are cached."""
    return {
        **variables(),
        **s3.server.variables(),
        "PATH": f"{programs()}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(places.HERE.parent),
        "CHANNEL": channel().as_uri(),
        "PACKAGES": str(packages().packages),
        "UV": find_uv_bin(),
        "UV_CACHE_DIR": str(packages().uv),
        "BYTECODE": bytecode,
        "FILE": str(one.requirements),
        "WORK": str(work),
    }


def _build(file: Path, given: dict[str, str]) -> None:
    subprocess.run([places.ENVPACK, "build", file, "--quiet"], env=given, check=True, stdout=subprocess.DEVNULL)


def _forget() -> None:
    """Forget what was packed, and keep what was downloaded."""
    for name in _MADE:
        shutil.rmtree(packages().root / name, ignore_errors=True)


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
