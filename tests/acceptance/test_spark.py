"""Real Sparks run a pandas_udf in a real release, started with exactly the settings that envpack prints."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from envpack.spark import versions
from tests.support.cache import cache_directory
from tests.support.command import Desk, desk_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.channel import Channel
    from tests.support.spark import Spark

pytestmark = pytest.mark.acceptance

SPARK_3 = "3.5.6"
SPARK_4 = "4.0.2"

LOCAL_CLUSTER = "local-cluster[1,1,1024]"

ENVIRONMENT = """\
name: spark-job
dependencies:
- python={minor}
- pip:
  - pandas >=2.2.3, <3
  - numpy >=1.26, <2 ; python_version < "3.13"
  - numpy >=2.1, <3 ; python_version >= "3.13"
  - pyarrow >=15, <19
  - setuptools <81 ; python_version >= "3.12"
variables:
  JOB_MODE: "it's:$HOME;fast"
"""

JOB = """\
import json, os, platform, sys
import pandas
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf

spark = SparkSession.builder.getOrCreate()

@pandas_udf("string")
def probe(values):
    import json, os, platform, ssl, sys
    import numpy, pandas, pyarrow
    seen = {
        "executable": sys.executable,
        "directory": os.getcwd(),
        "versions": {
            "python": platform.python_version(),
            "pandas": pandas.__version__,
            "pyarrow": pyarrow.__version__,
            "numpy": numpy.__version__,
        },
        "modules": [os.path.relpath(module.__file__) for module in (os, pandas, pyarrow, numpy)],
        "variables": dict(os.environ),
    }
    return values.map(lambda _: json.dumps(seen))

executors = [json.loads(row[0]) for row in spark.range(4).select(probe("id")).distinct().collect()]
print(json.dumps({"driver": {"executable": sys.executable, "pandas": pandas.__version__}, "executors": executors}))
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, channel: Channel) -> Desk:
    """A person's directory with the environment's file and the job."""
    desk = desk_at(tmp_path_factory.mktemp("spark") / "a desk", channel, cache_directory() / "envpack")
    desk.write("spark-job.yml", ENVIRONMENT.format(minor=versions.dotted(versions.minor(channel.python))))
    desk.write("job.py", JOB)
    return desk


def built_for(spark: str, desk: Desk, archive_format: str = "tar.gz") -> Any:
    """Build the release, or find that it is there, and return what `--output json` says."""
    return desk.build("spark-job.yml", "--format", archive_format, "--spark", spark, "--launcher", "standalone")


def printed(desk: Desk, *arguments: str) -> str:
    """Return what envpack prints, less its last line end, as a shell's `$(...)` does."""
    ran = desk.run(*arguments)
    assert ran.code == 0, ran.err
    return ran.out.rstrip("\n")


def answer_of(spark: Spark, command: str, desk: Desk) -> Any:
    """Run a shell command that submits the job and return what the job printed."""
    done = spark.shell(command, desk.home)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr[-20_000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def check(answer: Any, built: Any) -> None:
    """Check that executors ran in the release and nowhere else, and that the driver did not."""
    packed = {package["name"]: package["version"] for package in built["packages"]}
    assert answer["executors"]
    for executor in answer["executors"]:
        assert executor["executable"].startswith(f"{executor['directory']}/environment/bin/python")
        assert executor["versions"] == {name: packed[name] for name in ("python", "pandas", "pyarrow", "numpy")}
        assert all(module.startswith("environment/lib/") for module in executor["modules"])
        assert executor["variables"]["JOB_MODE"] == "it's:$HOME;fast"
        certificates = built["settings"]["conf"].get("spark.executorEnv.SSL_CERT_FILE")
        assert executor["variables"].get("SSL_CERT_FILE") == certificates
    assert "/environment/" not in answer["driver"]["executable"]
    assert answer["driver"]["pandas"] != packed["pandas"]


@pytest.mark.parametrize(
    ("version", "archive_format"), [(SPARK_3, "tar.gz"), (SPARK_4, "tar.gz"), (SPARK_4, "zip")]
)
def test_the_printed_text_pasted_into_a_shell_runs_the_job(
    version: str, archive_format: str, desk: Desk, spark_of: Callable[[str], Spark]
) -> None:
    spark = spark_of(version)
    built = built_for(version, desk, archive_format)
    text = printed(desk, "settings", built["reference"], "--launcher", "standalone", "--spark", version)
    command = f"spark-submit --master {LOCAL_CLUSTER} \\\n{text} \\\njob.py"
    check(answer_of(spark, command, desk), built)


def test_one_line_in_a_command_substitution_runs_the_job_on_a_standalone_cluster(
    desk: Desk, spark_of: Callable[[str], Spark], tmp_path: Path
) -> None:
    spark = spark_of(SPARK_3)
    built = built_for(SPARK_3, desk)
    settings = desk.command("settings", built["reference"], "--launcher", "standalone", "--output", "oneline")
    with spark.standalone(tmp_path) as master:
        command = f"spark-submit --master {master} $({shlex.join(settings)}) job.py"
        check(answer_of(spark, command, desk), built)


def test_a_properties_file_runs_the_job_on_a_standalone_cluster(
    desk: Desk, spark_of: Callable[[str], Spark], tmp_path: Path
) -> None:
    spark = spark_of(SPARK_4)
    built = built_for(SPARK_4, desk)
    properties = desk.write(
        "spark.conf", printed(desk, "settings", built["reference"], "--launcher", "standalone", "--output", "conf")
    )
    with spark.standalone(tmp_path) as master:
        command = f"spark-submit --master {master} --properties-file {properties.name} job.py"
        check(answer_of(spark, command, desk), built)


def test_the_environment_form_runs_the_job(desk: Desk, spark_of: Callable[[str], Spark]) -> None:
    spark = spark_of(SPARK_3)
    built = built_for(SPARK_3, desk)
    (form,) = built["settings"]["alternatives"]
    conf = [word for name, value in form["conf"].items() for word in ("--conf", f"{name}={value}")]
    words = ["spark-submit", "--master", LOCAL_CLUSTER, *form["arguments"], *conf, "job.py"]
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in form["env"].items())
    check(answer_of(spark, f"{variables} {shlex.join(words)}", desk), built)
