"""Airflow's own operators take the keyword arguments that envpack prints, and a real YARN runs what they submit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import airflow
from tests.support.job import SPARK_3

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.job import JobDesk
    from tests.support.livy import Livy
    from tests.support.spark import Spark

pytestmark = [pytest.mark.yarn, pytest.mark.timeout(900)]

WORKFLOW = """\
from airflow.providers.apache.livy.operators.livy import LivyOperator
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG

with DAG("job"):
    SparkSubmitOperator(
        task_id="submitted",
        application={submitted!r},
        deploy_mode="cluster",
        durable=False,
        {submit_settings}
    ) >> LivyOperator(
        task_id="sent",
        file={sent!r},
        polling_interval=1,
        {livy_settings}
    )
"""


def test_both_operators_run_the_job(
    yarn_job: JobDesk,
    livy_of: Callable[[str], Livy],
    spark_on_yarn: Callable[[str], Spark],
    tmp_path: Path,
) -> None:
    spark = spark_on_yarn(SPARK_3)
    built = yarn_job.build(None, "airflow")
    workflow = WORKFLOW.format(
        submitted=str(yarn_job.write_job(name="submitted.py", answer="submitted.json")),
        submit_settings=yarn_job.built_text(None, "airflow"),
        sent=yarn_job.write_job(name="sent.py", answer="sent.json").as_uri(),
        livy_settings=yarn_job.built_text(None, "airflow-livy"),
    )
    connections = {
        "AIRFLOW_CONN_SPARK_DEFAULT": "spark://yarn",
        "AIRFLOW_CONN_LIVY_DEFAULT": livy_of(SPARK_3).url,
    }
    airflow.run(workflow, tmp_path / "airflow", {**spark.environment, **connections})
    for name in ("submitted.json", "sent.json"):
        answer = yarn_job.answer(name=name)
        for process in (answer.driver, *answer.executors):
            yarn_job.check_inside(process, built)
