"""Real Sparks run a pandas_udf in a real release, started with exactly the settings that envpack prints."""

from __future__ import annotations

import shlex
import subprocess
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.job import SPARK_3, SPARK_4, check_outside
from tests.support.planning import plan
from tests.support.s3a import jars_of_nodes, reading
from tests.support.spark import LOCAL_CLUSTER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.job import Answer, JobDesk
    from tests.support.s3 import S3Server
    from tests.support.spark import Spark

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

both_sparks = pytest.mark.parametrize("version", [SPARK_3, SPARK_4])

PACKED = "./environment/bin/python"

NOT_THERE = f'Cannot run program "{PACKED}": error=2'

SUBMIT = f"spark-submit --master {LOCAL_CLUSTER} \\\n"


def check(desk: JobDesk, answer: Answer, built: Any) -> None:
    """Check that executors ran in the release and nowhere else, and that the driver did not."""
    assert answer.executors
    for process in answer.executors:
        desk.check_inside(process, built)
    check_outside(answer.driver, built)


def failure(desk: JobDesk, spark: Spark, command: str) -> str:
    """Submit the job, which must fail, and return what is said meanwhile."""
    done = spark.shell(f"{command} \\\njob.py", desk.home)
    assert done.returncode != 0, done.stdout
    return done.stderr


def settings(built: Any, *options: str) -> list[str]:
    """Return the arguments that make envpack print the settings of a release for a standalone master."""
    return ["settings", built["reference"], "--launcher", "standalone", *options]


@pytest.mark.parametrize(
    ("version", "archive_format"), [(SPARK_3, "tar.gz"), (SPARK_4, "tar.gz"), (SPARK_4, "zip")]
)
def test_the_printed_text_pasted_into_a_shell_runs_the_job(
    version: str, archive_format: str, spark_job: JobDesk, spark_of: Callable[[str], Spark]
) -> None:
    built = spark_job.build(version, "standalone", archive_format)
    text = spark_job.printed(*settings(built, "--spark", version))
    check(spark_job, spark_job.run(spark_of(version), f"{SUBMIT}{text}"), built)


def test_one_line_in_a_command_substitution_runs_the_job_on_a_standalone_cluster(
    spark_job: JobDesk, spark_of: Callable[[str], Spark], tmp_path: Path
) -> None:
    spark = spark_of(SPARK_3)
    built = spark_job.build(SPARK_3, "standalone")
    command = shlex.join(spark_job.desk.command(*settings(built, "--output", "oneline")))
    with spark.standalone(tmp_path) as master:
        check(spark_job, spark_job.run(spark, f"spark-submit --master {master} $({command})"), built)


def test_a_properties_file_runs_the_job_on_a_standalone_cluster(
    spark_job: JobDesk, spark_of: Callable[[str], Spark], tmp_path: Path
) -> None:
    spark = spark_of(SPARK_4)
    built = spark_job.build(SPARK_4, "standalone")
    properties = spark_job.desk.write("spark.conf", spark_job.printed(*settings(built, "--output", "conf")))
    with spark.standalone(tmp_path) as master:
        command = f"spark-submit --master {master} --properties-file {properties.name}"
        check(spark_job, spark_job.run(spark, command), built)


def test_the_environment_form_runs_the_job(spark_job: JobDesk, spark_of: Callable[[str], Spark]) -> None:
    built = spark_job.build(SPARK_3, "standalone")
    (form,) = built["settings"]["alternatives"]
    conf = [word for name, value in form["conf"].items() for word in ("--conf", f"{name}={value}")]
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in form["env"].items())
    command = f"{variables} {SUBMIT}{shlex.join([*form['arguments'], *conf])}"
    check(spark_job, spark_job.run(spark_of(SPARK_3), command), built)


@both_sparks
def test_exported_lines_run_a_program_that_no_spark_submit_starts(
    version: str, spark_job: JobDesk, spark_of: Callable[[str], Spark]
) -> None:
    built = spark_job.build(version, "standalone")
    lines = shlex.join(spark_job.desk.command(*settings(built, "--driver-python", "auto", "--output", "env")))
    master = f'export PYSPARK_SUBMIT_ARGS="--master {LOCAL_CLUSTER} $PYSPARK_SUBMIT_ARGS"'
    answer = spark_job.run(spark_of(version), f'eval "$({lines})"\n{master}\n"$PYSPARK_DRIVER_PYTHON"')
    check(spark_job, answer, built)
    assert answer.driver.variables["JOB_MODE"] == spark_job.mode


def unpacked(desk: JobDesk, spark: Spark, built: Any, directory: Path) -> Any:
    """Unpack a release as envpack says it for local mode, and return the settings for that."""
    options = ("--launcher", "local", "--directory", str(directory), "--output", "json")
    local = desk.desk.run("settings", built["reference"], *options).json()["settings"]
    done = spark.shell("\n".join(["set -e", *local["prepare"]]), desk.home)
    assert done.returncode == 0, done.stderr
    return local


@pytest.mark.parametrize(("version", "archive_format"), [(SPARK_3, "tar.gz"), (SPARK_4, "zip")])
def test_local_mode_runs_driver_and_workers_where_the_archive_is_unpacked(
    version: str, archive_format: str, spark_job: JobDesk, spark_of: Callable[[str], Spark], tmp_path: Path
) -> None:
    spark = spark_of(version)
    built = spark_job.build(version, "standalone", archive_format)
    directory = tmp_path / "a directory"
    local = unpacked(spark_job, spark, built, directory)
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in local["env"].items())
    answer = spark_job.run(spark, f"{variables} spark-submit --master 'local[2]' \\\n{local['text']}")
    for process in (answer.driver, *answer.executors):
        spark_job.check_inside(process, built, str(directory))


def test_local_mode_is_said_with_the_commands_that_unpack(spark_job: JobDesk) -> None:
    built = spark_job.build(SPARK_3, "standalone")
    options = ("settings", built["reference"], "--launcher", "local", "--directory", "/opt/release")
    local = spark_job.desk.run(*options, "--output", "json").json()["settings"]
    printed = spark_job.desk.run(*options)
    assert printed.out == local["text"] + "\n"
    said = [line for line in printed.err.splitlines() if line.startswith("first: ")]
    assert said == [f"first: {command}" for command in local["prepare"]]
    assert said[0] == "first: mkdir -p /opt/release"


def test_a_relative_path_does_not_work_in_local_mode(spark_job: JobDesk, spark_of: Callable[[str], Spark]) -> None:
    text = spark_job.built_text(SPARK_3, "standalone")
    assert NOT_THERE in failure(spark_job, spark_of(SPARK_3), f"spark-submit --master 'local[2]' \\\n{text}")


def test_spark_4_plans_with_a_python_that_must_lie_where_one_submits(
    spark_job: JobDesk, spark_of: Callable[[str], Spark], tmp_path: Path
) -> None:
    spark = spark_of(SPARK_4)
    built = spark_job.build(SPARK_4, "standalone")
    (note,) = (note for note in built["settings"]["notes"] if "data sources" in note)
    assert "unpack the archive to ./environment where you submit" in note
    command = f"{SUBMIT}{built['settings']['text']}"
    planned = plan(spark, command, tmp_path)
    executors = str(spark.home / "work")
    assert planned.function.worker.startswith(executors)
    assert NOT_THERE in planned.data_source.error
    assert NOT_THERE in planned.table_function.error
    unpacked(spark_job, spark, built, tmp_path / "environment")
    planned = plan(spark, command, tmp_path)
    assert planned.function.worker.startswith(executors)
    for pythons in (planned.data_source, planned.table_function):
        assert pythons.planner == f"{tmp_path}/environment/bin/python"
        assert pythons.worker.startswith(executors)
        assert pythons.worker.endswith("/environment/bin/python")


def test_a_zip_is_refused_for_spark_3_which_takes_away_its_permissions(
    spark_job: JobDesk, spark_of: Callable[[str], Spark]
) -> None:
    built = spark_job.build(SPARK_4, "standalone", "zip")
    refused = spark_job.desk.run(*settings(built, "--spark", SPARK_3))
    assert refused.code == 2
    assert "loses a zip's permissions" in refused.err
    said = failure(spark_job, spark_of(SPARK_3), f"{SUBMIT}{built['settings']['text']}")
    assert f'Cannot run program "{PACKED}": error=13, Permission denied' in said


def test_a_variable_of_the_executors_selects_no_python(
    spark_job: JobDesk, spark_of: Callable[[str], Spark]
) -> None:
    archives = shlex.join(spark_job.build(SPARK_3, "standalone")["settings"]["arguments"])
    command = f"{SUBMIT}{archives} --conf spark.executorEnv.PYSPARK_PYTHON={PACKED}"
    answer = spark_job.run(spark_of(SPARK_3), command)
    assert answer.executors
    assert answer.executors[0].executable == answer.driver.executable


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        (f"PYSPARK_PYTHON={PACKED}", ""),
        ("PYSPARK_DRIVER_PYTHON=python3", f"--conf spark.pyspark.python={PACKED}"),
    ],
)
@both_sparks
def test_a_driver_whose_python_is_not_named_in_the_same_way_as_the_workers_does_not_start(
    version: str, variables: str, options: str, spark_job: JobDesk, spark_of: Callable[[str], Spark]
) -> None:
    assert NOT_THERE in failure(spark_job, spark_of(version), f"{variables} {SUBMIT}{options}")


@both_sparks
def test_executors_fetch_a_release_of_s3_with_the_line_that_the_settings_offer(
    version: str, spark_job: JobDesk, spark_of: Callable[[str], Spark], real_s3: S3Server, tmp_path: Path
) -> None:
    desk, spark = spark_job.on_s3(real_s3), spark_of(version)
    built = desk.build(version, "standalone")
    text = desk.printed(
        *settings(built, "--spark", version, "--s3a-jars", f"{jars_of_nodes(tmp_path / 's3a', version)}/*")
    )
    with spark.standalone(tmp_path) as master:
        answer = desk.run(spark, f"spark-submit --master {master} {reading(real_s3)} \\\n{text}")
    check(desk, answer, built)
    assert "s3a://" in text


@both_sparks
def test_jars_of_the_job_come_too_late_for_its_executors(
    version: str, spark_job: JobDesk, spark_of: Callable[[str], Spark], real_s3: S3Server, tmp_path: Path
) -> None:
    desk, spark = spark_job.on_s3(real_s3), spark_of(version)
    built = desk.build(version, "standalone")
    text = desk.printed(*settings(built, "--spark", version))
    directory = jars_of_nodes(tmp_path / "s3a", version)
    jars = f"--driver-class-path '{directory}/*' --jars {','.join(map(str, directory.glob('*.jar')))}"
    with spark.standalone(tmp_path) as master:
        command = f"exec spark-submit --master {master} {jars} {reading(real_s3)} \\\n{text} \\\njob.py"
        with subprocess.Popen(["bash", "-c", command], cwd=desk.home, env=dict(spark.environment)) as running:
            try:
                deadline = time.monotonic() + 300
                while "S3AFileSystem not found" not in executors_say(spark):
                    assert running.poll() is None, executors_say(spark)[-4000:]
                    assert time.monotonic() < deadline, executors_say(spark)[-4000:]
                    time.sleep(0.5)
            finally:
                running.terminate()


BESIDE = """\
import os, sys
from pyspark.sql import SparkSession
context = SparkSession.builder.getOrCreate().sparkContext
seen = lambda _: (os.listdir("models"), "/environment/bin/python" in sys.executable)
print(context.parallelize([0], 1).map(seen).collect())
"""


@both_sparks
def test_other_archives_are_unpacked_beside_the_environment_and_a_second_list_takes_its_place(
    version: str, spark_job: JobDesk, spark_of: Callable[[str], Spark], tmp_path: Path
) -> None:
    models = tmp_path / "models.zip"
    with zipfile.ZipFile(models, "w") as archive:
        archive.writestr("weights.txt", "1")
    spark = spark_of(version)
    built = spark_job.build(version, "standalone")
    asked = ("--spark", version, "--also-archives", f"{models}#models")
    text = spark_job.printed(*settings(built, *asked))
    spark_job.desk.write("beside.py", BESIDE)
    done = spark.shell(f"{SUBMIT}{text} \\\nbeside.py", spark_job.home)
    assert done.returncode == 0, [
        line for line in done.stderr.splitlines() if "Error" in line or "xception" in line
    ]
    assert "(['weights.txt'], True)" in done.stdout
    assert NOT_THERE in failure(spark_job, spark, f"{SUBMIT}{text} --archives {models}#models")


def executors_say(spark: Spark) -> str:
    """Return what the executors of a standalone cluster have written so far."""
    return "".join(log.read_text(errors="replace") for log in (spark.home / "work").glob("app-*/*/stderr"))
