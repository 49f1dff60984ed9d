"""Real Sparks from PyPI: spark-submit, local clusters and standalone servers on the loopback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.missing import missing
from tests.support.venv import venv_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DRIVER_PACKAGES = ("pandas==2.2.2", "pyarrow>=15,<23", "numpy>=1.26,<3", "setuptools<81")
"""What a driver needs for pandas_udf. Its pandas is not the one that the tests pack, to tell them apart."""

SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""What lets Java start quickly."""

LOCAL_CLUSTER = "local-cluster[1,1,1024]"
"""A master and a worker inside the driver's process, and one executor with a process of its own."""

_START_SECONDS = 300
_JOB_SECONDS = 800


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
    def standalone(self, directory: Path, configured: Mapping[str, str] | None = None) -> Iterator[str]:
        """Run a master and one worker, whose node has variables `configured`; give the master's URL."""
        with self._server(directory / "master.log", "master.Master", "--port", "0") as master_log:
            url = wait_for(master_log, r"Starting Spark master at (spark://\S+)")
            work = ("--cores", "1", "--memory", "1g", "--work-dir", str(self.home / "work"), url)
            node = replace(self, environment={**self.environment, **(configured or {})})
            with node._server(directory / "worker.log", "worker.Worker", *work) as worker_log:
                wait_for(worker_log, r"(Successfully registered with master)")
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


def wait_for(log: Path, pattern: str) -> str:
    """Return the group of a pattern once a server has written it into its log."""
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
        return spark_at(home, version)

    yield spark_of
    for home in made:
        shutil.rmtree(home, ignore_errors=True)


def spark_at(home: Path, version: str) -> Spark:
    """Make a SPARK_HOME of links for a version: a local cluster unpacks below it, and nothing can change that."""
    venv = installed(version)
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
            "JAVA_TOOL_OPTIONS": " ".join(SHORT_LIVED),
            **({"JAVA_HOME": os.environ["JAVA_HOME"]} if "JAVA_HOME" in os.environ else {}),
        },
    )


def installed(version: str) -> Path:
    """Return a virtual environment of the tests' Python with this Spark and what a driver or a client needs."""
    if not shutil.which("java"):
        missing("no real Spark: there is no java on PATH")
    return venv_with(f"spark-{version}", (f"pyspark[connect]=={version}", *DRIVER_PACKAGES))
