"""A real Airflow, which runs a workflow once as `airflow dags test` does: parsed, rendered and executed."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.support.cache import kept
from tests.support.venv import venv_with

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SPARK_PROVIDER = "6.3.4"
LIVY_PROVIDER = "4.6.4"

_PACKAGES = (
    "apache-airflow-core==3.3.2",
    f"apache-airflow-providers-apache-spark=={SPARK_PROVIDER}",
    f"apache-airflow-providers-apache-livy=={LIVY_PROVIDER}",
)

_UNUSED = ("pyspark", "pyspark-client")
"""What the providers ask for beside what their operators import."""

_RUN_SECONDS = 400


def installed() -> Path:
    """Return a virtual environment with Airflow."""
    return venv_with("airflow", _PACKAGES, without=_UNUSED)


def run(workflow: str, directory: Path, environment: Mapping[str, str]) -> str:
    """Run the only workflow, `job`, of a Python file's text; return what Airflow logged. Fails when a task fails.

    `directory` becomes Airflow's home. `environment` is what tasks see, with connections as `AIRFLOW_CONN_*`.
    """
    venv = installed()
    (directory / "dags").mkdir(parents=True)
    (directory / "dags/job.py").write_text(workflow)
    database = kept(f"{venv.name}-database", lambda home: _make_database(venv, home))
    shutil.copy(database / "airflow.db", directory)
    done = _airflow(venv, directory, environment, "dags", "test", "job")
    log = done.stdout + done.stderr
    assert done.returncode == 0, log[-20_000:]
    return log


def _make_database(venv: Path, home: Path) -> None:
    """Make the database of a new Airflow, which takes it ten seconds."""
    _airflow(venv, home, {"PATH": "/usr/bin:/bin"}, "db", "migrate").check_returncode()


def _airflow(
    venv: Path, home: Path, environment: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [venv / "bin/airflow", *arguments],
        env={
            **environment,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        },
        cwd=home,
        capture_output=True,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )
