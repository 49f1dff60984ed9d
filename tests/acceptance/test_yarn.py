"""A real YARN runs a pandas_udf in a real release, submitted with exactly the text that envpack prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from envpack.explain import logs
from envpack.explain.explanation import explain
from tests.support.job import SPARK_3, SPARK_4, check_outside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.job import Answer, JobDesk
    from tests.support.spark import Spark

pytestmark = [pytest.mark.yarn, pytest.mark.timeout(900)]

both_sparks = pytest.mark.parametrize("version", [SPARK_3, SPARK_4])


def submitted(desk: JobDesk, spark: Spark, mode: str, archive_format: str, *options: str) -> Answer:
    """Paste what envpack prints into a shell, and check what the driver and the executors saw."""
    launcher = f"yarn-{mode}"
    built = desk.build(None, launcher, archive_format)
    text = desk.built_text(None, launcher, archive_format)
    command = " ".join(["spark-submit --master yarn --deploy-mode", mode, *options])
    answer = desk.run(spark, f"{command} \\\n{text}")
    for process in answer.executors:
        check_container(desk, process, built)
    if mode == "cluster":
        check_container(desk, answer.driver, built)
    else:
        check_outside(answer.driver, built)
    return answer


def check_container(desk: JobDesk, process: Any, built: Any) -> None:
    """Check that a process ran in the release as YARN starts it."""
    desk.check_inside(process, built)
    assert process.variables["HOME"] == "/home/"


@both_sparks
@pytest.mark.parametrize(("mode", "archive_format"), [("cluster", "zip"), ("client", "tar.gz"), ("cluster", "tar")])
def test_yarn_runs_a_release_of_a_directory(
    mode: str, archive_format: str, version: str, yarn_job: JobDesk, spark_on_yarn: Callable[[str], Spark]
) -> None:
    answer = submitted(yarn_job, spark_on_yarn(version), mode, archive_format)
    path, *_, permissions = answer.executors[0].program
    assert "/usercache/" in path
    assert permissions == 0o500


@both_sparks
def test_yarn_runs_a_release_of_s3_that_is_copied_to_another_staging_directory(
    version: str, yarn_job_on_s3: JobDesk, spark_on_yarn: Callable[[str], Spark]
) -> None:
    answer = submitted(yarn_job_on_s3, spark_on_yarn(version), "client", "tar")
    assert f"Uploading resource s3a://{yarn_job_on_s3.bucket}/releases/job/" in answer.log
    assert "/usercache/" in answer.executors[0].program[0]


@both_sparks
def test_a_node_unpacks_a_release_of_s3_once_for_all_applications(
    version: str, yarn_job_on_s3: JobDesk, spark_on_yarn: Callable[[str], Spark]
) -> None:
    staging = f"--conf spark.yarn.stagingDir=s3a://{yarn_job_on_s3.bucket}/staging"
    first, second = (
        submitted(yarn_job_on_s3, spark_on_yarn(version), mode, "tar.gz", staging) for mode in ("cluster", "client")
    )
    assert f"Not copying s3a://{yarn_job_on_s3.bucket}/releases/job/" in first.log
    path, *_, permissions = first.driver.program
    assert "/usercache/" not in path
    assert permissions == 0o555
    assert {tuple(process.program) for process in (first.driver, *first.executors, *second.executors)} == {
        tuple(first.driver.program)
    }


@pytest.mark.parametrize(("staging", "found"), [("", {"archive-staged"}), ("staging", set())])
def test_the_log_of_an_application_says_whether_its_archive_was_copied(
    staging: str, found: set[str], yarn_job_on_s3: JobDesk, spark_on_yarn: Callable[[str], Spark], tmp_path: Path
) -> None:
    options = ["--conf spark.eventLog.enabled=true", f"--conf spark.eventLog.dir={tmp_path.as_uri()}"]
    if staging:
        options.append(f"--conf spark.yarn.stagingDir=s3a://{yarn_job_on_s3.bucket}/{staging}")
    answer = submitted(yarn_job_on_s3, spark_on_yarn(SPARK_3), "client", "tar.gz", *options)
    assert ("Uploading resource s3a://" in answer.log) == bool(found)
    (log,) = tmp_path.iterdir()
    names = {finding.name for finding in explain(logs.find(str(log))).findings}
    assert names & {"archive-staged"} == found
