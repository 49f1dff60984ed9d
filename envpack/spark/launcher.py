"""The description of a launcher: where its processes find the environment, and which settings name it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from envpack.archive.formats import ALIAS, DEFAULT, FORMATS
from envpack.errors import UsageError
from envpack.spark.versions import dotted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpack.archive.formats import FormatName, Unpacker
    from envpack.spark.versions import Minor

HERE = f"./{ALIAS}"
"""The unpacked environment, from the working directory of a driver on the cluster or of an executor."""

Driver = Literal["cluster", "client", "local", "server", "session"]
"""Where the Python of the driver runs: in a process of the cluster; in one that the user starts outside the
cluster; in one that is the whole application; nowhere, since a Connect server's driver is only Java; or in a client
of such a server."""

Natural = Literal[
    "submit", "connect", "connect-client", "livy", "livy-session", "sparkmagic", "sparkmagic-config", "airflow",
    "airflow-livy", "parameters", "gcloud", "operator", "kyuubi", "synapse", "zeppelin", "flink",
]  # fmt: skip
"""The text that people paste; envpack/spark/paste.py writes each."""


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """One way to start a Spark application; envpack/spark/settings.py makes the settings from these values."""

    name: str
    """What `--launcher` takes."""
    purpose: str
    """Its meaning, in a few words."""
    submit: str
    """How its text is used."""
    master: str | None = None
    """Spark's master, where only one is possible; `local[*]` for one machine."""
    mode: str | None = None
    """The deploy mode for spark-submit."""
    text: Natural = "submit"
    """The text that people paste."""
    driver: Driver = "cluster"
    archives: str | None = "spark.archives"
    """The property that names archives; None where nothing is unpacked for the user."""
    option: bool = True
    """Whether the archive goes to an option `--archives` instead of that property."""
    root: str | None = HERE
    """The unpacked environment as Python workers see it; None means an absolute directory of the user's."""
    python: tuple[str, ...] = ("spark.pyspark.python",)
    """The properties that name the packed Python."""
    python_variables: tuple[str, ...] = ()
    """The variables of the launching process that name it."""
    conf: Mapping[str, str] = field(default_factory=dict)
    """Further properties that it needs."""
    driver_variables: str | None = None
    """The prefix of properties that set variables of a driver on the cluster."""
    executor_variables: str | None = "spark.executorEnv."
    """The prefix of properties that set variables of executors; None where a client cannot."""
    scheme: str = "s3a"
    """The URI scheme under which it reads S3."""
    yarn: bool = False
    """Whether YARN starts the processes: it stages archives of other file systems; its shell reads variables."""
    flink: bool = False
    """Whether it starts PyFlink: Spark's version and Spark's own costs say nothing of it."""
    kubernetes: bool = False
    """Whether Kubernetes starts the driver, and fills references to variables in."""
    since: Minor = (2, 4)
    """The first Spark that unpacks archives there."""
    before: str = "ignores archives"
    """The behaviour of an older Spark."""
    unpacker: Unpacker = "spark"
    """What unpacks the archive there."""
    archives_field: str = "--archives"
    """Where the user enters archives."""
    local: str = ""
    """What to know about an archive with a `file:` address."""
    local_refused: bool = False
    """Whether such an archive cannot be read at all."""
    notes: tuple[str, ...] = ()
    """What else the user must know."""

    def fetches(self, uri: str) -> bool:
        """Return whether its driver and executors fetch an archive with Hadoop's s3a of their own class path.

        They fetch it before `--jars` and `--packages` are on it (Spark's Executor.updateDependencies,
        SparkContext).
        """
        return self.unpacker == "spark" and self.archives is not None and uri.startswith("s3a:")


def refuse_archive(launcher: Launcher, spark: Minor | None, archive_format: FormatName) -> None:
    """Raise UsageError when a Spark (None: the newest) cannot run an archive of that format under a launcher."""
    if spark and spark < launcher.since:
        raise UsageError(
            f"with {launcher.name}, Spark {dotted(spark)} {launcher.before}; Spark {dotted(launcher.since)} or "
            "newer is needed",
            hint="use YARN, or unpack the archive into the same directory on every node",
        )
    format = FORMATS[archive_format]
    if not format.works(launcher.unpacker, spark):
        since = format.since[launcher.unpacker]
        remedy = f"Spark {dotted(since)} is the first that keeps them" if since else "only YARN keeps them"
        name = f"Spark {dotted(spark)}" if spark else "Spark"
        raise UsageError(
            f"with {launcher.name}, {name} loses {format.loss}, so the archive's Python cannot run: {remedy}",
            hint=f"build with --format {DEFAULT}",
        )
