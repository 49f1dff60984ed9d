"""What Spark 4 runs in Python while it plans a query: data sources, and `analyze` of table functions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.spark import Spark

_PROGRAM = """\
import json, sys
from dataclasses import dataclass
from pathlib import Path
from pyspark.sql import SparkSession
from pyspark.sql.datasource import DataSource, DataSourceReader
from pyspark.sql.functions import lit, udf, udtf
from pyspark.sql.types import StructType
from pyspark.sql.udtf import AnalyzeResult

spark = SparkSession.builder.getOrCreate()
{prepare}

@udf("string")
def plain(_):
    return sys.executable

class Reader(DataSourceReader):
    def __init__(self, planner):
        self.planner = planner

    def read(self, partition):
        yield self.planner, sys.executable

class Pythons(DataSource):
    @classmethod
    def name(cls):
        return "pythons"

    def schema(self):
        return "planner string, worker string"

    def reader(self, schema):
        return Reader(sys.executable)

@dataclass
class Planned(AnalyzeResult):
    planner: str = ""

@udtf
class Analyzed:
    def __init__(self, planned):
        self.planner = planned.planner

    @staticmethod
    def analyze(_):
        columns = StructType().add("planner", "string").add("worker", "string")
        return Planned(schema=columns, planner=sys.executable)

    def eval(self, _):
        yield self.planner, sys.executable

def data_source():
    spark.dataSource.register(Pythons)
    return spark.read.format("pythons").load()

def told(query):
    try:
        return query().first().asDict()
    except Exception as error:
        return {{"error": str(error)}}

answer = {{
    "function": told(lambda: spark.range(1).select(plain("id").alias("worker"))),
    "data_source": told(data_source),
    "table_function": told(lambda: Analyzed(lit(1))),
}}
Path("planned.json").write_text(json.dumps(answer))
"""


@dataclass(frozen=True, kw_only=True)
class Pythons:
    """The Pythons that one query ran, or how it failed."""

    planner: str = ""
    """The one that took part in planning it."""
    worker: str = ""
    """The one that computed it."""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What queries of three kinds ran."""

    function: Pythons
    """An ordinary function, with no part in planning."""
    data_source: Pythons
    table_function: Pythons
    """One with `analyze`."""


def plan(spark: Spark, command: str, directory: Path, *prepare: str) -> Planned:
    """Run the queries in a directory; `command` is shell text with all that stands before the program.

    `prepare` are lines of Python for when there is a session.
    """
    (directory / "planning.py").write_text(_PROGRAM.format(prepare="\n".join(prepare)))
    done = spark.shell(f"{command} \\\nplanning.py", directory)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-20_000:]}"
    told = json.loads((directory / "planned.json").read_text())
    return Planned(**{kind: Pythons(**pythons) for kind, pythons in told.items()})
