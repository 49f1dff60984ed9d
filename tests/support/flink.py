"""A real Flink of PyPI, which submits PyFlink jobs to a real YARN."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.venv import venv_with
from tests.support.yarn import HADOOPS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.yarn import Yarn

VERSION = "2.3.0"
"""Its wheels are for Python 3.9 to 3.12."""

PYTHONS = ((3, 9), (3, 12))
"""The oldest and the newest Python that it has wheels for."""

HADOOP = "4.0"
"""The Spark whose Hadoop the tests give to Flink."""

_SMALL = {
    "jobmanager.memory.process.size": "1024m",
    "taskmanager.memory.process.size": "1600m",
    "parallelism.default": "1",
    "rest.port": "0",
    "fs.allowed-fallback-filesystems": "s3",  # Hadoop's s3a instead of a plugin
}

_JOB_SECONDS = 240


@dataclass(frozen=True, kw_only=True)
class Flink:
    """A Flink whose client knows a YARN, as an administrator would set it up."""

    home: Path
    """FLINK_HOME."""
    environment: Mapping[str, str]
    yarn: Yarn

    def shell(self, command: str, directory: Path) -> subprocess.CompletedProcess[str]:
        """Run shell text with `flink` on PATH."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=directory,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=_JOB_SECONDS,
            check=False,
        )

    def wait(self, file: Path) -> str:
        """Return what a job writes into a file at its end; fail with the containers' logs when it does not."""
        deadline = time.monotonic() + _JOB_SECONDS
        while time.monotonic() < deadline:
            if file.exists():
                return file.read_text("utf-8")
            time.sleep(0.5)
        pytest.fail(f"no {file.name}:\n{self.yarn.logs()}", pytrace=False)


def installed() -> Path:
    """Return a virtual environment with Flink's client and cluster."""
    return venv_with(f"flink-{VERSION}", (f"apache-flink=={VERSION}",))


def flink_on(yarn: Yarn, home: Path) -> Flink:
    """Return a Flink that submits to a YARN; its configuration is in the new directory `home`."""
    venv = installed()
    (package,) = venv.glob("lib/python*/site-packages/pyflink")
    hadoop = home / "hadoop"
    shutil.copytree(yarn.configuration, hadoop)
    jars = os.pathsep.join(f"{directory}/*" for directory in (HADOOPS[HADOOP].cluster(), yarn.s3a))
    _add(hadoop / "yarn-site.xml", "yarn.application.classpath", ",".join([str(hadoop), *jars.split(os.pathsep)]))
    _add(hadoop / "core-site.xml", "fs.s3.impl", "org.apache.hadoop.fs.s3a.S3AFileSystem")
    shutil.copytree(package / "conf", home / "conf")
    settings = {
        **_SMALL,
        "yarn.staging-directory": (home / "staging").as_uri(),
        **{f"containerized.{role}.env.HADOOP_CONF_DIR": str(hadoop) for role in ("master", "taskmanager")},
    }
    with (home / "conf/config.yaml").open("a") as configuration:
        configuration.writelines(f"\n{name}: {value}" for name, value in settings.items())
    java = shutil.which("java")
    assert java
    path = os.pathsep.join([f"{package}/bin", f"{venv}/bin", str(Path(java).parent), "/usr/bin", "/bin"])
    return Flink(
        home=package,
        yarn=yarn,
        environment={
            "PATH": path,
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "FLINK_HOME": str(package),
            "FLINK_CONF_DIR": str(home / "conf"),
            "FLINK_LOG_DIR": str(home),
            "HADOOP_CONF_DIR": str(hadoop),
            "HADOOP_CLASSPATH": jars,
        },
    )


def _add(site: Path, name: str, value: str) -> None:
    text = site.read_text()
    added = f"<property><name>{name}</name><value>{value}</value></property></configuration>"
    site.write_text(re.sub(r"</configuration>\s*$", added, text))
