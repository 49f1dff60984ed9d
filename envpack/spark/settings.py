"""Turn a release into what a launcher needs to run a job in it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from envpack.errors import UsageError
from envpack.manifest import ALIAS
from envpack.spark import versions
from envpack.spark.launchers import DEFAULT, launcher_named, refuse_archive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpack.manifest import Manifest
    from envpack.spark.launchers import Launcher
    from envpack.spark.versions import Minor

PYTHON = f"./{ALIAS}/bin/python"
"""The packed Python, from the working directory of a driver or an executor."""

_PYTHON_ON_DRIVER: Minor = (4, 0)
"""The first Spark whose driver process runs the workers' Python (PythonPlannerRunner)."""

_CHOOSERS = frozenset({"PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"})
"""Variables that choose the Python: the settings say them, and an environment's own would send Spark elsewhere."""

# YARN writes `export NAME="VALUE"` into the script that starts a container, and escapes nothing.
_CHANGED_BY_YARN = re.compile(r'["$`\\]')

_NOT_IN_A_URI = re.compile(r"[\s#]")
_NOT_IN_ARCHIVES = re.compile(r"[,*?\[\]{}\\]")


@dataclass(frozen=True, kw_only=True)
class Form:
    """One complete way to hand the settings to Spark."""

    arguments: tuple[str, ...]
    """Arguments of spark-submit other than `--conf`: option, value, option, value. Master and deploy mode are the
    person's."""
    conf: Mapping[str, str]
    """Spark properties, in the order they are printed."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the process that runs spark-submit."""

    def to_json(self) -> dict[str, Any]:
        """Return the form as JSON values."""
        return {"arguments": list(self.arguments), "conf": dict(self.conf), "env": dict(self.env)}


@dataclass(frozen=True, kw_only=True)
class Settings(Form):
    """What one launcher needs for one release."""

    launcher: str
    """Its name."""
    alternatives: tuple[Form, ...] = ()
    """Other forms that do the same. Take one form whole: a mixture of two does not work."""
    notes: tuple[str, ...] = ()
    """What the person must know for it to work."""
    warnings: tuple[str, ...] = ()
    """What works but costs."""

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {
            "launcher": self.launcher,
            **super().to_json(),
            "alternatives": [form.to_json() for form in self.alternatives],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What the settings are made for."""

    launcher: Launcher
    manifest: Manifest
    uri: str
    """The archive's address as the launcher's Spark reads it."""
    spark: Minor | None
    """The cluster's version; None stands for the newest."""
    python: Minor
    """The Python inside the archive."""

    @property
    def variables(self) -> dict[str, str]:
        """The variables that the environment wants, sorted by name."""
        return {name: value for name, value in sorted(self.manifest.variables.items()) if name not in _CHOOSERS}


def settings_for(
    manifest: Manifest,
    archive_uri: str,
    *,
    launcher: str = DEFAULT,
    spark: str | None = None,
    driver_python: str | None = None,
) -> Settings:
    """Return what a launcher needs to run a job in a release.

    `archive_uri` is the archive's address in its store. `spark` is the cluster's version, by default the one
    the environment was built for; without either the newest is assumed. `driver_python` is the Python that
    runs the driver where the person starts it (see envpack/spark/driver.py), by default the command
    `pythonX.Y` of the version inside the archive. Raises UsageError when the combination cannot work.
    """
    chosen = launcher_named(launcher)
    wanted = spark or manifest.target.spark
    job = _Job(
        launcher=chosen,
        manifest=manifest,
        uri=_spark_uri(archive_uri, chosen),
        spark=versions.minor(wanted) if wanted else None,
        python=versions.minor(manifest.python_minor),
    )
    if job.spark:
        versions.refuse_python(job.spark, job.python)
        refuse_archive(chosen, job.spark, manifest.archive.format)
    if chosen.driver_variables:
        return _on_the_cluster(job, chosen.driver_variables)
    return _beside_the_cluster(job, driver_python or f"python{manifest.python_minor}")


def _spark_uri(uri: str, launcher: Launcher) -> str:
    """Return the archive's address as this launcher's Spark reads it.

    spark-submit splits `--archives` at commas and takes each part for a pattern after it has decoded it
    (Spark's DependencyUtils.resolveGlobPaths), so that no form of quoting helps.
    """
    if found := _NOT_IN_A_URI.search(uri) or _NOT_IN_ARCHIVES.search(unquote(uri)):
        raise UsageError(
            f"Spark cannot read an archive whose address has {found[0]!r} in it: {uri}",
            hint="use a store whose URL has only letters, digits and / . _ -",
        )
    return re.sub(r"^s3://", f"{launcher.scheme}://", uri)


def _warnings(job: _Job) -> tuple[str, ...]:
    warnings: list[str] = []
    if job.spark:
        names = {package.name for package in job.manifest.packages}
        warnings += versions.python_warnings(job.spark, job.python, names)
    for name in sorted(_CHOOSERS & job.manifest.variables.keys()):
        warnings.append(f"the environment's variable {name} is left out: the settings name the Python")
    if job.launcher.yarn:
        warnings += _yarn_warnings(job)
    return tuple(warnings)


def _yarn_warnings(job: _Job) -> list[str]:
    """Return what YARN does to archives and variables.

    Sources: Spark's deploy/yarn/Client.copyFileToRemote; Hadoop's ContainerLaunch.UnixShellScriptBuilder.env.
    """
    warnings = [
        f"YARN's shell changes the variable {name}: its value has {found[0]} in it"
        for name, value in job.variables.items()
        if (found := _CHANGED_BY_YARN.search(value))
    ]
    parts = urlsplit(job.uri)
    if parts.scheme != "file":
        warnings.append(
            f"unless spark.yarn.stagingDir lies in {parts.scheme}://{parts.netloc}/, every submission copies the "
            f"archive ({job.manifest.archive.size / 1e6:.0f} MB) through the submitting machine, and no node keeps "
            "it for the next"
        )
    return warnings


def _on_the_cluster(job: _Job, prefix: str) -> Settings:
    """Return the settings for a driver inside the environment; `prefix` names the driver's variables."""
    conf = {"spark.pyspark.python": PYTHON}
    if job.launcher.driver_python:
        conf[f"{prefix}PYSPARK_PYTHON"] = PYTHON
    conf |= {f"{prefix}{name}": value for name, value in job.variables.items()}
    return Settings(
        launcher=job.launcher.name,
        arguments=_arguments(job),
        conf=conf | _executor_variables(job),
        notes=(f"submit with {job.launcher.submit}",),
        warnings=_warnings(job),
    )


def _beside_the_cluster(job: _Job, driver: str) -> Settings:
    """Return the settings for a driver that a Python of the submitting machine runs.

    That Python must be named: without it the driver is started with the packed Python's path, which is not
    there. Properties win over variables, so the two forms cannot be mixed (Spark's deploy/PythonRunner).
    """
    variables = _driver_variables(job)
    by_variables = Form(
        arguments=_arguments(job),
        conf=_executor_variables(job),
        env={"PYSPARK_PYTHON": PYTHON, "PYSPARK_DRIVER_PYTHON": driver, **variables},
    )
    return Settings(
        launcher=job.launcher.name,
        arguments=_arguments(job),
        conf={
            "spark.pyspark.python": PYTHON,
            "spark.pyspark.driver.python": driver,
            **_executor_variables(job),
        },
        env=variables,
        alternatives=(by_variables,),
        notes=_driver_notes(job, driver, variables),
        warnings=_warnings(job),
    )


def _driver_notes(job: _Job, driver: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    both = f"PYSPARK_PYTHON={PYTHON} PYSPARK_DRIVER_PYTHON={shlex.quote(driver)}"
    notes = [f"submit with {job.launcher.submit}"]
    notes.append(
        f"the driver runs in {driver} of the submitting machine: it must be Python {versions.dotted(job.python)} "
        "and have what the driver imports itself, as pandas and pyarrow for pandas_udf"
    )
    notes.append(
        f"{both} in the environment does the same as the two spark.pyspark properties: give one pair or the other. "
        "A notebook or a plain `python app.py` reads PYSPARK_PYTHON alone"
    )
    if variables:
        named = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        notes.append(f"the driver takes its variables from where you start it: {named}")
    if not job.spark or job.spark >= _PYTHON_ON_DRIVER:
        notes.append(
            f"since Spark 4.0 Python data sources and a UDTF's analyze run {PYTHON} on the driver too: to use "
            f"them, unpack the archive to ./{ALIAS} where you submit"
        )
    return tuple(notes)


def _arguments(job: _Job) -> tuple[str, ...]:
    return ("--archives", f"{job.uri}#{ALIAS}")


def _executor_variables(job: _Job) -> dict[str, str]:
    return {f"spark.executorEnv.{name}": value for name, value in job.variables.items()}


def _driver_variables(job: _Job) -> dict[str, str]:
    """Return the variables that hold where the archive is not unpacked."""
    return {name: value for name, value in job.variables.items() if f"./{ALIAS}" not in value}
