"""Real runs of real Sparks that provoke what `envpack explain` finds, one at a time, and their event logs.

`python -m tests.support.event_logs` makes the small logs of tests/data/event_logs anew (Java, ten minutes).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from envpack.explain import events, logs
from tests.support.job import SPARK_3, SPARK_4
from tests.support.missing import missing
from tests.support.spark import spark_at

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.spark import Spark

DATA = Path(__file__).parents[1] / "data" / "event_logs"
"""The small logs, trimmed: `FINDING-SPARK.jsonl.zst`."""

_OF_THE_RUN = (
    "spark.app.initial",
    "spark.driver.host",
    "spark.driver.port",
    "spark.driver.extraJava",
    "spark.executor.extraJava",
    "spark.hadoop.",
    "spark.repl.",
    "spark.sql.warehouse",
    "spark.eventLog.dir",
    "spark.ui.",
)
"""Properties of this machine, and of what Spark sets itself."""

CONTROL = "control"
"""The run in which nothing is to be found."""

_HEAD = """\
import os, time
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, pandas_udf, udf
spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext
"""

_DOUBLE = """\
@pandas_udf("long")
def double(values):
    return values * 2
"""


def _udf(name: str, body: str, rows: str = "4") -> str:
    """Return a program that gives rows, the arguments of `range`, to a plain function of some lines."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f'@udf("long")\ndef {name}(value):\n{lines}spark.range({rows}).select({name}("id")).collect()\n'


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One application that has one thing wrong with it."""

    finds: str
    """The finding that must be there, or `control`."""
    job: str
    """Its program, after a session was made."""
    conf: Mapping[str, str] = field(default_factory=dict)
    cluster: str = "local-cluster[1,2,1024]"
    """Executors with processes of their own: how many, cores and MB of each."""
    sparks: tuple[str, ...] = (SPARK_4,)
    fails: bool = False
    """Whether the application ends with an error."""
    modules: Mapping[str, str] = field(default_factory=dict)
    """Modules that are sent with it, by name."""
    other_python: bool = False
    """Whether the workers have another Python than the driver."""


_BOTH = (SPARK_3, SPARK_4)

_ALL = (
    Scenario(
        finds=CONTROL,
        job=_DOUBLE + 'print(spark.range(0, 400_000, 1, 4).select(double("id")).distinct().count())\n',
        conf={"spark.sql.shuffle.partitions": "4"},
        sparks=_BOTH,
    ),
    Scenario(
        finds="no-interpreter",
        job=_DOUBLE + 'spark.range(4).select(double("id")).collect()\n',
        conf={
            "spark.pyspark.python": "./environment/bin/python",
            "spark.pyspark.driver.python": "python",
        },
        sparks=_BOTH,
        fails=True,
    ),
    Scenario(
        finds="python-differs",
        job=_DOUBLE + 'spark.range(4).select(double("id")).collect()\n',
        sparks=_BOTH,
        other_python=True,
        fails=True,
    ),
    Scenario(
        finds="module-missing",
        job=_udf("scaled", "import not_packed.scaling\nreturn value"),
        sparks=_BOTH,
        fails=True,
    ),
    Scenario(
        finds="binary-misfit",
        job=_udf("solved", 'import ctypes\nctypes.CDLL("libopenblas_of_another_machine.so.0")\nreturn value'),
        fails=True,
    ),
    Scenario(
        finds="worker-crashed",
        job=_udf("broken", "os._exit(137)"),
        sparks=_BOTH,
        fails=True,
    ),
    Scenario(
        finds="container-killed",
        job="""\
import signal
once = os.path.abspath("killed-once")
@udf("long")
def hungry(value):
    import os, signal
    if not os.path.exists(once):
        open(once, "w").close()
        with open(f"/proc/{os.getppid()}/stat") as stat:
            os.kill(int(stat.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
    return value
spark.range(0, 8, 1, 4).select(hungry("id")).collect()
""",
        sparks=_BOTH,
    ),
    Scenario(
        finds="python-limit",
        job=_udf("large", "return len(bytearray(1 << 30))", "2"),
        conf={"spark.executor.pyspark.memory": "512m"},
        fails=True,
    ),
    Scenario(
        finds="python-memory-tight",
        job=_udf(
            "holds", "held = bytearray(os.urandom(1 << 20)) * 380\ntime.sleep(8)\nreturn len(held)", "0, 1, 1, 1"
        ),
        conf={
            "spark.executor.processTreeMetrics.enabled": "true",
            "spark.executor.metrics.pollingInterval": "500ms",
            "spark.executor.heartbeatInterval": "1s",
            "spark.executor.memoryOverhead": "384m",
            "spark.eventLog.logStageExecutorMetrics": "true",
        },
    ),
    Scenario(
        finds="slow-worker-start",
        job="""\
from slow_to_import import double
spark.range(0, 80_000, 1, 8).select(udf(double, "long")("id")).collect()
""",
        modules={"slow_to_import": "import time\ntime.sleep(6)\ndef double(value):\n    return value * 2\n"},
        cluster="local-cluster[1,8,1024]",
    ),
    Scenario(
        finds="no-worker-reuse",
        job=_DOUBLE + 'spark.range(0, 40_000, 1, 40).select(double("id")).collect()\n',
        conf={"spark.python.worker.reuse": "false"},
        sparks=_BOTH,
    ),
    Scenario(
        finds="pickled-rows",
        job="""\
@udf("long")
def double(value):
    return value * 2
spark.range(0, 2_000_000, 1, 4).select(double("id")).distinct().count()
""",
        conf={"spark.sql.execution.pythonUDF.arrow.enabled": "false"},
        sparks=_BOTH,
    ),
    Scenario(
        finds="arrow-batch",
        job="""\
from pyspark.sql.functions import lit, repeat
@pandas_udf("long")
def length(values):
    return values.str.len()
spark.range(0, 3_000, 1, 1).select(length(repeat(col("id").cast("string"), 25_000))).collect()
""",
        cluster="local-cluster[1,1,2048]",
    ),
    Scenario(
        finds="small-tasks",
        job='spark.range(0, 60_000, 1, 6_000).write.format("noop").mode("append").save()\n',
        cluster="local-cluster[1,4,1024]",
    ),
    Scenario(
        finds="skewed-tasks",
        job="""\
def fit(group):
    time.sleep(9 if group["id"].iloc[0] == 0 else 0.05)
    return group
spark.range(12).selectExpr("id", "id % 12 AS key").groupBy("key").applyInPandas(fit, "id long, key long").collect()
""",
        conf={"spark.sql.shuffle.partitions": "24", "spark.sql.adaptive.enabled": "false"},
    ),
    Scenario(
        finds="ignored-setting",
        job=_DOUBLE + 'spark.range(4).select(double("id")).collect()\n',
        conf={"spark.executorEnv.PYSPARK_PYTHON": "./environment/bin/python"},
    ),
    Scenario(
        finds="garbage-collection",
        job="""\
rows = spark.range(0, 2_400_000, 1, 2).selectExpr("id % 2 AS key", "cast(id AS string) AS text")
for _ in range(12):
    rows.groupBy("key").agg({"text": "collect_list"}).selectExpr("sum(size(`collect_list(text)`))").collect()
""",
        conf={
            "spark.executor.memory": "512m",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.adaptive.enabled": "false",
        },
        cluster="local-cluster[1,2,512]",
    ),
    Scenario(
        finds="spill",
        job="""\
from pyspark.sql.functions import rand
rows = spark.range(0, 4_000_000, 1, 2).select(rand(1).alias("a"), "id")
rows.orderBy("a").write.format("noop").mode("append").save()
""",
        conf={"spark.memory.fraction": "0.05", "spark.sql.shuffle.partitions": "2"},
    ),
    Scenario(
        finds="idle-executors",
        job="""\
spark.range(0, 4, 1, 4).count()
@udf("long")
def patient(value):
    time.sleep(35)
    return value
spark.range(0, 1, 1, 1).select(patient("id")).collect()
""",
        cluster="local-cluster[4,1,1024]",
    ),
    Scenario(
        finds="failed-tasks",
        job="""\
def flaky(part):
    from pyspark import TaskContext
    context = TaskContext.get()
    time.sleep(0.5)
    if context.attemptNumber() < 2:
        raise ValueError("the service did not answer")
    return part
sc.parallelize(range(8), 8).mapPartitions(flaky).count()
""",
        cluster="local-cluster[1,4,1024]",
    ),
)

SCENARIOS = {scenario.finds: scenario for scenario in _ALL}


def run(scenario: Scenario, version: str, directory: Path, conf: Mapping[str, str] | None = None) -> Path:
    """Run a scenario with a real Spark in an empty directory; return its event log, a file or a directory."""
    logs = directory / "logs"
    logs.mkdir(parents=True)
    (directory / "job.py").write_text(_HEAD + scenario.job)
    spark = spark_at(directory / "spark", version)
    named = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": logs.as_uri(),
        **scenario.conf,
        **(conf or {}),
    }
    _submit(scenario, spark, named, directory)
    shutil.rmtree(directory / "spark", ignore_errors=True)
    (log,) = logs.iterdir()
    return log


def _submit(scenario: Scenario, spark: Spark, conf: Mapping[str, str], directory: Path) -> None:
    sent = []
    for name, text in scenario.modules.items():
        (directory / f"{name}.py").write_text(text)
        sent.append(f"{name}.py")
    command = ["spark-submit", "--master", scenario.cluster, *(["--py-files", ",".join(sent)] if sent else [])]
    command += [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    chosen = {"PYSPARK_PYTHON": _other_python(), "PYSPARK_DRIVER_PYTHON": "python"} if scenario.other_python else {}
    done = subprocess.run(
        [*command, "job.py"],
        cwd=directory,
        env={**spark.environment, **chosen},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode != 0) == scenario.fails, done.stderr[-8000:]


def _other_python() -> str:
    """Return a Python of this machine, on PATH or pyenv's, of another minor version than the driver's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    minors = [
        minor for minor in ("3.12", "3.10", "3.13") if minor != f"{sys.version_info[0]}.{sys.version_info[1]}"
    ]
    for minor in minors:
        for found in (*sorted(pyenv.glob(f"{minor}.*/bin/python")), shutil.which(f"python{minor}")):
            if found:
                return str(found)
    return missing("there is no second Python for workers that differ from the driver")


def trimmed(log: Path, home: str) -> bytes:
    """Return the lines of a real log, less what envpack does not read; `home` is where the run was."""
    lines = []
    for line in logs.lines(logs.find(str(log)), []):
        if not line.strip():
            continue
        event = events.event(line)
        if event is None:
            continue
        name = json.loads(line)["Event"]
        kept = json.loads(msgspec.json.encode(_smaller(event)))
        text = json.dumps({"Event": name, **kept}, separators=(",", ":"))
        lines.append(text.replace(home, "/jobs/run").replace(str(Path.home()), "/home/me"))
    return "\n".join(lines).encode() + b"\n"


def _smaller(event: events.Event) -> events.Event:
    """Return an event without metrics and properties that nothing looks at."""
    if isinstance(event, events.EnvironmentUpdate):
        kept = {name: value for name, value in event.spark_properties.items() if not name.startswith(_OF_THE_RUN)}
        event.spark_properties = kept
    if isinstance(event, events.TaskEnd):
        named = [each for each in event.task_info.accumulables if not (each.name or "").startswith("internal.")]
        event.task_info.accumulables = named
    if isinstance(event, events.StageEvent):
        event.stage_info.rdd_info = [rdd for rdd in event.stage_info.rdd_info if rdd.name == "PythonRDD"]
    return event


def write_small(log: Path, home: str, name: str) -> None:
    """Keep a log, trimmed, among the tests' data."""
    DATA.mkdir(parents=True, exist_ok=True)
    options: dict[int, int] = {zstd.CompressionParameter.compression_level: 19}
    (DATA / f"{name}.jsonl.zst").write_bytes(zstd.compress(trimmed(log, home), options=options))


def lines_of(name: str) -> list[bytes]:
    """Return the lines of a log that is kept, such as `control-4.0.2`."""
    return zstd.decompress((DATA / f"{name}.jsonl.zst").read_bytes()).splitlines()


def events_of(name: str) -> list[Any]:
    """Return the events of a log that is kept."""
    return [json.loads(line) for line in lines_of(name)]


CODECS = ("lz4", "snappy", "zstd")

_ENCODE = """\
import sys
from pyspark.sql import SparkSession
jvm = SparkSession.builder.getOrCreate()._jvm
conf = SparkSession.active().sparkContext._conf._jconf
data = open(sys.argv[1], "rb").read()
for name in sys.argv[3:]:
    codec = jvm.org.apache.spark.io.CompressionCodec.createCodec(conf, name)
    stream = codec.compressedOutputStream(jvm.java.io.FileOutputStream(f"{sys.argv[2]}.{name}"))
    stream.write(data)
    stream.close()
"""


def encode(plain: bytes, directory: Path) -> dict[str, bytes]:
    """Return a log as Spark's own codecs write it, by their names."""
    directory.mkdir(parents=True)
    (directory / "plain").write_bytes(plain)
    (directory / "encode.py").write_text(_ENCODE)
    spark = spark_at(directory / "spark", SPARK_3)
    command = ["spark-submit", "--master", "local[1]", "encode.py", "plain", str(directory / "log"), *CODECS]
    done = subprocess.run(command, cwd=directory, env=dict(spark.environment), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return {name: (directory / f"log.{name}").read_bytes() for name in CODECS}


QUICK = tuple(name for name in SCENARIOS if (DATA / f"{name}-{SCENARIOS[name].sparks[-1]}.jsonl.zst").exists())
"""Those whose logs are kept; 6,000 small tasks are too many for a small file."""


def main(names: Sequence[str]) -> None:
    """Make the small logs of these scenarios anew, from real runs; of all that are kept if none is named."""
    with tempfile.TemporaryDirectory() as directory:
        for name in names or QUICK:
            for version in SCENARIOS[name].sparks:
                home = Path(directory, f"{name}-{version}")
                write_small(run(SCENARIOS[name], version, home), str(home), f"{name}-{version}")
                sys.stdout.write(f"{name}-{version}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
