"""Turn a release into what a launcher needs to run a job in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpack.archive.formats import ALIAS
from envpack.spark import address, advice, archives, variables, versions
from envpack.spark.launcher import HERE, refuse_archive
from envpack.spark.launchers import DEFAULT, launcher_named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envpack.releases.manifest import Manifest
    from envpack.spark.launcher import Launcher
    from envpack.spark.versions import Minor

PYTHON = f"{HERE}/bin/python"
"""The packed Python, from the working directory of a driver on the cluster or of an executor."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """One complete way to pass the settings to Spark."""

    arguments: tuple[str, ...]
    """Arguments of spark-submit other than `--conf`: option, value, option, value. Master and deploy mode are the
    user's."""
    conf: Mapping[str, str]
    """Spark properties, in the order they are printed."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the process that starts the application."""

    def to_json(self) -> dict[str, Any]:
        """Return the form as JSON values."""
        return {"arguments": list(self.arguments), "conf": dict(self.conf), "env": dict(self.env)}


@dataclass(frozen=True, kw_only=True)
class Settings(Form):
    """The settings of one launcher for one release."""

    launcher: str
    """Its name."""
    archive: str | None
    """What `--archives` or the launcher's own field for archives takes; None where nothing is unpacked
    automatically."""
    also: tuple[str, ...] = ()
    """Other archives that are joined to it."""
    prepare: tuple[str, ...] = ()
    """Shell commands to run first."""
    alternatives: tuple[Form, ...] = ()
    """Other forms that do the same. Take one form whole: a mixture of two does not work."""
    notes: tuple[str, ...] = ()
    """What the user must know for it to work."""
    warnings: tuple[str, ...] = ()
    """What works but has a cost, and what was left out."""

    @property
    def archives(self) -> tuple[str, ...]:
        """All archives that the launcher is given."""
        return (*((self.archive,) if self.archive else ()), *self.also)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {
            "launcher": self.launcher,
            "archive": self.archive,
            "also_archives": list(self.also),
            **super().to_json(),
            "prepare": list(self.prepare),
            "alternatives": [form.to_json() for form in self.alternatives],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class _Job:
    """The input of the settings."""

    launcher: Launcher
    manifest: Manifest
    uri: str
    """The archive's address as the launcher's Spark reads it."""
    directory: Path
    """Where the user unpacks the archive."""
    spark: Minor | None
    """The cluster's version; None means the newest."""
    python: Minor
    """The Python inside the archive."""
    also: tuple[str, ...] = ()
    """Other archives for the same job."""
    s3a_jars: str | None = None
    """Where the nodes have the jars that read S3."""
    requirements: str | None = None
    """The file that the release is built from, where known."""

    @property
    def root(self) -> str:
        """The unpacked environment as Python workers see it."""
        return self.launcher.root or str(self.directory)

    @property
    def interpreter(self) -> str:
        """The packed Python as Python workers see it."""
        return f"{self.root}/bin/python"

    @property
    def archive(self) -> str:
        """The archive with the name of the directory that it is unpacked to."""
        return f"{self.uri}#{ALIAS}"

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("--archives", ",".join((self.archive, *self.also))) if self.launcher.option else ()

    @property
    def executor_conf(self) -> dict[str, str]:
        """The properties that give the environment's variables to the executors."""
        prefix = self.launcher.executor_variables
        own = variables.of(self.manifest, self.root)
        # Flink's TaskManagers are containers of YARN; Spark's executors hand the variables to Python themselves.
        given = variables.through_a_shell(own) if self.launcher.flink else own
        return {f"{prefix}{name}": value for name, value in given.items()} if prefix else {}

    @property
    def class_path(self) -> dict[str, str]:
        """The properties that let Spark's own processes read S3 before a job's jars are there."""
        if not (self.s3a_jars and self.launcher.fetches(self.uri)):
            return {}
        return {f"spark.{role}.extraClassPath": self.s3a_jars for role in ("driver", "executor")}


def settings_for(
    manifest: Manifest,
    archive_uri: str,
    *,
    launcher: str = DEFAULT,
    spark: str | None = None,
    driver_python: str | None = None,
    directory: Path | None = None,
    also_archives: Sequence[str] = (),
    s3a_jars: str | None = None,
    requirements: str | None = None,
) -> Settings:
    """Return what a launcher needs to run a job in a release.

    `archive_uri` is the archive's address in its store. `spark` is the cluster's version, by default the one the
    environment was built for; without either the newest is assumed. `driver_python` is the Python that runs the
    driver on the user's machine (see envpack/spark/driver.py), by default the command `pythonX.Y` of the version
    inside the archive. `directory` is where the user unpacks the archive if the launcher does not, by default
    `NAME-DIGEST` in the working directory. `also_archives` are other archives of the same job (see
    envpack/spark/archives.py). `s3a_jars` is a class path on every node, with the jars that read S3 where Spark
    itself fetches archives. `requirements` is the name of the file that the release is built from. Raises
    UsageError when the combination cannot work.
    """
    chosen = launcher_named(launcher)
    wanted = None if chosen.flink else spark or manifest.target.spark
    uri = address.of_archive(archive_uri, chosen)
    job = _Job(
        launcher=chosen,
        manifest=manifest,
        uri=uri,
        directory=(directory or Path(f"{manifest.name}-{manifest.short_digest}")).absolute(),
        spark=versions.minor(wanted) if wanted else None,
        python=versions.minor(manifest.python_minor),
        also=archives.joined(also_archives, uri, chosen),
        s3a_jars=s3a_jars,
        requirements=requirements or (manifest.provenance.file if manifest.provenance else None),
    )
    if job.spark:
        versions.refuse_python(job.spark, job.python)
    refuse_archive(chosen, job.spark, manifest.archive.format)
    match chosen.driver:
        case "cluster":
            return _settings(job, _on_the_cluster(job))
        case "server":
            return _settings(job, _on_a_server(job))
        case "session":
            return _in_a_session(job)
        case "client":
            return _beside_the_cluster(job, driver_python or f"python{manifest.python_minor}")
        case "local":
            return _on_one_machine(job)


def _settings(
    job: _Job,
    form: Form,
    *,
    archive: str | None = None,
    prepare: tuple[str, ...] = (),
    alternatives: tuple[Form, ...] = (),
    notes: tuple[str, ...] = (),
) -> Settings:
    launcher = job.launcher
    return Settings(
        launcher=launcher.name,
        archive=job.archive if launcher.archives else archive,
        also=job.also,
        arguments=form.arguments,
        conf={**form.conf, **job.class_path},
        env=form.env,
        prepare=prepare,
        alternatives=tuple(replace(other, conf={**other.conf, **job.class_path}) for other in alternatives),
        notes=(
            launcher.submit,
            *notes,
            *launcher.notes,
            *advice.about_archives(launcher),
            *advice.about_fetching(launcher, job.uri, job.s3a_jars),
            *advice.about_format(launcher, job.manifest),
            *advice.about_zones(launcher, job.manifest),
        ),
        warnings=tuple(advice.warnings(launcher, job.manifest, job.uri, job.spark, requirements=job.requirements)),
    )


def _on_the_cluster(job: _Job) -> Form:
    """Return the form for a driver inside the environment."""
    launcher = job.launcher
    own = variables.of(job.manifest, job.root)
    given = variables.through_a_shell(own) if launcher.yarn else own
    driver = {f"{launcher.driver_variables}{name}": value for name, value in given.items()}
    named = dict.fromkeys(launcher.python, job.interpreter)
    return Form(arguments=job.arguments, conf={**launcher.conf, **named, **driver, **job.executor_conf})


def _on_a_server(job: _Job) -> Form:
    """Return the form for a server whose sessions run Python, while it runs none itself."""
    return Form(
        arguments=job.arguments,
        conf=job.executor_conf,
        env=dict.fromkeys(job.launcher.python_variables, job.interpreter),
    )


def _in_a_session(job: _Job) -> Settings:
    """Return the settings of a client that sends the archive to its server; it can only send files."""
    form = Form(arguments=(), conf=dict.fromkeys(job.launcher.python, job.interpreter))
    file, fetch = address.local_file(job.uri)
    return _settings(job, form, archive=f"{file}#{ALIAS}", prepare=fetch, notes=(f"the client {_must_match(job)}",))


def _beside_the_cluster(job: _Job, driver: str) -> Settings:
    """Return the settings for a driver that a Python of the submitting machine runs.

    That Python must be named: without it the driver is started with the packed Python's path, which is not
    there. Properties win over variables, so the two forms cannot be mixed (Spark's deploy/PythonRunner).
    """
    own = variables.anywhere(job.manifest)
    by_conf = Form(
        arguments=job.arguments,
        conf={"spark.pyspark.python": PYTHON, "spark.pyspark.driver.python": driver, **job.executor_conf},
        env=own,
    )
    by_variables = Form(
        arguments=job.arguments,
        conf=job.executor_conf,
        env={"PYSPARK_PYTHON": PYTHON, "PYSPARK_DRIVER_PYTHON": driver, **own},
    )
    which = f"the driver runs in {driver} of the submitting machine: it {_must_match(job)}"
    notes = (which, *advice.beside_the_cluster(job.spark, driver, own))
    return _settings(job, by_conf, alternatives=(by_variables,), notes=notes)


def _on_one_machine(job: _Job) -> Settings:
    """Return the settings for driver and workers that use the archive where the user has unpacked it."""
    own = variables.of(job.manifest, job.root)
    by_conf = Form(arguments=(), conf={"spark.pyspark.python": job.interpreter, **job.executor_conf}, env=own)
    by_variables = Form(arguments=(), conf=job.executor_conf, env={"PYSPARK_PYTHON": job.interpreter, **own})
    unpack = address.unpack(job.uri, job.manifest.archive.format, job.directory)
    notes = [f"driver and workers both run {job.interpreter}; run the commands that unpack it first"]
    if own:
        notes.append(advice.where_you_start("the driver", own))
    return _settings(job, by_conf, prepare=unpack, alternatives=(by_variables,), notes=tuple(notes))


def _must_match(job: _Job) -> str:
    return (
        f"must be Python {versions.dotted(job.python)} and have what it imports itself, "
        "as pandas and pyarrow for pandas_udf"
    )
