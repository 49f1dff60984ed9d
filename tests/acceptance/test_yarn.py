"""A real YARN runs a pandas_udf in a real release, submitted with exactly the text that envpack prints."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from envpack.spark import versions
from tests.support.cache import cache_directory
from tests.support.command import Desk, desk_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.channel import Channel
    from tests.support.s3 import S3Server
    from tests.support.spark import Spark
    from tests.support.yarn import Yarn

pytestmark = [pytest.mark.yarn, pytest.mark.timeout(900)]

SPARK_3 = "3.5.6"
SPARK_4 = "4.0.2"

NAMES = ("python", "pandas", "pyarrow", "numpy")

ENVIRONMENT = """\
name: yarn-job
dependencies:
- python={minor}
- pip:
  - pandas >=2.2.3, <3
  - numpy >=1.26, <2 ; python_version < "3.13"
  - numpy >=2.1, <3 ; python_version >= "3.13"
  - pyarrow >=15, <19
  - setuptools <81 ; python_version >= "3.12"
variables:
  JOB_MODE: "it's a nightly run; fast"
"""

JOB = """\
import json, sys
from pathlib import Path
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf

spark = SparkSession.builder.getOrCreate()

def seen():
    import os, platform, sys
    import numpy, pandas, pyarrow
    packed = os.path.realpath("environment/bin/python")
    known = os.stat(packed) if os.path.exists(packed) else None
    return {
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
        "localized": known and [packed, known.st_ino, known.st_mtime_ns, known.st_mode & 0o7777],
    }

@pandas_udf("string")
def probe(values):
    import json
    return values.map(lambda _: json.dumps(seen()))

executor = json.loads(spark.range(1).select(probe("id")).first()[0])
Path(sys.argv[1]).write_text(json.dumps({"driver": seen(), "executor": executor}))
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, channel: Channel) -> Desk:
    """A person's directory with the environment's file and the job."""
    desk = desk_at(tmp_path_factory.mktemp("yarn") / "a desk", channel, cache_directory() / "envpack")
    desk.write("yarn-job.yml", ENVIRONMENT.format(minor=versions.dotted(versions.minor(channel.python))))
    desk.write("job.py", JOB)
    return desk


@pytest.fixture(scope="module")
def s3_desk(desk: Desk, moto_s3: S3Server) -> Desk:
    """The same directory, whose releases go to a bucket of their own."""
    store = f"s3://{moto_s3.new_bucket()}/releases"
    return replace(desk, environment={**desk.environment, **moto_s3.variables(), "ENVPACK_STORE": store})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a job saw and what its spark-submit said."""

    driver: Any
    executor: Any
    log: str

    @property
    def localized(self) -> Any:
        """Path, inode, time and permissions of the Python that the node unpacked."""
        return self.executor["localized"]


@dataclass(frozen=True, kw_only=True)
class Submitter:
    """A person with a shell, envpack and a Spark that knows a YARN."""

    desk: Desk
    spark: Spark
    yarn: Yarn
    version: str

    def run(self, archive_format: str, mode: str, *options: str) -> Answer:
        """Build the release or find that it is there, paste what envpack prints, and check what the job saw."""
        launcher = ("--launcher", f"yarn-{mode}")
        building = ("yarn-job.yml", "--format", archive_format, "--spark", self.version, *launcher)
        built = self.desk.build(*building)
        printed = self.desk.run("build", *building)
        assert printed.code == 0, printed.err
        answer = self._submit(printed.out.rstrip("\n"), mode, *options)
        packed = {package["name"]: package["version"] for package in built["packages"]}
        _check_inside(answer.executor, packed)
        if mode == "cluster":
            _check_inside(answer.driver, packed)
            assert answer.driver["localized"] == answer.localized
        else:
            assert "/environment/" not in answer.driver["executable"]
            assert answer.driver["versions"]["pandas"] != packed["pandas"]
        return answer

    def _submit(self, text: str, mode: str, *options: str) -> Answer:
        result = self.desk.home / "answer.json"
        result.unlink(missing_ok=True)
        head = shlex.join(["spark-submit", "--master", "yarn", "--deploy-mode", mode, *options])
        command = f"{head} \\\n{text} \\\njob.py {shlex.quote(str(result))}"
        done = self.spark.shell(command, self.desk.home)
        assert done.returncode == 0, f"{command}\n{done.stderr[-20_000:]}\n{self.yarn.logs()}"
        return Answer(**json.loads(result.read_text()), log=done.stderr)


def _check_inside(process: Any, packed: dict[str, str]) -> None:
    """Check that a process ran in the release and nowhere else, as YARN starts it."""
    assert process["executable"].startswith(f"{process['directory']}/environment/bin/python")
    assert process["versions"] == {name: packed[name] for name in NAMES}
    assert all(module.startswith("environment/lib/") for module in process["modules"])
    assert process["variables"]["JOB_MODE"] == "it's a nightly run; fast"
    assert process["variables"]["HOME"] == "/home/"


@pytest.fixture
def submitter_of(
    spark_of: Callable[[str], Spark], yarn_of: Callable[[str], Yarn]
) -> Callable[[str, Desk], Submitter]:
    """Give a function that returns who submits to the YARN for a Spark version from a desk."""

    def submitter_of(version: str, desk: Desk) -> Submitter:
        yarn = yarn_of(version)
        return Submitter(desk=desk, spark=yarn.joined_by(spark_of(version)), yarn=yarn, version=version)

    return submitter_of


@pytest.mark.parametrize("archive_format", ["tar.gz", "zip"])
def test_spark_3_runs_a_release_of_a_directory_in_both_modes(
    archive_format: str, desk: Desk, submitter_of: Callable[[str, Desk], Submitter]
) -> None:
    submitter = submitter_of(SPARK_3, desk)
    for mode in ("cluster", "client"):
        path, *_, permissions = submitter.run(archive_format, mode).localized
        assert "/usercache/" in path
        assert permissions == 0o500


@pytest.mark.parametrize("archive_format", ["tar.gz", "zip"])
def test_spark_3_runs_a_release_of_s3_in_both_modes_and_the_node_unpacks_it_once(
    archive_format: str, s3_desk: Desk, submitter_of: Callable[[str, Desk], Submitter]
) -> None:
    submitter = submitter_of(SPARK_3, s3_desk)
    bucket = s3_desk.environment["ENVPACK_STORE"].split("/")[2]
    staging = ("--conf", f"spark.yarn.stagingDir=s3a://{bucket}/staging")
    first, second = (submitter.run(archive_format, mode, *staging) for mode in ("cluster", "client"))
    assert f"Not copying s3a://{bucket}/releases/yarn-job/" in first.log
    path, *_, permissions = first.localized
    assert "/usercache/" not in path
    assert permissions == 0o555
    assert second.localized == first.localized


def test_spark_4_runs_a_release_of_s3_that_is_copied_to_another_staging_directory(
    s3_desk: Desk, submitter_of: Callable[[str, Desk], Submitter]
) -> None:
    answer = submitter_of(SPARK_4, s3_desk).run("tar.gz", "cluster")
    assert f"Uploading resource {s3_desk.environment['ENVPACK_STORE'].replace('s3:', 's3a:')}/" in answer.log
    assert "/usercache/" in answer.localized[0]


def test_spark_4_runs_a_zip_of_a_directory_in_client_mode(
    desk: Desk, submitter_of: Callable[[str, Desk], Submitter]
) -> None:
    submitter_of(SPARK_4, desk).run("zip", "client")
