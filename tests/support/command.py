"""Run envpack as a person does: another process, its output read back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import pypi
from tests.support.cache import shared
from tests.support.channel import Channel
from tests.support.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVPACK = Path(sys.executable).with_name("envpack")


@dataclass(frozen=True, kw_only=True)
class Ran:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A person's directory with a configuration for the test channel, a store and a cache."""

    home: Path
    channel: Channel
    environment: dict[str, str]
    seconds: int = 300
    """How long a command may take."""

    @property
    def store(self) -> Path:
        return self.home / "a store"

    @property
    def cache(self) -> Path:
        return Path(self.environment["ENVPACK_CACHE_DIR"])

    def write(self, name: str, *lines: str) -> Path:
        path = self.home / name
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    def command(self, *arguments: str) -> list[str]:
        return [str(ENVPACK), *arguments]

    def run(self, *arguments: str, **variables: str) -> Ran:
        return run(*arguments, cwd=self.home, environment={**self.environment, **variables}, seconds=self.seconds)

    def run_as_ordinary_user(self, *arguments: str) -> Ran:
        """Run as one whom permissions bind, also where root runs the tests."""
        powerless = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
        done = subprocess.run(
            [*(powerless if os.geteuid() == 0 and shutil.which("setpriv") else ()), *self.command(*arguments)],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=self.seconds,
            check=False,
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.home,
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def build(self, *arguments: str, **variables: str) -> Any:
        """Build, which must succeed, and return what `--output json` says."""
        ran = self.run("build", *arguments, "--output", "json", **variables)
        assert ran.code == 0, ran.err
        return ran.json()

    def forget_pieces(self, *, but: Path | None = None) -> None:
        """Let the next build link, compile and compress everything, `but` what another cache holds."""
        for name in ("pieces", "recipes"):
            shutil.rmtree(self.cache / name, ignore_errors=True)
            if but:
                shutil.copytree(but / name, self.cache / name)

    def releases(self) -> list[Path]:
        return sorted(self.store.glob("*/*/manifest.json"))


def run(*arguments: str, cwd: Path, environment: Mapping[str, str], seconds: float = 300) -> Ran:
    """Run envpack in a directory."""
    return run_script(ENVPACK, *arguments, cwd=cwd, environment=environment, seconds=seconds)


def run_script(
    script: Path, *arguments: str, cwd: Path, environment: Mapping[str, str], seconds: float = 300
) -> Ran:
    """Run a program in Python, which most likely imports envpack, in a directory."""
    prepared = _prepared()
    if prepared and prepared.can_run(environment):
        command = [str(script), *arguments]
        done = prepared.run(command, cwd=cwd, environment=environment, seconds=seconds)
    else:
        command = [sys.executable, str(script), *arguments]
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


@cache
def _prepared() -> Prepared | None:
    return Prepared() if sys.platform == "linux" else None


def pytest_unconfigure() -> None:
    """End the process that waits for commands, if one was given."""
    if _prepared.cache_info().currsize and (prepared := _prepared()):
        prepared.close()


def environment(cache: Path) -> dict[str, str]:
    """Return this process's variables without what would steer envpack, and with a cache of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ENVPACK_", "AWS_"))}
    return {**kept, "ENVPACK_CACHE_DIR": str(cache)}


def desk_at(home: Path, channel: Channel, cache: Path) -> Desk:
    home.mkdir(parents=True, exist_ok=True)
    desk = Desk(home=home, channel=channel, environment=environment(cache))
    desk.write("envpack.yaml", "store: a store", f"channels: ['{channel.url}']", f"glibc: '{channel.glibc}'")
    return desk


def as_pypi_was(desk: Desk) -> Desk:
    """Return the same desk where uv looks at no project that PyPI got later than on the day of the pins."""
    return replace(desk, environment={**desk.environment, **pypi.VARIABLES})


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory, channel: Channel) -> Path:
    """A cache that knows Python, as it is compiled and compressed, and nothing of what tests ask for."""

    def make(home: Path) -> None:
        desk = desk_at(home / "a desk", channel, home / "a cache")
        desk.write("seed.txt", "activated")
        desk.build("seed.txt", "--from-conda", "activated", "--no-verify")

    return shared(tmp_path_factory, "seed", make) / "a cache"


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory: pytest.TempPathFactory, seed: Path) -> Path:
    """A cache that the tests of one worker share."""
    return copy_of(seed, tmp_path_factory.mktemp("warm") / "a cache")


def copy_of(cache: Path, path: Path) -> Path:
    """Return a cache of its own with what another holds."""
    shutil.copytree(cache, path, symlinks=True)
    return path


@pytest.fixture
def desk(tmp_path: Path, channel: Channel, warm_cache: Path) -> Desk:
    """An empty directory to work in, with a cache that earlier tests have warmed."""
    return desk_at(tmp_path / "a desk", channel, warm_cache)
