"""List what starts Spark applications, each with what it does to an archive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack.errors import UsageError
from envpack.spark.versions import dotted

if TYPE_CHECKING:
    from envpack.manifest import Format
    from envpack.spark.versions import Minor


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """One way to start a Spark application; envpack/spark/settings.py makes the settings from these values."""

    name: str
    """What `--launcher` takes."""
    submit: str
    """How an application is submitted that way."""
    archives: str
    """The property that spark-submit makes of `--archives`."""
    driver_variables: str | None = None
    """The prefix of properties that set environment variables of a driver on the cluster; None when the driver is
    a process that the person starts."""
    driver_python: bool = False
    """Whether that prefix must also name the Python, for what the driver's Java process looks up itself."""
    scheme: str = "s3a"
    """The URI scheme under which it reads S3."""
    yarn: bool = False
    """Whether YARN starts the processes: it stages archives of other file systems; its shell reads variables."""
    since: Minor
    """The first Spark that unpacks archives there."""
    zip_since: Minor
    """The first Spark that keeps the permissions in a zip there."""


_YARN_ARCHIVES = "spark.yarn.dist.archives"
_OLDEST: Minor = (2, 4)

_ALL = (
    # YARN unpacks archives itself and then makes every file readable and executable, whatever the format.
    # Spark 4 looks for Python data sources from the driver's Java process, which reads the variable.
    Launcher(
        name="yarn-cluster",
        submit="--master yarn --deploy-mode cluster",
        archives=_YARN_ARCHIVES,
        driver_variables="spark.yarn.appMasterEnv.",
        driver_python=True,
        yarn=True,
        since=_OLDEST,
        zip_since=_OLDEST,
    ),
    Launcher(
        name="yarn-client",
        submit="--master yarn --deploy-mode client",
        archives=_YARN_ARCHIVES,
        yarn=True,
        since=_OLDEST,
        zip_since=_OLDEST,
    ),
    # Spark unpacks zips with its Hadoop, which ignored permissions (HADOOP-18145) up to the 3.3.4 in Spark 3.5.
    Launcher(
        name="standalone",
        submit="--master spark://HOST:7077 (a standalone cluster has no cluster mode for Python)",
        archives="spark.archives",
        since=(3, 1),
        zip_since=(4, 0),
    ),
)

LAUNCHERS = {launcher.name: launcher for launcher in _ALL}
"""Every launcher by its name, the default first."""

DEFAULT = _ALL[0].name


def launcher_named(name: str) -> Launcher:
    """Return a launcher; raises UsageError when there is none of that name."""
    try:
        return LAUNCHERS[name]
    except KeyError:
        raise UsageError(f"there is no launcher {name!r}", hint=f"there are {', '.join(LAUNCHERS)}") from None


def refuse_archive(launcher: Launcher, spark: Minor, archive_format: Format) -> None:
    """Raise UsageError when this Spark cannot run an archive of that format under this launcher."""
    if spark < launcher.since:
        raise UsageError(
            f"Spark {dotted(spark)} ignores archives under {launcher.name}: the first that unpacks them there is "
            f"{dotted(launcher.since)}",
            hint="use YARN, or unpack the archive at the same place on every node",
        )
    if archive_format == "zip" and spark < launcher.zip_since:
        raise UsageError(
            f"Spark {dotted(spark)} loses a zip's permissions under {launcher.name}, so its Python cannot be run: "
            f"the first that keeps them there is {dotted(launcher.zip_since)}",
            hint="build with --format tar.gz",
        )
