"""Real Sparks from PyPI: spark-submit, local clusters and standalone servers on the loopback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from uv import find_uv_bin

from envpack import digest
from tests.support.cache import kept
from tests.support.missing import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

DRIVER_PACKAGES = ("pandas==2.2.2", "pyarrow>=15,<23", "numpy>=1.26,<3", "setuptools<81")
"""What a driver needs for pandas_udf. Its pandas is not the one that the tests pack, to tell them apart."""

_START_SECONDS = 60
_JOB_SECONDS = 400


@dataclass(frozen=True, kw_only=True)
class Spark:
    """One installed Spark with directories of its own."""

    home: Path
    """SPARK_HOME; executors of a local cluster work below it."""
    environment: Mapping[str, str]
    """All that its processes see of the environment; a driver's Python of the tests' version is first on PATH."""

    def shell(self, command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a shell command as a person would who has this Spark on PATH."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=cwd,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=_JOB_SECONDS,
            check=False,
        )

    @contextmanager
    def standalone(self, directory: Path) -> Iterator[str]:
        """Run a master and one worker; give the master's URL."""
        with self._server(directory / "master.log", "master.Master", "--port", "0") as master_log:
            url = _wait_for(master_log, r"Starting Spark master at (spark://\S+)")
            work = ("--cores", "1", "--memory", "1g", "--work-dir", str(self.home / "work"), url)
            with self._server(directory / "worker.log", "worker.Worker", *work) as worker_log:
                _wait_for(worker_log, r"(Successfully registered with master)")
                yield url

    @contextmanager
    def _server(self, log: Path, name: str, *arguments: str) -> Iterator[Path]:
        command = [str(self.home / "bin/spark-class"), f"org.apache.spark.deploy.{name}"]
        with (
            log.open("w") as output,
            subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--webui-port", "0", *arguments],
                env=dict(self.environment),
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                yield log
            finally:
                process.terminate()


def _wait_for(log: Path, pattern: str) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if found := re.search(pattern, log.read_text()):
            return found[1]
        time.sleep(0.2)
    pytest.fail(f"no {pattern!r} after {_START_SECONDS} s in:\n{log.read_text()}")


@pytest.fixture
def spark_of(tmp_path: Path) -> Iterator[Callable[[str], Spark]]:
    """Give a function that returns a real Spark of a version; what its executors unpack is removed at the end."""
    made = []

    def spark_of(version: str) -> Spark:
        home = tmp_path / f"spark-{version}"
        made.append(home)
        return _spark(installed(version), home)

    yield spark_of
    for home in made:
        shutil.rmtree(home, ignore_errors=True)


def _spark(venv: Path, home: Path) -> Spark:
    """Make a SPARK_HOME of links: a local cluster unpacks below its SPARK_HOME, and nothing can change that."""
    java = shutil.which("java")
    assert java
    (package,) = venv.glob("lib/python*/site-packages/pyspark")
    home.mkdir()
    for entry in package.iterdir():
        if entry.name != "work":
            (home / entry.name).symlink_to(entry)
    scratch = home / "scratch"
    scratch.mkdir()
    path = os.pathsep.join([f"{venv}/bin", str(Path(java).parent), "/usr/bin", "/bin"])
    return Spark(
        home=home,
        environment={
            "PATH": path,
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_DIRS": str(scratch),
            "SPARK_LOCAL_IP": "127.0.0.1",
            **({"JAVA_HOME": os.environ["JAVA_HOME"]} if "JAVA_HOME" in os.environ else {}),
        },
    )


def installed(version: str) -> Path:
    """Return a virtual environment of the tests' Python with this Spark and what a driver needs."""
    if not shutil.which("java"):
        missing("no real Spark: there is no java on PATH")
    packages = (f"pyspark=={version}", *DRIVER_PACKAGES)
    python = sys.version.split()[0]
    name = f"spark-{version}-{digest.of_json([*packages, python, sys.base_prefix])[: digest.SHORT]}"
    return kept(name, lambda venv: _install(venv, packages))


def _install(venv: Path, packages: Sequence[str]) -> None:
    uv = find_uv_bin()
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)],
        [uv, "pip", "install", "--quiet", "--python", str(venv / "bin/python"), *packages],
    ):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            missing(f"no real Spark: {packages[0]} cannot be installed: {answer.stderr}")
