"""One job for every launcher: a pandas_udf in a real release, whose processes tell where they run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envpack.spark import versions
from tests.support.cache import cache_directory
from tests.support.command import Desk, as_pypi_was, desk_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.channel import Channel
    from tests.support.s3 import S3Server
    from tests.support.spark import Spark

SPARK_3 = "3.5.7"
"""One whose jar for Spark Connect, which PyPI's Spark 3 lacks, is on every mirror of Maven Central."""

SPARK_4 = "4.0.2"

MODE = "it's:$HOME;fast"
"""A value with what a shell would change, and without what `--output oneline` refuses."""

HARD_MODE = MODE + ' "q" \\back `tick` {{x}} <LOG_DIR>'
"""A value with everything that a shell or YARN would change."""

ACTIVATED = {
    "ACTIVATED_HOME": "./environment/share/activated",
    "ACTIVATED_LEVEL": "7",
    "SSL_CERT_FILE": "./environment/ssl/cacert.pem",
}
"""What activation would set: for the channel's package `activated`, and for the certificates beside its OpenSSL."""

_ANSWER = "answer.json"

_ENVIRONMENT = """\
name: job
dependencies:
- python={python}
- activated
- pip:
  - pandas >=2.2.3, <3
  - numpy >=1.26, <2 ; python_version < "3.13"
  - numpy >=2.1, <3 ; python_version >= "3.13"
  - pyarrow >=15, <19
  - setuptools <81 ; python_version >= "3.12"
variables:
  JOB_MODE: {mode}
"""

_JOB = """\
import json
from pathlib import Path
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf

spark = SparkSession.builder.getOrCreate()
{prepare}

def seen():
    import os, platform, sys
    import numpy, pandas, pyarrow
    program = os.path.realpath(sys.executable)
    known = os.stat(program)
    return {{
        "executable": sys.executable,
        "directory": os.getcwd(),
        "versions": {{
            "python": platform.python_version(),
            "pandas": pandas.__version__,
            "pyarrow": pyarrow.__version__,
            "numpy": numpy.__version__,
        }},
        "modules": [os.path.abspath(module.__file__) for module in (os, pandas, pyarrow, numpy)],
        "variables": dict(os.environ),
        "program": [program, known.st_ino, known.st_mtime_ns, known.st_mode & 0o7777],
    }}

@pandas_udf("string")
def probe(values):
    import json
    return values.map(lambda _: json.dumps(seen()))

rows = spark.range({rows}).select(probe("id").alias("seen")).collect()
executors = [json.loads(told) for told in sorted({{row[0] for row in rows}})]
Path({answer!r}).write_text(json.dumps({{"driver": seen(), "executors": executors}}))
"""


@dataclass(frozen=True, kw_only=True)
class Process:
    """What a driver or a Python worker told about itself."""

    executable: str
    directory: str
    """Its working directory."""
    versions: Mapping[str, str]
    """Of Python and of the packages it uses, by name."""
    modules: Sequence[str]
    """Files of what it imported."""
    variables: Mapping[str, str]
    """All its environment variables."""
    program: tuple[str, int, int, int]
    """Path without links, inode, time in nanoseconds and permissions of its Python."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a job told, and what the command that submitted it said meanwhile."""

    driver: Process
    executors: Sequence[Process]
    log: str = ""


@dataclass(frozen=True, kw_only=True)
class JobDesk:
    """A person's directory with the environment's file, the job and a store for its releases."""

    desk: Desk
    mode: str
    """The value of the environment's variable JOB_MODE."""

    @property
    def home(self) -> Path:
        return self.desk.home

    @property
    def bucket(self) -> str:
        """The bucket of its releases, when they are on S3."""
        return self.desk.environment["ENVPACK_STORE"].split("/")[2]

    def on_s3(self, s3: S3Server) -> JobDesk:
        """Return the same directory with a new bucket, which holds the releases that were built so far."""
        bucket = s3.new_bucket()
        for path in self.desk.store.rglob("*"):
            if path.is_file():
                s3.client().upload_file(str(path), bucket, f"releases/{path.relative_to(self.desk.store)}")
        variables = {**s3.variables(), "ENVPACK_STORE": f"s3://{bucket}/releases"}
        return replace(self, desk=replace(self.desk, environment={**self.desk.environment, **variables}))

    def build(self, spark: str | None, launcher: str, archive_format: str = "tar.gz") -> Any:
        """Build the release, for one Spark or any, or find that it is there; return what `--output json` says."""
        return self.desk.build("job.yml", *_options(spark, launcher, archive_format))

    def built_text(self, spark: str | None, launcher: str, archive_format: str = "tar.gz") -> str:
        """Return what `envpack build` prints."""
        return self.printed("build", "job.yml", *_options(spark, launcher, archive_format))

    def printed(self, *arguments: str) -> str:
        """Return what envpack prints, less its last line ends, as a shell's `$(...)` does."""
        ran = self.desk.run(*arguments)
        assert ran.code == 0, ran.err
        return ran.out.rstrip("\n")

    def program(self, *prepare: str, rows: int = 1, answer: str = _ANSWER) -> str:
        """Return the job; `prepare` are lines that the person pastes once there is a session.

        It writes what its driver and the workers of its rows tell to the file `answer` of this directory.
        """
        path = str(self.home / answer)
        return _JOB.format(prepare="\n".join(prepare), rows=rows, answer=path)

    def write_job(self, *prepare: str, rows: int = 1, name: str = "job.py", answer: str = _ANSWER) -> Path:
        """Write the job into a file of this directory, by default over the one that is there."""
        return self.desk.write(name, self.program(*prepare, rows=rows, answer=answer))

    def run(self, spark: Spark, command: str, name: str = "job.py") -> Answer:
        """Run a job of this directory; `command` is shell text with all that stands before its file."""
        command = f"{command} \\\n{name}"
        done = spark.shell(command, self.home)
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-20_000:]}"
        return self.answer(done.stderr)

    def answer(self, log: str = "", name: str = _ANSWER) -> Answer:
        """Take what a job wrote."""
        told = json.loads((self.home / name).read_text())
        (self.home / name).unlink()
        executors = [Process(**process) for process in told["executors"]]
        return Answer(driver=Process(**told["driver"]), executors=executors, log=log)

    def check_inside(self, process: Process, built: Any, root: str = "./environment") -> None:
        """Check that a process ran in the release and nowhere else, with the release's variables.

        `root` is where the archive is unpacked, as its working directory sees it.
        """
        check_python(process, built, root)
        self.check_variables(process, root)

    def check_variables(self, process: Process, root: str = "./environment") -> None:
        """Check that a process sees the variables that activating the release at `root` would set."""
        wanted = {name: value.replace("./environment", root) for name, value in ACTIVATED.items()}
        wanted["JOB_MODE"] = self.mode
        assert {name: process.variables.get(name) for name in wanted} == wanted


def job_desk(home: Path, channel: Channel, mode: str = MODE) -> JobDesk:
    """Make a directory with `job.yml` and `job.py`; its cache outlives the tests, and what it keeps is reused."""
    desk = as_pypi_was(desk_at(home, channel, cache_directory() / "envpack"))
    python = versions.dotted(versions.minor(channel.python))
    desk.write("job.yml", _ENVIRONMENT.format(python=python, mode=json.dumps(mode)))
    work = JobDesk(desk=desk, mode=mode)
    work.write_job()
    return work


@pytest.fixture(scope="session")
def spark_job(tmp_path_factory: pytest.TempPathFactory, full_channel: Channel) -> JobDesk:
    """A directory for jobs that no YARN starts."""
    return job_desk(tmp_path_factory.mktemp("spark") / "a desk", full_channel)


@pytest.fixture(scope="session")
def yarn_job(tmp_path_factory: pytest.TempPathFactory, full_channel: Channel) -> JobDesk:
    """A directory for jobs on YARN, whose shell must not change the value of JOB_MODE."""
    return job_desk(tmp_path_factory.mktemp("yarn") / "a desk", full_channel, HARD_MODE)


@pytest.fixture(scope="session")
def yarn_job_on_s3(yarn_job: JobDesk, moto_s3: S3Server) -> JobDesk:
    """The same directory with a bucket, which holds its release in both formats."""
    for archive_format in ("tar.gz", "zip"):
        yarn_job.build(None, "yarn-cluster", archive_format)
    return yarn_job.on_s3(moto_s3)


def packed(built: Any) -> dict[str, str]:
    """Return the versions of all packages in a release, by name; `built` is `envpack build`'s JSON."""
    return {package["name"]: package["version"] for package in built["packages"]}


def check_python(process: Process, built: Any, root: str = "./environment") -> None:
    """Check that a process ran in the release's Python and imported what is packed with it."""
    unpacked = os.path.normpath(Path(process.directory, root))
    assert os.path.normpath(process.executable).startswith(f"{unpacked}/bin/python")
    assert process.versions == {name: packed(built)[name] for name in process.versions}
    assert all(module.startswith(f"{unpacked}/lib/") for module in process.modules), process.modules


def check_outside(process: Process, built: Any) -> None:
    """Check that a driver did not run in the release but in a Python of the machine that submits."""
    assert "/environment/" not in process.executable
    assert process.versions["pandas"] != packed(built)["pandas"]


def _options(spark: str | None, launcher: str, archive_format: str) -> tuple[str, ...]:
    chosen = () if spark is None else ("--spark", spark)
    # An archive that verify would refuse fails the job as well.
    return ("--format", archive_format, "--launcher", launcher, "--no-verify", *chosen)
