"""The cluster's own configuration, where this machine has it: which values override the printed settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast
from xml.etree.ElementTree import ParseError

from envpack.archive.formats import ALIAS
from envpack.doctor.finding import Finding, Level
from envpack.errors import EnvpackError
from envpack.redact import redact
from envpack.spark import configuration
from envpack.spark.launchers import launcher_named
from envpack.units import agreeing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from envpack.config.config import Config
    from envpack.spark.configuration import Configured
    from envpack.spark.launcher import Launcher

_CHOOSERS = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
_DRIVER = "spark.pyspark.driver.python"
_WORKERS = "spark.pyspark.python"
_ON_YARN, _ELSEWHERE = "spark.yarn.dist.archives", "spark.archives"
_ADMIN = "yarn.nodemanager.admin-env"


def look(config: Config) -> Iterator[Finding]:
    """Compare what SPARK_CONF_DIR (or SPARK_HOME) and HADOOP_CONF_DIR hold with the launcher's settings."""
    spark, yarn = configuration.directories(os.environ)
    try:
        launcher = launcher_named(config.launcher)
        if spark:
            yield from _read(spark)
            yield from _environment(configuration.environment(spark), launcher)
            properties = configuration.defaults(spark)
            yield from _pythons(properties, launcher)
            yield from _archives(properties, launcher, config)
            yield from _class_path(properties, launcher, config)
        if yarn and launcher.yarn:
            yield from _site(configuration.site(yarn))
    except EnvpackError:  # an unknown launcher: the check of the target reports it
        return
    except OSError as error:
        text = f"{error.filename}: cannot be read: {error.strerror}"
        yield _finding("note", text, "run doctor as a user who may read it, to have it compared with the settings")
    except ParseError as error:
        yield _finding("note", f"{yarn}/{configuration.SITE}: is not XML: {error}", "correct it")


def _finding(level: Level, text: str, hint: str | None = None) -> Finding:
    return Finding(check="cluster", level=level, text=redact(text), hint=hint)


def _read(directory: Path) -> Iterator[Finding]:
    if names := configuration.files(directory):
        yield _finding("ok", f"{directory}: {agreeing(names, '{} was read', '{} were read')}")


def _environment(variables: Mapping[str, Configured], launcher: Launcher) -> Iterator[Finding]:
    """Yield the variables of `spark-env.sh`: spark-submit and servers read it after the user's own variables."""
    for name in _CHOOSERS:
        variable = variables.get(name)
        if variable is None or configuration.keeps_what_is_set(variable):
            continue
        said = f"{variable.place} sets {name}={variable.value}"
        if name in launcher.python_variables:
            yield _finding(
                "problem",
                f"{said}, which replaces the one that the server is started with: its sessions run another Python",
                f'take the line away, or write {name}="${{{name}:-{variable.value}}}"',
            )
        elif launcher.driver in ("client", "local") or launcher.kubernetes:
            yield _finding(
                "warning",
                f"{said}, which replaces what you export: use the form with spark.pyspark properties, which win "
                "over it",
                "--output text and --output conf print that form; --output env does not work here",
            )
        else:
            yield _finding("note", f"{said}; the properties of the settings win over it")


def _pythons(properties: Mapping[str, Configured], launcher: Launcher) -> Iterator[Finding]:
    """Yield which defaults choose a Python; deploy/PythonRunner has the order of properties and variables."""
    driver, workers = properties.get(_DRIVER), properties.get(_WORKERS)
    if driver and launcher.driver in ("cluster", "local") and _WORKERS in _python_properties(launcher):
        here = f"{launcher.root or 'DIRECTORY'}/bin/python"
        yield _finding(
            "problem",
            f"{driver.place} sets {_DRIVER}={driver.value}, which wins over {_WORKERS} for the driver: it does not "
            "run in the environment",
            f"add --conf {_DRIVER}={here} to the settings, or take the line away",
        )
    if launcher.driver == "client":
        for found in (driver, workers):
            if found:
                yield _finding(
                    "warning",
                    f"{found.place} sets {found.name}={found.value}, which wins over PYSPARK_PYTHON and "
                    "PYSPARK_DRIVER_PYTHON",
                    "use the form with spark.pyspark properties: --output text or --output conf",
                )
    elif workers and _WORKERS in _python_properties(launcher):
        yield _finding(
            "note", f"{workers.place} sets {_WORKERS}={workers.value}; the settings' own takes its place"
        )
    for name in _CHOOSERS:
        found = properties.get(f"{launcher.driver_variables}{name}") if launcher.driver_variables else None
        if found:
            text = f"{found.place} sets {found.name}={found.value}"
            yield _finding("note", f"{text}; {_WORKERS} of the settings wins over it")


def _python_properties(launcher: Launcher) -> tuple[str, ...]:
    """Return the properties that name a Python in a launcher's settings."""
    return (_WORKERS,) if launcher.driver == "local" else launcher.python


def _archives(properties: Mapping[str, Configured], launcher: Launcher, config: Config) -> Iterator[Finding]:
    """Yield what happens to archives in the defaults; observed with Spark 3.5 and 4.0, see docs/spark.md."""
    if launcher.archives is None:
        return
    for name in (_ON_YARN, _ELSEWHERE):
        found = properties.get(name)
        if found is None or not found.value or (name == _ON_YARN and not launcher.yarn):
            continue
        each = [part.strip() for part in found.value.split(",")]
        said = f"{found.place} sets {name}={found.value}"
        joins = launcher.yarn and (launcher.option or launcher.text == "airflow" or name == _ELSEWHERE)
        left = [part for part in each if part not in config.also_archives]
        if joins and any(part.partition("#")[2] == ALIAS for part in each):
            # YARN keeps the last of one name, which is the settings'; archives that executors unpack themselves
            # come later.
            level, what = (
                ("warning", f"and the release takes its place as ./{ALIAS}: jobs do not get it")
                if name == _ON_YARN
                else ("problem", f"which executors unpack as ./{ALIAS} in place of the release")
            )
            yield _finding(cast("Level", level), f"{said}, {what}", "give it another name behind the #")
        elif joins:
            yield _finding("note", f"{said}; jobs get it beside the environment")
        elif left:
            words = " ".join(f"--also-archives {part}" for part in left)
            yield _finding(
                "warning",
                f"{said}, and the archives of the settings take its place: jobs do not get it",
                f"join it: {words}",
            )


def _class_path(properties: Mapping[str, Configured], launcher: Launcher, config: Config) -> Iterator[Finding]:
    if not (config.s3a_jars and launcher.fetches("s3a://")):
        return
    for role in ("driver", "executor"):
        found = properties.get(f"spark.{role}.extraClassPath")
        if found and config.s3a_jars not in found.value.split(":"):
            yield _finding(
                "warning",
                f"{found.place} sets {found.name}={found.value}, and s3a-jars takes its place",
                f"name both: --s3a-jars '{config.s3a_jars}:{found.value}'",
            )


def _site(properties: Mapping[str, Configured]) -> Iterator[Finding]:
    found = properties.get(_ADMIN)
    set_there = {pair.partition("=")[0].strip() for pair in found.value.split(",")} if found else set()
    names = [name for name in _CHOOSERS if name in set_there]
    if found and names:
        yield _finding(
            "warning",
            f"{found.place} gives {' and '.join(names)} to every container by {_ADMIN}; {_WORKERS} of the settings "
            "wins over it for driver and workers, the variables do not",
            "take it out of yarn.nodemanager.admin-env",
        )
