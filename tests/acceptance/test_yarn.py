"""A real YARN runs a pandas_udf in a real release, submitted with exactly the settings that envpack prints."""

from __future__ import annotations

import json
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

pytestmark = pytest.mark.acceptance

SPARK_3 = "3.5.6"
SPARK_4 = "4.0.2"

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
variables: {variables}
"""

VARIABLES = {
    "JOB_MODE": "it's:$HOME;fast",
    "JOB_QUOTE": 'a "b" c',
    "JOB_SLASH": r"a\b `id -u` \$PWD <LOG_DIR> {{PWD}}",
}

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
        "localized": known and [packed, known.st_ino, known.st_mtime_ns, oct(known.st_mode)],
    }

@pandas_udf("string")
def probe(values):
    import json
    return values.map(lambda _: json.dumps(seen()))

rows = spark.range(4).select(probe("id")).distinct().collect()
answer = {"driver": seen(), "executors": [json.loads(row[0]) for row in rows]}
Path(sys.argv[1]).write_text(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, channel: Channel) -> Desk:
    """A person's directory with the environment's file and the job."""
    desk = desk_at(tmp_path_factory.mktemp("yarn") / "a desk", channel, cache_directory() / "envpack")
    desk.write(
        "yarn-job.yml",
        ENVIRONMENT.format(minor=versions.dotted(versions.minor(channel.python)), variables=json.dumps(VARIABLES)),
    )
    desk.write("job.py", JOB)
    return desk


@pytest.fixture(scope="module")
def bucket(moto_s3: S3Server) -> str:
    return moto_s3.new_bucket()


def run(desk, spark, yarn, command, out):
    done = spark.shell(command, desk.home)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr[-20_000:]}\n{yarn.logs()}"
    return json.loads(out.read_text())


@pytest.mark.parametrize("store", ["file", "s3a"])
@pytest.mark.parametrize("archive_format", ["tar.gz", "zip"])
@pytest.mark.parametrize("mode", ["cluster", "client"])
@pytest.mark.parametrize("version", [SPARK_3, SPARK_4])
def test_matrix(version, mode, archive_format, store, desk, spark_of, yarn_of, moto_s3, bucket, tmp_path):
    import time

    t = time.time()
    yarn = yarn_of(version)
    spark = yarn.joined_by(spark_of(version))
    print("YARN", time.time() - t)
    t = time.time()
    variables = moto_s3.variables() if store == "s3a" else {}
    where = ["--store", f"s3://{bucket}/releases"] if store == "s3a" else []
    ran = desk.run(
        "build",
        "yarn-job.yml",
        "--format",
        archive_format,
        "--spark",
        version,
        "--launcher",
        f"yarn-{mode}",
        *where,
        **variables,
    )
    print(ran.err)
    assert ran.code == 0, ran.err
    print("BUILD", time.time() - t)
    t = time.time()
    out = tmp_path / "answer.json"
    command = f"spark-submit --master yarn --deploy-mode {mode} \\\n{ran.out.rstrip()} \\\njob.py {out}"
    print(command)
    a = run(desk, spark, yarn, command, out)
    print("RUN", time.time() - t)
    t = time.time()
    for x in [a["driver"], *a["executors"]]:
        v = x.pop("variables")
        (v.keys() if 0 else 0)
        print(
            json.dumps(x, indent=1),
            {
                k: v.get(k)
                for k in (
                    "JOB_MODE",
                    "JOB_QUOTE",
                    "JOB_SLASH",
                    "SSL_CERT_FILE",
                    "HOME",
                    "PYSPARK_PYTHON",
                    "PYTHONPATH",
                    "PWD",
                )
            },
        )
