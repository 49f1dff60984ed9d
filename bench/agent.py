"""A build on an agent that is thrown away, beside one that keeps its cache and beside the script that teams write.

The empty agent has a home and a cache of its own with nothing in them, and downloads all that it installs; the warm
one built the release before the change. All talk to one S3 server on this machine over a wire that counts.

Usage: python -m bench.agent [small|middle]... [--rounds N]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import places, results
from bench.bucket import Counted, counted
from bench.build import SCRIPT, script
from bench.environments import CHANGED, SIZES, Environment, environment, lock_of, variables
from bench.measure import Rival, compare
from tests.support.projects import write_project

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sizes that are named; by default the small one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", default=["small"], help=", ".join(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    rows: list[results.Row] = []
    for size in given.sizes:
        with places.work() as work, counted(places.emptied(work / "s3")) as s3:
            print(size, file=sys.stderr)
            site = _Site(before=environment(size), after=environment(size, change=CHANGED[size]), work=work, s3=s3)
            rows += results.rows(size, compare(site.rivals(), rounds=given.rounds))
    results.save("agent", rows)


@dataclass(frozen=True, kw_only=True)
class _Site:
    """Where one size is built, and the server that it goes to."""

    before: Environment
    after: Environment
    """With one package changed."""
    work: Path
    s3: Counted

    def rivals(self) -> list[Rival]:
        """Return who takes part: each change on both agents, and the script, which always does all."""
        changes: dict[str, Callable[[Path], object]] = {
            "unchanged": lambda _: None,
            "one package changed": self._change,
            "project changed": _change_project,
        }
        return [
            *(
                self._rival(f"{agent} agent, {name}", change, empty=agent == "empty")
                for name, change in changes.items()
                for agent in ("warm", "empty")
            ),
            self._all_new(),
            self._script(),
        ]

    def _change(self, file: Path) -> None:
        self._put(self.after, file)

    def _put(self, one: Environment, file: Path) -> None:
        """Check out a requirements file and its lock."""
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(one.requirements, file)
        shutil.copy(lock_of(one), file.with_name(f"{file.name}.lock"))

    def _rival(self, name: str, change: Callable[[Path], object], *, empty: bool) -> Rival:
        """Return a build after a release of the same name was published by an agent that keeps its cache."""
        home = self.work / name.replace(" ", "-")
        file = home / "desk" / self.before.requirements.name
        kept = self.work / "kept"
        given = self._variables(home)

        def scene() -> None:
            self._new_store(given)
            self._put(self.before, file)
            if "project" in name:
                _add_project(file)
            _build(file, {**given, "ENVPACK_CACHE_DIR": str(kept)})
            change(file)
            self._empty(home, given)
            if not empty:
                given["ENVPACK_CACHE_DIR"] = str(kept)
                if change == self._change:
                    for known in ("pieces", "recipes", "verified"):  # of what comes after the change
                        self._forget_the_change(kept / known)

        return self._counting(name, [places.ENVPACK, "build", file], given, scene)

    def _forget_the_change(self, folder: Path) -> None:
        """Let a cache know what it knew before the change was built for the first time."""
        saved = folder.with_name(f"{folder.name}-before")
        if saved.exists():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(saved, folder)
        elif folder.exists():
            shutil.copytree(folder, saved)

    def _all_new(self) -> Rival:
        home = self.work / "all-new"
        file = home / "desk" / self.before.requirements.name
        given = self._variables(home)

        def scene() -> None:
            self._new_store(given)
            self._put(self.before, file)
            self._empty(home, given)

        return self._counting("empty agent, all new", [places.ENVPACK, "build", file], given, scene)

    def _script(self) -> Rival:
        home = self.work / "script"
        given = script(self.before, home, self.s3)

        def scene() -> None:
            self._empty(home, given)
            given.update(
                BUCKET=self.s3.server.new_bucket(), UV_CACHE_DIR=str(home / "uv"), PACKAGES=str(home / "pkgs")
            )

        return self._counting("empty agent, uv, conda-pack, aws", ["sh", "-c", SCRIPT], given, scene)

    def _variables(self, home: Path) -> dict[str, str]:
        return {**variables(home / "cache"), **self.s3.server.variables(), "HOME": str(home)}

    def _new_store(self, given: dict[str, str]) -> None:
        given["ENVPACK_STORE"] = f"s3://{self.s3.server.new_bucket()}/envs"

    def _empty(self, home: Path, given: dict[str, str]) -> None:
        """Throw away what an agent has, but what it has checked out."""
        for path in home.iterdir() if home.exists() else ():
            if path.is_file():
                path.unlink()
            elif path.name != "desk":
                shutil.rmtree(path)
        home.mkdir(exist_ok=True)
        given["ENVPACK_CACHE_DIR"] = str(home / "cache")

    def _counting(
        self, name: str, command: Sequence[str | Path], given: dict[str, str], scene: Callable[[], object]
    ) -> Rival:
        marks: list[tuple[int, int, int]] = []

        def before() -> None:
            scene()
            marks.append(self.s3.mark())

        return Rival(
            name=name, commands=[command], variables=given, before=before, after=lambda: self.s3.since(marks[-1])
        )


def _add_project(file: Path) -> None:
    """Check out a project beside a requirements file, and let the file name it."""
    shutil.rmtree(file.parent / "features", ignore_errors=True)
    write_project(file.parent / "features")
    with file.open("a", encoding="utf-8") as lines:
        lines.write("./features\n")


def _change_project(file: Path) -> None:
    """Write a line into the project that no build has seen."""
    with (file.parent / "features/features/__init__.py").open("a", encoding="utf-8") as module:
        module.write(f"BUILT = {time.time_ns()}\n")


def _build(file: Path, given: dict[str, str]) -> None:
    subprocess.run([places.ENVPACK, "build", file, "--quiet"], env=given, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
