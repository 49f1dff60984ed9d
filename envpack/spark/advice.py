"""What the user must know of settings, and what works but has a cost; sources: docs/spark.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from envpack.archive.formats import ALIAS
from envpack.spark import compatibility, node, services, variables, versions
from envpack.spark.launcher import HERE
from envpack.units import agreeing, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpack.releases.manifest import ArchiveFacts, Manifest
    from envpack.spark.launcher import Launcher
    from envpack.spark.versions import Minor

_PYTHON_ON_DRIVER: Minor = (4, 0)
"""The first Spark whose driver process runs the workers' Python (PythonPlannerRunner)."""

MANY_MEMBERS = 50_000
"""From this number on, files and not bytes decide the time of unpacking: about a minute on a node that forks
chmod."""

LOCALIZER_CACHE = 10_240 * 1024**2
"""Bytes of unpacked archives that a node keeps by default (yarn-default.xml: localizer.cache.target-size-mb)."""

WRITING = 0.79 / 366e6
INFLATING = (3.08 - 0.79) / 366e6
"""Seconds of writing and of gzip for each unpacked byte: 366 MB took 0.79 s as tar and 3.08 s as tar.gz
(bench.cluster)."""

WORTH_A_TAR = 100_000_000
"""Unpacked bytes of an environment from which on the format makes a difference of almost a second."""

LARGE = 2_000_000_000
"""Bytes of an environment, unpacked by every executor, from which on there is a note."""

CACHES_AT_HOME = {
    "astropy": "XDG_CACHE_HOME",
    "fontconfig": "XDG_CACHE_HOME",
    "huggingface-hub": "HF_HOME",
    "matplotlib": "MPLCONFIGDIR",
    "matplotlib-base": "MPLCONFIGDIR",
    "nltk": "NLTK_DATA",
    "numba": "NUMBA_CACHE_DIR",
    "pytorch": "TORCH_HOME",
    "scikit-learn": "SCIKIT_LEARN_DATA",
    "tensorflow-hub": "TFHUB_CACHE_DIR",
    "torch": "TORCH_HOME",
}
"""Projects that write below HOME unless a variable names another directory; source: each project's
documentation."""

_KUBERNETES_FILLS_IN = re.compile(r"\$[$(]")


def beside_the_cluster(spark: Minor | None, driver: str, own: Mapping[str, str]) -> Iterator[str]:
    """Yield notes on a driver that a Python of the submitting machine runs."""
    both = f"PYSPARK_PYTHON={HERE}/bin/python PYSPARK_DRIVER_PYTHON={shlex.quote(driver)}"
    yield (
        f"{both} in the environment does the same as the two spark.pyspark properties: give one pair or the other. "
        "A notebook or a plain `python app.py` reads the variables alone: --output env prints them"
    )
    if own:
        yield where_you_start("the driver", own)
    if not spark or spark >= _PYTHON_ON_DRIVER:
        yield (
            f"since Spark 4.0 Python data sources and a UDTF's analyze run {HERE}/bin/python on the driver too: to "
            f"use them, unpack the archive to ./{ALIAS} where you submit"
        )


def where_you_start(who: str, own: Mapping[str, str]) -> str:
    """Return what to set before the application is started."""
    named = " ".join(f"{name}={shlex.quote(value)}" for name, value in own.items())
    return f"{who} takes its variables from where you start it: {named}"


def about_archives(launcher: Launcher) -> Iterator[str]:
    """Yield the note that a second list of archives replaces the first (SparkSubmitArguments, run)."""
    if launcher.archives:
        yield (
            f"pass {launcher.archives_field} only once: Spark uses the last one alone, and the job would start "
            "without this environment; --also-archives ADDRESS#DIRECTORY adds other archives to it"
        )


def about_fetching(launcher: Launcher, uri: str, jars: str | None) -> Iterator[str]:
    """Yield what driver and executors need to fetch an archive from S3 by themselves."""
    if not launcher.fetches(uri):
        return
    yield (
        "driver and executors fetch the archive before --jars and --packages are on their class path: without "
        "hadoop-aws (of the Hadoop in $SPARK_HOME/jars) and its AWS library each executor dies and the job waits "
        "for ever. "
        + (
            f"spark.driver.extraClassPath and spark.executor.extraClassPath look for them in {jars} of every node, "
            "before Spark's own jars: nothing else may be there"
            if jars
            else "Put them into $SPARK_HOME/jars of every node, or name where they are: --s3a-jars '/opt/s3a/*' "
            "adds --conf spark.executor.extraClassPath='/opt/s3a/*' and the same for the driver"
        )
        + ". Credentials are each node's own, or spark.hadoop.fs.s3a.* properties"
    )


def about_format(launcher: Launcher, manifest: Manifest) -> Iterator[str]:
    """Yield the bandwidth from which on a node starts sooner with an uncompressed archive, on YARN.

    Elsewhere Spark cannot unpack one (see `envpack.archive.formats`).
    """
    archive = manifest.archive
    if launcher.unpacker == "yarn" and archive.format == "tar.gz" and archive.unpacked_size > WORTH_A_TAR:
        more = archive.unpacked_size - archive.size
        saved = archive.unpacked_size * INFLATING
        yield (
            f"--format tar saves each node about {saved:.1f} s of unpacking and adds {human_size(more)} to its "
            f"download: a job starts sooner with it if each node has more than {8 * more / 1e9 / saved:.1f} Gbit/s"
        )


def unpacking_seconds(archive: ArchiveFacts) -> float:
    """Return about how long one core of a node unpacks an archive."""
    return archive.unpacked_size * (WRITING + (0 if archive.format == "tar" else INFLATING))


def about_zones(launcher: Launcher, manifest: Manifest) -> Iterator[str]:
    """Yield the packages that read time zones only from the node, where the node is likely to be an image."""
    found = sorted(node.ZONES_OF_THE_NODE & {package.name for package in manifest.packages})
    if launcher.unpacker == "spark" and found:
        yield (
            f"{', '.join(found)} knows no time zones where /usr/share/zoneinfo is missing, as in slim images: the "
            "image must have tzdata"
        )


def warnings(
    launcher: Launcher, manifest: Manifest, uri: str, spark: Minor | None, *, requirements: str | None = None
) -> Iterator[str]:
    """Yield what works but has a cost, and which variables do not reach the job.

    `uri` is the archive's address as the launcher reads it; `spark` the cluster's version, if it is known;
    `requirements` the file that the release is built from.
    """
    yield from node.unguarded(manifest)
    if launcher.flink and "apache-flink" not in (package.name for package in manifest.packages):
        yield (
            "the environment lacks apache-flink, without which Flink runs no Python in it: "
            "add it in the cluster's version"
        )
    yield from services.glibc_warnings(launcher.name, spark, manifest.target.glibc)
    packages = {package.name: package.version for package in manifest.packages}
    if spark:
        yield from compatibility.warnings(spark, versions.minor(manifest.python_minor), packages)
    yield from _about_variables(launcher, manifest)
    if needing := node.zones_needed(packages):
        yield (
            f"{', '.join(needing)} cannot find time zones where /usr/share/zoneinfo is missing, as in slim images: "
            "add tzdata to the requirements"
        )
    if launcher.local and uri.startswith("file:"):
        yield launcher.local
    if launcher.yarn:
        if not launcher.flink:
            yield _staging(manifest, uri)
        yield from _at_home(manifest, {*packages}, requirements)
    yield from _about_size(launcher, manifest)


def _about_variables(launcher: Launcher, manifest: Manifest) -> Iterator[str]:
    for name in sorted(variables.CHOOSERS & manifest.variables.keys()):
        yield f"the environment's variable {name} is left out: the settings name the Python"
    own = variables.of(manifest, HERE)
    if launcher.executor_variables is None and own:
        yield (
            f"a client cannot set variables: {', '.join(own)} must come from the server's own configuration, or be "
            "set by the functions themselves"
        )
    if launcher.kubernetes:
        for name in (name for name, value in own.items() if _KUBERNETES_FILLS_IN.search(value)):
            yield f"Kubernetes changes the driver's variable {name}: it takes $( and $$ in its value for its own"


def _staging(manifest: Manifest, uri: str) -> str:
    """Return what YARN's staging does to the archive. Source: Spark's deploy/yarn/Client.copyFileToRemote."""
    size = f"{manifest.archive.size / 1e6:.0f} MB"
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return (
            f"YARN copies this local archive ({size}) for each submission, and no node keeps it for the next one. "
            "With a store on S3, and spark.yarn.stagingDir in the same bucket, each node fetches it once"
        )
    bucket = f"{parts.scheme}://{parts.netloc}"
    return (
        f"unless spark.yarn.stagingDir is in {bucket}/, each submission copies the archive ({size}) through the "
        "submitting machine, and no node keeps it for the next one; "
        f"spark.yarn.stagingDir={bucket}/staging avoids it"
    )


def _at_home(manifest: Manifest, names: set[str], requirements: str | None) -> Iterator[str]:
    found = {variable: name for name, variable in CACHES_AT_HOME.items() if name in names}
    wanted = {variable: name for variable, name in found.items() if variable not in manifest.variables}
    if wanted:
        lines = ", ".join(f"{variable}: ./.cache" for variable in sorted(wanted))
        yield (
            "on YARN HOME is /home/, where nobody may write, and "
            f"{agreeing(sorted(wanted.values()), '{} keeps', '{} keep')} files there: "
            f"set {_as_variables(lines, requirements)}"
        )


def _as_variables(lines: str, requirements: str | None) -> str:
    """Return how variables are set in the user's file."""
    suffix = Path(requirements).suffix.lower() if requirements else None
    comment = f"`# envpack: variables: {{{lines}}}`"
    if suffix == ".txt":
        return f"them in {requirements} with the comment line {comment}"
    if suffix in (".yml", ".yaml"):
        return f"{lines} under `variables:` of {requirements}"
    if suffix:
        return f"{lines} where the job is started, as {requirements} has no place for variables"
    return f"{lines} under `variables:` of an environment file, or with the comment line {comment} of a .txt"


def _about_size(launcher: Launcher, manifest: Manifest) -> Iterator[str]:
    archive = manifest.archive
    unpacked = f"{archive.unpacked_size / 1e9:.1f} GB"
    if archive.members > MANY_MEMBERS:
        yield (
            f"the archive holds {archive.members:,} files and directories: unpacking them may take a node a minute"
        )
    if launcher.unpacker == "yarn" and archive.unpacked_size > LOCALIZER_CACHE / 2:
        yield (
            f"unpacked it takes {unpacked}: a node keeps {LOCALIZER_CACHE / 1024**3:.0f} GiB of archives unless "
            "yarn.nodemanager.localizer.cache.target-size-mb says otherwise, and fetches it again when that is full"
        )
    if launcher.unpacker != "yarn" and launcher.driver != "local" and archive.unpacked_size > LARGE:
        who = "TaskManager" if launcher.flink else "executor"
        yield f"every {who} unpacks {unpacked} for itself: give it the disk, and time at its start"
