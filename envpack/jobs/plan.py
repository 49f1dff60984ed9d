"""Turn a job file into a submission: one environment, one code base, the launcher's settings, the arguments."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envpack import digest
from envpack.build import pipeline
from envpack.errors import Conflict, StoreRefused, UsageError
from envpack.files import atomic
from envpack.files.cache import Cache
from envpack.jobs import code, job_file
from envpack.progress import SILENT
from envpack.pull.shared import place, prepare
from envpack.releases import keys, references
from envpack.releases.lookup import asked_of, check_there
from envpack.spark import address, variables
from envpack.spark.launchers import launcher_named
from envpack.stores import store_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpack.config.config import Config
    from envpack.jobs.code import CodeBundle
    from envpack.jobs.job_file import JobFile
    from envpack.progress import Progress
    from envpack.releases.lookup import Release
    from envpack.spark.launcher import Launcher
    from envpack.spark.settings import Settings
    from envpack.stores.base import Store

_RESOURCES = {
    "resources_driver_memory": "spark.driver.memory",
    "resources_driver_cores": "spark.driver.cores",
    "resources_executor_memory": "spark.executor.memory",
    "resources_executor_cores": "spark.executor.cores",
    "resources_executors": "spark.executor.instances",
}
_YARN = {"resources_queue": "spark.yarn.queue"}
_KUBERNETES = {
    "kubernetes_namespace": "spark.kubernetes.namespace",
    "kubernetes_image": "spark.kubernetes.container.image",
    "kubernetes_service_account": "spark.kubernetes.authenticate.driver.serviceAccountName",
}

RUNNER = Path(__file__).with_name("runner_script.py")
"""The program that Spark is given; it runs a module of the zip."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The options of one submission that are not in the job file."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values that replace the file's."""
    code: str | None = None
    """The digest of a code base in the store, instead of the working tree."""
    environment: str | None = None
    """A reference that replaces the file's."""
    pinned: bool = False
    """Whether code and environment must be named by digests."""
    driver_python: str | None = None
    """The Python of the driver in client modes; `auto` finds one."""
    dry_run: bool = False
    """Change nothing."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Everything that a launcher needs to run a job, resolved to digests."""

    job: JobFile
    launcher: Launcher
    store: Store
    release: Release
    code: str
    """The digest of the zip."""
    bundle: CodeBundle | None
    """The zip, if it was packed now; None if it is in the store."""
    module: str
    """What is run of it."""
    parameters: Mapping[str, str]
    settings: Settings
    conf: Mapping[str, str]
    """All Spark properties: the job's, then those that pass environment and code."""
    env: Mapping[str, str]
    """Variables of the process that starts the application."""
    program: str
    """The address of the runner, as Spark reads it."""
    zip: str
    """The address of the code."""
    master: str | None
    directory: Path | None = None
    """Where the release is unpacked, for a launcher that runs everything on this machine."""
    notes: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of the runner: what it runs, in what, then the job's own."""
        manifest = self.release.manifest
        given = [word for name, value in self.parameters.items() for word in (f"--{name}", value)]
        return (self.code, manifest.reference, self.module, *given, *self.job.arguments)


def plan(job: JobFile, config: Config, choices: Choices, progress: Progress = SILENT) -> Planned:
    """Resolve a job. Nothing is sent or submitted; a requirements file is built, unless it is a dry run.

    Raises UsageError for a job that cannot be submitted, and the errors of a build.
    """
    values = job_file.parameters(job, choices.parameters)
    chosen = replace(config, launcher=launcher_name(job, config), spark=config.spark or job.spark)
    launcher = launcher_named(chosen.launcher)
    _refuse_floating(job, choices)
    if choices.code is not None:
        code.check_digits(choices.code)
    bundle = None if choices.code else code.pack(job)
    store, release = _environment(job, chosen, choices, progress)
    sha256 = bundle.digest if bundle else code.by_digest(store, str(choices.code))
    directory = None
    if launcher.driver == "local":
        cache = Cache(Path(config.cache_dir))
        directory = (
            place(release, cache) if choices.dry_run else prepare(store, release, cache=cache, progress=progress)
        )
    asked = None if chosen.spark else asked_of(store, release)
    settings = pipeline.settings(release, chosen, choices.driver_python, directory, asked=asked)
    program, archive = _addresses(launcher, store, config, sha256, local=directory is not None)
    return Planned(
        job=job,
        launcher=launcher,
        store=store,
        release=release,
        code=sha256,
        bundle=bundle,
        module=code.module_of(job),
        parameters=values,
        settings=settings,
        conf=_conf(job, launcher, settings, release, sha256),
        env={**settings.env, **(job.env if launcher.driver in ("client", "local") else {})},
        program=program,
        zip=archive,
        master=job.master or launcher.master,
        directory=directory,
        notes=bundle.notes if bundle else (),
    )


def launcher_name(job: JobFile, config: Config) -> str:
    """Return the launcher of the flag, else of the job file, else of the configuration."""
    flag = config.origins.get("launcher", "").startswith("--")
    return launcher_named(config.launcher if flag or not job.launcher else job.launcher).name


def send_runner(store: Store) -> tuple[str, bytes]:
    """Write the runner of code bases to the store, unless it exists; return its key and its bytes."""
    runner = RUNNER.read_bytes()
    key = keys.runner(digest.of_bytes(runner))
    found = store.read(key)
    if found is None:
        store.create(key, runner)
    elif found.data != runner:
        raise Conflict(
            f"the content of {store.uri(key)} does not match the digest in its name",
            hint="remove it; its owner or the store's access log shows who wrote it",
        )
    return key, runner


def deliver(planned: Planned, cache: Cache) -> bool:
    """Put the code and the runner where the launcher reads them; say whether the code was sent.

    A job on this machine needs no store that can be written. Raises Conflict for other content under their names.
    """
    local, sent = planned.launcher.driver == "local", False
    runner = RUNNER.read_bytes()
    key = keys.runner(digest.of_bytes(runner))
    try:
        sent = code.send(planned.store, planned.bundle) if planned.bundle else False
        send_runner(planned.store)
    except StoreRefused:
        if not local:
            raise
    if local:
        data = planned.bundle.data if planned.bundle else code.there(planned.store, planned.code)
        _keep(cache, key, runner)
        _keep(cache, keys.code(planned.code), data or b"")
    return sent


def _keep(cache: Cache, key: str, data: bytes) -> None:
    path = cache.root / key
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or digest.of_bytes(path.read_bytes()) != digest.of_bytes(data):
            atomic.write(path, data)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="use another directory with --cache-dir"
        ) from error


def _refuse_floating(job: JobFile, choices: Choices) -> None:
    """Raise UsageError if `--pinned` is requested and the code or the environment is not fixed."""
    if not choices.pinned:
        return
    problems = []
    if not choices.code:
        problems.append("--pinned: the code would come from the working tree: give it with --code DIGEST")
    reference = job.environment if choices.environment is None else choices.environment
    if job_file.is_requirements(reference):
        problems.append(f"--pinned: {reference} would be built: give a release with --env NAME@DIGEST")
    elif not references.parse(reference).digest:
        problems.append(f"--pinned: {reference} follows its tag: give a release with --env NAME@DIGEST")
    if problems:
        raise UsageError(problems, hint="`envpack job history` shows the digests of what was submitted")


def _environment(job: JobFile, config: Config, choices: Choices, progress: Progress) -> tuple[Store, Release]:
    if choices.environment is not None and job_file.is_requirements(choices.environment):
        raise UsageError(
            f"--env: {choices.environment} is a file, not a release",
            hint="write `environment:` in the job file, or build it first and give NAME@DIGEST",
        )
    if choices.environment is not None or job.requirements is None:
        found = references.find(job.environment if choices.environment is None else choices.environment, config)
        return found.store, check_there(found.store, found.release)
    options = pipeline.Options(dry_run=choices.dry_run)
    built = pipeline.build(job.requirements, config=config, options=options, progress=progress)
    if built.release is None:
        raise UsageError(
            f"{job.where('environment')}: {job.environment} has no release yet, and --dry-run does not build one",
            hint=f"run `envpack build {job.environment}` first",
        )
    return store_of(config), built.release


def _addresses(launcher: Launcher, store: Store, config: Config, sha256: str, *, local: bool) -> tuple[str, str]:
    """Return the addresses of the runner and of the code, as the launcher's Spark reads them."""
    names = keys.runner(digest.of_bytes(RUNNER.read_bytes())), keys.code(sha256)
    if local:
        program, archive = (str(Path(config.cache_dir).absolute() / name) for name in names)
    else:
        program, archive = (address.of_archive(store.uri(name), launcher) for name in names)
    return program, archive


def _conf(job: JobFile, launcher: Launcher, settings: Settings, release: Release, sha256: str) -> dict[str, str]:
    """Return every property, in the order: the job's, its resources, variables, the environment's, envpack's."""
    fields = {**_RESOURCES, **(_YARN if launcher.yarn else {}), **(_KUBERNETES if _on_kubernetes(launcher) else {})}
    resources = {name: str(value) for field, name in fields.items() if (value := getattr(job, field))}
    own = {f"{launcher.executor_variables}{name}": value for name, value in job.env.items()}
    if launcher.driver_variables:
        given = variables.through_a_shell(job.env) if launcher.yarn else job.env
        own |= {f"{launcher.driver_variables}{name}": value for name, value in given.items()}
    ours = {
        "spark.envpack.job": job.name,
        "spark.envpack.code": sha256,
        "spark.envpack.environment": release.manifest.reference,
    }
    return {**job.conf, **resources, **settings.conf, **own, **ours}


def _on_kubernetes(launcher: Launcher) -> bool:
    return launcher.kubernetes or launcher.name == "k8s-client"
