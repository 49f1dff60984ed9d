"""Environments of real conda-forge records: built with verification, imported, and run by a real Spark."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envpack.lock.file import parse
from tests.support.cache import cache_directory
from tests.support.command import Desk, desk_at
from tests.support.job import SPARK_4
from tests.support.spark import LOCAL_CLUSTER
from tests.test_templates import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.channel import Channel
    from tests.support.replica import Replica
    from tests.support.spark import Spark

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1800)]

ENVIRONMENTS = Path(__file__).parents[2] / "bench" / "environments"
"""What is measured is also what is tried out here."""

_JOB = """\
import json
from pathlib import Path
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()

def seen(batches):
    import importlib, os, sys
    import pandas
    modules = [importlib.import_module(name) for name in {modules!r}]
    told = {{
        "executable": sys.executable,
        "files": [module.__file__ for module in modules],
        "variables": {{name: value for name, value in os.environ.items() if "environment" in value}},
    }}
    rows = sum(len(batch) for batch in batches)
    import json
    yield pandas.DataFrame({{"rows": [rows], "told": [json.dumps(told)]}})

answers = spark.range(100, numPartitions=1).mapInPandas(seen, "rows long, told string").collect()
Path("answer.json").write_text(json.dumps([json.loads(row.told) | {{"rows": row.rows}} for row in answers]))
"""


_IMPORT = """\
import {modules}, json, sys
print(json.dumps([m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)]))
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One environment: what it is built from, how large it is, what a job imports of it."""

    name: str
    text: str
    conda: range
    wheels: range
    modules: tuple[str, ...]
    variables: frozenset[str] = frozenset()
    """What activation would set, relative to the unpacked archive."""


_GEOSPATIAL = next(template for template in TEMPLATES if template.name == "geospatial.yml")

CASES = (
    Case(
        name="geospatial",
        text=_GEOSPATIAL.read_text("utf-8"),
        conda=range(150, 300),
        wheels=range(1),
        modules=("osgeo", "pyproj", "rasterio", "geopandas", "pyarrow.parquet"),
        variables=frozenset({"GDAL_DATA", "PROJ_DATA"}),
    ),
    Case(
        name="notebook",
        text=(ENVIRONMENTS / "notebook.yml").read_text("utf-8"),
        conda=range(300, 500),
        wheels=range(1),
        modules=("osgeo", "jupyterlab", "dask.distributed", "xarray", "zarr", "netCDF4", "cartopy", "rioxarray"),
        variables=frozenset({"GDAL_DATA", "PROJ_DATA"}),
    ),
    Case(
        name="mixed",
        text=(ENVIRONMENTS / "mixed.yml").read_text("utf-8"),
        conda=range(35, 60),
        wheels=range(20, 40),
        modules=("sklearn.linear_model", "pandas", "pyarrow", "duckdb", "pydantic", "httpx", "yaml"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Built:
    """A release, and where it is unpacked."""

    case: Case
    json: Any
    desk: Desk
    node: Path


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def built(
    request: pytest.FixtureRequest, channel: Channel, replica: Replica, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    """Build one environment, with verification, and unpack it."""
    case: Case = request.param
    home = tmp_path_factory.mktemp(case.name)
    desk = replace(desk_at(home / "desk", channel, cache_directory() / "envpack"), seconds=1500)
    file = desk.write(f"{case.name}.yml", case.text)
    options = ("--glibc", replica.glibc, "--spark", SPARK_4.rpartition(".")[0])
    locked = desk.run("lock", file.name, "--channel", replica.solving.as_uri(), *options)
    assert locked.code == 0, locked.err
    lock = parse(file.with_name(f"{file.name}.lock").read_text("utf-8"), file.name)
    served = replica.channel_of(lock.packages)
    answer = desk.build(file.name, "--channel", served.as_uri(), "--upgrade", "--launcher", "standalone", *options)
    node = home / "node"
    (node / "environment").mkdir(parents=True)
    archive = answer["archive"]["uri"].removeprefix("file://").replace("%20", " ")
    subprocess.run(["tar", "-xzf", archive, "-C", node / "environment"], check=True)
    yield Built(case=case, json=answer, desk=desk, node=node)
    shutil.rmtree(home)


def test_it_is_as_large_as_it_should_be_and_every_package_says_where_it_came_from(built: Built) -> None:
    packages = built.json["packages"]
    sources = [package["source"] for package in packages]
    assert sources.count("conda") in built.case.conda
    assert sources.count("pypi") in built.case.wheels
    assert built.case.variables <= built.json["settings"]["env"].keys() | _executors_variables(built)


def _executors_variables(built: Built) -> set[str]:
    prefix = "spark.executorEnv."
    return {name.removeprefix(prefix) for name in built.json["settings"]["conf"] if name.startswith(prefix)}


def test_the_unpacked_python_imports_what_was_asked_for_from_nowhere_else(built: Built) -> None:
    done = subprocess.run(
        ["./environment/bin/python", "-I", "-c", _IMPORT.format(modules=", ".join(built.case.modules))],
        cwd=built.node,
        env={"PATH": os.defpath, "HOME": str(built.node), "MPLCONFIGDIR": str(built.node)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    inside = f"{built.node}/environment/"
    assert [file for file in json.loads(done.stdout.splitlines()[-1]) if not file.startswith(inside)] == []


def test_a_real_spark_runs_it_with_the_printed_settings(built: Built, spark_of: Callable[[str], Spark]) -> None:
    spark = spark_of(SPARK_4)
    (built.node / "job.py").write_text(_JOB.format(modules=built.case.modules), "utf-8")
    python = built.node / "environment" / "bin" / "python"
    options = ("--launcher", "standalone", "--spark", SPARK_4, "--driver-python", str(python))
    text = built.desk.run("settings", built.json["reference"], *options)
    assert text.code == 0, text.err
    command = f"spark-submit --master '{LOCAL_CLUSTER}' \\\n{text.out.strip()} \\\njob.py"
    done = spark.shell(command, built.node)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-20_000:]}"
    (answer,) = json.loads((built.node / "answer.json").read_text("utf-8"))
    work = str(spark.home / "work")
    assert answer["rows"] == 100
    for path in (answer["executable"], *answer["files"]):
        assert str(Path(path).absolute() if path.startswith("/") else path).startswith((work, "./environment"))
    for name in built.case.variables:
        assert answer["variables"][name].startswith("./environment/")
