"""Real Spark Connect servers and their clients run a pandas_udf in a real release, as envpack prints it."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.support.connect import connect_server
from tests.support.job import ACTIVATED, SPARK_3, SPARK_4, check_outside, check_python
from tests.support.planning import plan
from tests.support.s3a import jars_of_nodes, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.connect import ConnectServer
    from tests.support.job import Answer, JobDesk
    from tests.support.s3 import S3Server

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

both_sparks = pytest.mark.parametrize("version", [SPARK_3, SPARK_4])


@pytest.fixture(scope="module")
def server_with_release(
    tmp_path_factory: pytest.TempPathFactory, spark_job: JobDesk
) -> Iterator[Callable[[str], ConnectServer]]:
    """Give a function that returns a server of a version, started with what envpack prints."""

    def start(version: str) -> ConnectServer:
        text = spark_job.built_text(version, "connect")
        directory = tmp_path_factory.mktemp("server")
        return running.enter_context(connect_server(directory, version, text, standalone=version == SPARK_4))

    with ExitStack() as running:
        yield cache(start)


@pytest.fixture(scope="module")
def bare_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ConnectServer]]:
    """Give a function that returns a server of a version that knows nothing of the release."""
    with ExitStack() as running:
        yield cache(
            lambda version: running.enter_context(connect_server(tmp_path_factory.mktemp("server"), version))
        )


def answered(desk: JobDesk, server: ConnectServer, *prepare: str) -> Answer:
    """Run the job as a client, with the lines `prepare` pasted into it."""
    return desk.run(server.spark, server.client, desk.write_job(*prepare, name="client.py").name)


def failure(desk: JobDesk, server: ConnectServer, *prepare: str) -> str:
    """Run the job as a client, which must fail, and return what it says."""
    job = desk.write_job(*prepare, name="client.py")
    done = server.spark.shell(f"{server.client} {job.name}", desk.home)
    assert done.returncode != 0
    return done.stderr


@both_sparks
def test_every_session_of_a_server_that_the_printed_text_starts_runs_in_the_release(
    version: str, spark_job: JobDesk, server_with_release: Callable[[str], ConnectServer]
) -> None:
    built = spark_job.build(version, "connect")
    sessions = [answered(spark_job, server_with_release(version)) for _ in range(2)]
    for answer in sessions:
        check_outside(answer.driver, built)
        for process in answer.executors:
            spark_job.check_inside(process, built, "../environment")
    first, second = (answer.executors[0].directory for answer in sessions)
    assert first != second


@both_sparks
def test_the_path_of_other_launchers_does_not_lead_from_a_session_to_the_servers_archive(
    version: str, spark_job: JobDesk, server_with_release: Callable[[str], ConnectServer]
) -> None:
    line = 'spark.conf.set("spark.sql.execution.pyspark.python", "./environment/bin/python")'
    said = failure(spark_job, server_with_release(version), line)
    assert 'Cannot run program "./environment/bin/python" (in directory "./' in said


def test_a_server_plans_data_sources_and_table_functions_in_the_release(
    tmp_path: Path, server_with_release: Callable[[str], ConnectServer]
) -> None:
    server = server_with_release(SPARK_4)
    planned = plan(server.spark, server.client, tmp_path)
    unpacked_by_driver = f"{server.spark.environment['SPARK_LOCAL_DIRS']}/spark-"
    for pythons in (planned.data_source, planned.table_function):
        assert pythons.planner.startswith(unpacked_by_driver)
        for python in (pythons.planner, pythons.worker):
            assert python.endswith("/../environment/bin/python")


@pytest.mark.parametrize(
    ("version", "archive_format"), [(SPARK_3, "tar.gz"), (SPARK_4, "tar.gz"), (SPARK_4, "zip")]
)
def test_the_printed_lines_run_one_session_in_the_release(
    version: str, archive_format: str, spark_job: JobDesk, bare_server: Callable[[str], ConnectServer]
) -> None:
    built = spark_job.build(version, "connect-client", archive_format)
    lines = spark_job.built_text(version, "connect-client", archive_format)
    answer = answered(spark_job, bare_server(version), lines)
    check_outside(answer.driver, built)
    for process in answer.executors:
        check_python(process, built)
        assert not process.variables.keys() & {"JOB_MODE", *ACTIVATED}


def test_a_session_plans_in_the_servers_own_python(
    tmp_path: Path, spark_job: JobDesk, bare_server: Callable[[str], ConnectServer]
) -> None:
    server = bare_server(SPARK_4)
    planned = plan(server.spark, server.client, tmp_path, spark_job.built_text(SPARK_4, "connect-client"))
    for pythons in (planned.data_source, planned.table_function):
        assert "/environment/" not in pythons.planner
        assert pythons.worker.endswith("/environment/bin/python")


def test_spark_3_takes_away_the_permissions_in_a_zip_that_a_client_sends(
    spark_job: JobDesk, bare_server: Callable[[str], ConnectServer]
) -> None:
    lines = spark_job.built_text(SPARK_4, "connect-client", "zip")
    assert "error=13, Permission denied" in failure(spark_job, bare_server(SPARK_3), lines)


def test_a_servers_executors_fetch_a_release_of_s3_with_the_line_that_the_settings_offer(
    spark_job: JobDesk, real_s3: S3Server, tmp_path: Path
) -> None:
    desk, jars = spark_job.on_s3(real_s3), jars_of_nodes(tmp_path / "s3a", SPARK_4)
    built = desk.build(SPARK_4, "connect")
    options = ("--launcher", "connect", "--spark", SPARK_4, "--s3a-jars", f"{jars}/*")
    text = desk.printed("settings", built["reference"], *options)
    with connect_server(tmp_path, SPARK_4, f"{text} \\\n{reading(real_s3)}") as server:
        answer = answered(desk, server)
    assert answer.executors
    for process in answer.executors:
        check_python(process, built, "../environment")
