"""Real Sparks run a code base of several modules that envpack submits, in a real release."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from envpack.jobs import spark_operator
from tests.support import kubernetes, operator_crd
from tests.support.job import SPARK_3, SPARK_4
from tests.support.spark import LOCAL_CLUSTER
from tests.support.submitting import planned_on_s3, site_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command import Ran
    from tests.support.job import JobDesk
    from tests.support.livy import Livy
    from tests.support.spark import Spark

both_sparks = pytest.mark.parametrize("version", [SPARK_3, SPARK_4])

acceptance = [pytest.mark.acceptance, pytest.mark.timeout(900)]
yarn = [pytest.mark.yarn, pytest.mark.timeout(900)]

JOB = """\
name: shouting
code: code
entrypoint: main.py
parameters: {times: 2, answer: , end: 0}
environment: %s
"""

MAIN = """\
import argparse, json, sys
from pyspark.sql import SparkSession
from shop.words import shouted

parser = argparse.ArgumentParser()
for name in ("--times", "--answer", "--end"):
    parser.add_argument(name)
asked = parser.parse_args()
spark = SparkSession.builder.getOrCreate()
told = spark.sparkContext.parallelize([("hello", int(asked.times))], 1).map(lambda each: shouted(*each)).collect()
conf = spark.sparkContext.getConf()
ours = {name: conf.get(f"spark.envpack.{name}") for name in ("job", "code", "environment")}
with open(asked.answer, "w") as file:
    json.dump({"told": told, **ours}, file)
print("the driver has", ours["code"], ours["environment"])
sys.exit(int(asked.end))
"""

SLEEPING = """\
import time
from pyspark.sql import SparkSession

SparkSession.builder.getOrCreate()
time.sleep(60)
"""

WORDS = """\
import sys
import pandas
from shop.plain import sign

def shouted(word, times):
    return [word.upper() + sign.MARK * times, pandas.__version__, sys.executable]
"""


def written(desk: JobDesk, built: Any) -> None:
    """Write the code base and its job file."""
    code = desk.home / "code"
    (code / "shop" / "plain").mkdir(parents=True, exist_ok=True)
    (code / "main.py").write_text(MAIN)
    (code / "shop" / "__init__.py").write_text("")
    (code / "shop" / "words.py").write_text(WORDS)
    (code / "shop" / "plain" / "sign.py").write_text("MARK = '!'\n")
    desk.desk.write("job.yaml", JOB % built["reference"])


def submit(desk: JobDesk, spark: Spark | None, *options: str) -> Ran:
    """Submit the job with a Spark on PATH."""
    answer = ("--set", f"answer={desk.home / 'told.json'}")
    return desk.desk.run("submit", *answer, *options, **(spark.environment if spark else {}))


def check_told(desk: JobDesk, ran: Ran, built: Any) -> dict[str, Any]:
    """Check that the job ran in the release with the code that was sent, and that its output names both."""
    assert ran.code == 0, ran.err[-8000:]
    told: dict[str, Any] = json.loads((desk.home / "told.json").read_text())
    (desk.home / "told.json").unlink()
    (word, pandas, executable) = told["told"][0]
    assert word == "HELLO!!"
    assert pandas == {each["name"]: each["version"] for each in built["packages"]}["pandas"]
    assert "/bin/python" in executable
    assert told["environment"].partition("@")[2] == built["digest"][:16]
    record = history(desk)[0]
    assert (record["code"], record["state"]) == (told["code"], "succeeded")
    return told


def history(desk: JobDesk) -> list[dict[str, Any]]:
    """Return the submissions, the newest first."""
    told: list[dict[str, Any]] = desk.desk.run("job", "history", "--output", "json").json()["jobs"]
    return sorted(told, key=lambda each: each["submitted"], reverse=True)


class TestSpark:
    """Without YARN."""

    pytestmark = acceptance

    @both_sparks
    def test_local_cluster_development_then_pinned(
        self, version: str, spark_job: JobDesk, spark_of: Callable[[str], Spark]
    ) -> None:
        built, spark = spark_job.build(version, "standalone"), spark_of(version)
        written(spark_job, built)
        chosen = ("--launcher", "standalone", "--master", LOCAL_CLUSTER)
        ran = submit(spark_job, spark, *chosen)
        told = check_told(spark_job, ran, built)
        assert f"the driver has {told['code']} {told['environment']}\n" in ran.out
        (spark_job.home / "code" / "main.py").write_text("raise SystemExit('not this one')")
        pinned = ("--pinned", "--code", told["code"], "--env", built["reference"])
        assert check_told(spark_job, submit(spark_job, spark, *chosen, *pinned), built)["code"] == told["code"]

    @both_sparks
    def test_a_standalone_master_and_the_printed_command(
        self, version: str, spark_job: JobDesk, spark_of: Callable[[str], Spark], tmp_path: Path
    ) -> None:
        built, spark = spark_job.build(version, "standalone"), spark_of(version)
        written(spark_job, built)
        with spark.standalone(tmp_path) as master:
            chosen = ("--launcher", "standalone", "--master", master)
            ran = submit(spark_job, spark, *chosen)
            check_told(spark_job, ran, built)
            assert "application app-" in ran.err
            printed = submit(spark_job, spark, *chosen, "--dry-run").out
            done = spark.shell(printed, spark_job.home)
        assert done.returncode == 0, done.stderr[-4000:]
        assert "the driver has" in done.stdout

    @both_sparks
    def test_local_mode_and_a_job_that_fails(
        self, version: str, spark_job: JobDesk, spark_of: Callable[[str], Spark]
    ) -> None:
        built, spark = spark_job.build(version, "standalone"), spark_of(version)
        written(spark_job, built)
        check_told(spark_job, submit(spark_job, spark, "--launcher", "local", "--master", "local[2]"), built)
        failed = submit(spark_job, spark, "--launcher", "local", "--set", "end=7")
        assert failed.code == 7, failed.err[-4000:]
        assert "failed: exit code 7" in failed.err
        assert (history(spark_job)[0]["state"], history(spark_job)[0]["exit_code"]) == ("failed", 7)


class TestYarn:
    """On a real YARN."""

    pytestmark = yarn

    @both_sparks
    @pytest.mark.parametrize("mode", ["cluster", "client"])
    def test_development_then_pinned(
        self, mode: str, version: str, yarn_job: JobDesk, spark_on_yarn: Callable[[str], Spark]
    ) -> None:
        built, spark = yarn_job.build(None, f"yarn-{mode}"), spark_on_yarn(version)
        written(yarn_job, built)
        ran = submit(yarn_job, spark, "--launcher", f"yarn-{mode}")
        told = check_told(yarn_job, ran, built)
        assert history(yarn_job)[0]["application"].startswith("application_")
        pinned = ("--pinned", "--code", told["code"], "--env", built["reference"])
        check_told(yarn_job, submit(yarn_job, spark, "--launcher", f"yarn-{mode}", *pinned), built)

    def test_a_failed_job_and_a_refused_queue(
        self, yarn_job: JobDesk, spark_on_yarn: Callable[[str], Spark]
    ) -> None:
        built, spark = yarn_job.build(None, "yarn-cluster"), spark_on_yarn(SPARK_3)
        written(yarn_job, built)
        failed = submit(yarn_job, spark, "--launcher", "yarn", "--set", "end=7")
        assert failed.code == 7, failed.err[-8000:]
        assert "failed: exit code 7" in failed.err
        path = yarn_job.home / "job.yaml"
        path.write_text(path.read_text() + "resources: {queue: nowhere}\n")
        refused = submit(yarn_job, spark, "--launcher", "yarn")
        assert refused.code != 0
        assert "nowhere" in refused.err.splitlines()[-1], refused.err[-3000:]

    def test_an_application_that_cannot_be_killed_outlives_its_client_and_is_named(
        self, yarn_job: JobDesk, spark_on_yarn: Callable[[str], Spark]
    ) -> None:
        built, spark = yarn_job.build(None, "yarn-cluster"), spark_on_yarn(SPARK_3)
        written(yarn_job, built)
        (yarn_job.home / "code" / "main.py").write_text(SLEEPING)
        answer = ("--set", "answer=none", "--launcher", "yarn")
        process = yarn_job.desk.start("submit", *answer, "--kill-on-interrupt", **spark.environment)
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("state RUNNING"):
                    break
            process.terminate()
            _, rest = process.communicate(timeout=120)
        finally:
            process.kill()
        # There is no `yarn` on PATH, and this ResourceManager does not say its own port.
        assert process.returncode == 14, rest
        assert "hint: kill it with `yarn application -kill application_" in rest
        assert history(yarn_job)[0]["state"] == "submitted"

    def test_livy_runs_the_job_and_tells_that_it_failed(
        self, livy_of: Callable[[str], Livy], yarn_job: JobDesk
    ) -> None:
        built = yarn_job.build(None, "livy-batch")
        written(yarn_job, built)
        server = ("--launcher", "livy-batch", "--server", livy_of(SPARK_3).url)
        check_told(yarn_job, submit(yarn_job, None, *server), built)
        failed = submit(yarn_job, None, *server, "--set", "end=7")
        assert failed.code == 7, failed.err[-8000:]


class TestOperator:
    """Against the operator's own schema."""

    pytestmark = acceptance

    def resource(self, home: Path) -> str:
        """Return what `--dry-run` prints for a job that says all there is to say."""
        site = site_at(home)
        job = site.home / "job.yaml"
        more = "spark: '3.5'\nconf: {spark.x: '1'}\nenv: {STAGE: test}\ntimeout: 2h\n"
        more += "resources: {executors: 3, driver-memory: 2g, driver-cores: 1, executor-cores: 2}\n"
        job.write_text(job.read_text() + more + "kubernetes: {namespace: jobs, image: i, service-account: spark}\n")
        return spark_operator.text(planned_on_s3(site))

    @pytest.mark.parametrize("verb", ["apply", "create"])
    def test_a_real_kubectl_takes_the_resource(self, verb: str, tmp_path: Path) -> None:
        text = self.resource(tmp_path / "work")
        with kubernetes.knowing_spark_applications() as address:
            command = ["kubectl", "--server", address, verb, "--dry-run=client", "--validate=false", "-f", "-"]
            done = subprocess.run(
                [*command, "-o", "json"],
                input=text,
                capture_output=True,
                text=True,
                check=False,
                env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            )
        assert done.returncode == 0, done.stderr
        taken, made = json.loads(done.stdout), yaml.safe_load(text)
        assert (taken["kind"], taken["spec"]) == ("SparkApplication", made["spec"])
        assert taken["metadata"]["namespace"] == "jobs"

    def test_the_resource_is_a_spark_application(self, tmp_path: Path) -> None:
        made = yaml.safe_load(self.resource(tmp_path / "work"))
        schema = operator_crd.schema()
        jsonschema.validate(made, schema)
        made["spec"]["archives"] = ["x"]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(made, schema)
