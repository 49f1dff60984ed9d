"""Findings about which Python and which archive the properties of an application select."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack.archive.formats import ALIAS
from envpack.explain.findings import found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpack.explain.findings import Case, Found
    from envpack.explain.run import Run

_WORKERS, _DRIVER = "spark.pyspark.python", "spark.pyspark.driver.python"
_EXECUTOR_VARIABLE = "spark.executorEnv.PYSPARK_PYTHON"
_ARCHIVES = ("spark.archives", "spark.yarn.dist.archives")
_STAGING = "spark.yarn.stagingDir"
_ON_NODES = frozenset({"local"})
_OF_THE_WEB = ("http", "https", "ftp")
_PLACE = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?(?://(?P<host>[^/?#]*))?")
"""Any text has one: what stands in a log need not be a URL."""


@dataclass(frozen=True, kw_only=True)
class SelectedPython:
    """The Python of an application by its properties."""

    yarn: bool
    cluster_mode: bool
    workers: str | None
    """`spark.pyspark.python`; a variable of the shell may also set it, and is not in the log."""
    archives: Mapping[str, str]
    """The directory of each archive by its address."""


def python_of(run: Run) -> SelectedPython:
    """Return the selection by the properties of a run."""
    archives = {}
    for name in _ARCHIVES:
        for each in filter(None, (part.strip() for part in run.properties.get(name, "").split(","))):
            uri, _, directory = each.partition("#")
            archives[uri] = directory or uri.rpartition("/")[2]
    return SelectedPython(
        yarn=run.properties.get("spark.master", "").startswith("yarn"),
        cluster_mode=run.properties.get("spark.submit.deployMode") == "cluster",
        workers=run.properties.get(_WORKERS),
        archives=archives,
    )


def ignored_setting(case: Case) -> Iterator[Found]:
    """Yield settings that seem to select a Python and do not."""
    run, selected = case.run, python_of(case.run)
    variable = run.properties.get(_EXECUTOR_VARIABLE)
    serverless = any(name.startswith("spark.emr-serverless.") for name in run.properties)
    if variable and not serverless and variable != selected.workers:
        yield from found(
            "ignored-setting",
            f"{_EXECUTOR_VARIABLE}={variable} selects no Python: workers run what {_WORKERS} or the driver names",
            1,
            quote=f"{_EXECUTOR_VARIABLE}={variable}",
            advice=f"remove it, and set {_WORKERS} to the Python",
            settings={_WORKERS: variable},
        )
    driver = run.properties.get(_DRIVER)
    if driver and selected.cluster_mode and selected.workers and driver != selected.workers:
        yield from found(
            "ignored-setting",
            f"{_DRIVER}={driver} wins over {_WORKERS} for the driver, which runs outside of the environment",
            1,
            quote=f"{_DRIVER}={driver}",
            advice=f"remove {_DRIVER}: in cluster mode the driver runs in the environment too",
        )
    first = (selected.workers or "").removeprefix("./").partition("/")[0]
    relative = selected.workers is not None and selected.workers.startswith("./")
    if relative and selected.archives and first not in selected.archives.values():
        yield from found(
            "ignored-setting",
            f"{_WORKERS} looks in ./{first}, the archive is in {', '.join(selected.archives.values())}",
            1,
            quote=f"{_WORKERS}={selected.workers}",
            advice="use the same directory after the # of the archive and in the path of Python",
            settings=[f"--archives ARCHIVE#{ALIAS} --conf {_WORKERS}=./{ALIAS}/bin/python"],
        )


def archive_staged(case: Case) -> Iterator[Found]:
    """Yield archives that every submission copies through the submitting machine.

    YARN's client copies files of other file systems than its staging directory's, and files on its disk.
    Source: Spark's yarn Client.scala.
    """
    run, selected = case.run, python_of(case.run)
    if not selected.yarn:
        return
    staging = _file_system(run.properties.get(_STAGING, ""))
    for uri in selected.archives:
        place = _file_system(uri)
        if place[0] in _ON_NODES or (staging[0] and place == staging):
            continue
        if place[0] in ("", "file"):
            text = f"{uri} is on the submitting machine: every submission sends it to the cluster"
            advice = "publish it, and name its address on the cluster's file system or bucket"
        elif place[0] == "hdfs" and not staging[0]:
            continue  # the staging directory is in the cluster's own file system, most likely this one
        elif place[0] in _OF_THE_WEB:
            text = f"{uri} is fetched and sent to the cluster by every submission"
            advice = "put the archive into a bucket or on the cluster's file system, and name its address there"
        else:
            text = f"{uri} is not where the staging directory is: every submission copies it"
            advice = "put the staging directory into the archive's bucket; then nodes fetch the archive themselves"
        bucket = f"{place[0]}://{place[1]}/staging" if place[0] not in ("", "file", *_OF_THE_WEB) else ""
        yield from found(
            "archive-staged",
            text,
            1,
            quote=f"{_STAGING}={run.properties.get(_STAGING, 'not set')}",
            advice=advice,
            settings={_STAGING: bucket} if bucket else ["envpack build FILE --store s3://BUCKET/envs"],
        )


def _file_system(uri: str) -> tuple[str, str]:
    match = _PLACE.match(uri)
    scheme, host = (match["scheme"] or "", match["host"] or "") if match else ("", "")
    return ("s3" if scheme.lower() in ("s3a", "s3n") else scheme.lower(), host)
