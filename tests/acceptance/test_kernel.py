"""`jupyter nbconvert --execute` with an installed kernel: the driver is in the release, and so are its workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import jupyter
from tests.support.channel import Channel
from tests.support.job import SPARK_4, JobDesk, job_desk
from tests.support.spark import LOCAL_CLUSTER, Spark

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory, full_channel: Channel) -> JobDesk:
    """A desk whose environment has ipykernel."""
    desk = job_desk(tmp_path_factory.mktemp("notebooks") / "a desk", full_channel)
    file = desk.desk.home / "job.yml"
    file.write_text(file.read_text().replace("- pip:\n", "- pip:\n  - ipykernel\n"))
    return desk


@pytest.mark.parametrize("launcher", ["local", "standalone"])
def test_a_notebook_runs_in_the_release(
    launcher: str, notebooks: JobDesk, spark_of: Callable[[str], Spark], tmp_path: Path
) -> None:
    spark = spark_of(SPARK_4)
    built: Any = notebooks.build(SPARK_4, "standalone")
    data = tmp_path / "jupyter data"
    master = {"local": (), "standalone": ("--master", LOCAL_CLUSTER)}[launcher]
    ran = notebooks.desk.run(
        *("kernel", built["reference"], "--launcher", launcher, *master),
        *("--spark-home", str(spark.home), "--name", "in-the-release"),
        JUPYTER_DATA_DIR=str(data),
    )
    assert ran.code == 0, ran.err
    folder = Path(ran.out.strip())
    assert folder == data / "kernels/in-the-release"
    assert json.loads((folder / "kernel.json").read_text())["metadata"]["envpack"]["digest"] == built["digest"]
    jupyter.execute([notebooks.program()], "in-the-release", tmp_path, data, spark.environment)
    answer = notebooks.answer()
    (environment,) = folder.glob("environment-*")
    notebooks.check_inside(answer.driver, built, str(environment))
    assert answer.executors
    for process in answer.executors:
        notebooks.check_inside(process, built, str(environment) if launcher == "local" else "./environment")


def test_a_release_without_ipykernel_is_refused(spark_job: JobDesk) -> None:
    built = spark_job.build(SPARK_4, "standalone")
    refused = spark_job.desk.run("kernel", built["reference"])
    assert refused.code == 2
    assert "has no ipykernel" in refused.err
