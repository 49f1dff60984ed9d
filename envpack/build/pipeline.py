"""The order of the steps: requirements, lock, prefix, archive, verify, publish, settings."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from envpack import digest, requirements
from envpack.build import check, foresight, policy, shared_pieces, sources, store_reuse
from envpack.build.last_build import Memory
from envpack.build.make import Job, Watch, Workshop, allow, make
from envpack.build.results import Built, Locked
from envpack.config.config import options_given
from envpack.errors import BadConfiguration, BadRequirements, Gone, Problem, UsageError
from envpack.files import atomic
from envpack.files.cache import Cache
from envpack.gc.collect import remove_orphan
from envpack.gc.rules import configured as retention
from envpack.lock import pylock
from envpack.lock.file import dump
from envpack.lock.file import read as read_lock
from envpack.packages.package import packages_of
from envpack.progress import SILENT, Progress
from envpack.redact import hide
from envpack.releases import file_list, index, keys, lookup, publish, sbom, tags
from envpack.releases.manifest import Verification
from envpack.releases.provenance import who
from envpack.requirements.indexes import with_environment, with_mirrors, with_owners
from envpack.resolve.names import Names
from envpack.resolve.request import Limit, Request, differences
from envpack.spark import cluster, compatibility, versions
from envpack.spark.driver import choose_driver_python
from envpack.spark.settings import Settings, settings_for
from envpack.stores import store_of
from envpack.tools import descriptors, uv

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.config.config import Config
    from envpack.config.target import Target
    from envpack.lock.lock import Lock
    from envpack.releases.lookup import Release
    from envpack.releases.manifest import Manifest
    from envpack.requirements import Requirements
    from envpack.sources.builder import WheelBuilder
    from envpack.stores.base import Store


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one build that are not in the configuration."""

    name: str | None = None
    """The release's name; by default the requirements file's stem."""
    tag: str | None = None
    """A tag to move to the release, beside `latest`."""
    latest: bool = True
    """Whether `latest` moves to the release."""
    locked: bool = False
    """Fail when the lock is missing or stale."""
    upgrade: bool = False
    """Solve again although the lock is valid."""
    verify: bool = True
    """Verify the archive before it is published."""
    dry_run: bool = False
    """Solve, and change nothing."""
    driver_python: str | None = None
    """The Python of the driver in client modes; `auto` finds one."""


DEFAULTS = Options()

_LOCKS = (
    "channels", "python", "environment", "platform", "glibc", "cuda", "index_strategy", "from_pypi", "from_conda",
    "with_pyspark", "spark", "extra", "group", "project", "without_project",
)  # fmt: skip
"""Fields of the configuration that decide what is locked."""


def build(
    file: Path,
    *,
    config: Config,
    options: Options = DEFAULTS,
    text: str | None = None,
    progress: Progress = SILENT,
) -> Built:
    """Build what a requirements file asks for, publish it, and say how Spark runs in it.

    `text` is its content where there is no such file; then only its lock is written.
    An unchanged build returns the existing release. Raises the errors of its steps, each an EnvpackError.
    """
    watch = Watch()
    descriptors.ensure()
    _check(config, options)
    store = store_of(config) if config.store or not options.dry_run else None
    if store:
        store.check_usable()
    asked = read(file, config, text)
    request = request_of(asked, config)
    name = keys.check_name(options.name or default_name(asked), "; give another name with --name")
    with watch.time("solve"):
        locked = _lock(request, config, options, progress)
    job = Job(name=name, lock=locked.lock, request=request, config=config, verify=options.verify)
    where = store.uri(name) if store else f"s3://{name}"
    _settings(job.sketch(), where, config, options.driver_python)  # fails before the work, not after it
    release: Release | None
    if store and not options.dry_run:
        release, reused = _released(job, store, options, progress, watch)
    else:
        release, reused = _published(job, store) if store else None, True
        if release is None:
            foresight.allow_lock(job.lock, request, config, progress, sure=True)
    return Built(
        name=name,
        lock=locked.lock,
        release=release,
        reused=release is not None and reused,
        settings=settings(release, config, options.driver_python, asked=job.lock.target, requirements=file.name)
        if release
        else None,
        notes=(
            *locked.notes,
            *(_unfit(locked.lock) if options.dry_run else ()),
            *(release.manifest.warnings if release else ()),
            *(_kept_remarks(asked, release.manifest) if release else ()),
            *(policy.notes(policy.configured(config), release.manifest.packages) if release else ()),
        ),
        seconds=watch.seconds(),
    )


def _released(job: Job, store: Store, options: Options, progress: Progress, watch: Watch) -> tuple[Release, bool]:
    """Return the release of a job with its tags in place, and whether it already existed."""
    wanted = tuple(dict.fromkeys(tag for tag in (tags.LATEST if options.latest else None, options.tag) if tag))
    memory = Memory.of(Cache(Path(job.config.cache_dir)).unchanged, store, job.name, job.inputs)
    with watch.time("publish"):
        known = memory.recall(store, wanted)
    if known and not (job.verify and known.manifest.verified is Verification.NO):
        allow(known.manifest.packages, job.lock, job.request, job.config)
        return known, True
    provide = partial(_provide, job=job, store=store, wanted=wanted, progress=progress, watch=watch)
    try:
        release, reused = provide(_published(job, store))
    except Gone:  # a gc removed it: then it has to be made again
        release, reused = provide(None)
    memory.keep(store, release, wanted)
    return release, reused


def _provide(
    release: Release | None, *, job: Job, store: Store, wanted: Sequence[str], progress: Progress, watch: Watch
) -> tuple[Release, bool]:
    """Make the release unless it exists, and move its tags; return it and whether it already existed."""
    reused = True
    if release is None:
        cache = Cache(Path(job.config.cache_dir))
        with cache.scratch() as scratch:
            published = partial(sources.published, store=store, name=job.name, scratch=scratch)
            site = Workshop(cache=cache, scratch=scratch, progress=progress, published=published)
            release, reused = _make(job, store, site, watch)
    with watch.time("publish"):
        _tag(store, release, wanted, reused=reused)
    return release, reused


def read(file: Path, config: Config, text: str | None = None) -> Requirements:
    """Return what a requirements file, or the text in its place, asks for. Raises BadRequirements."""
    return requirements.read(
        file, environment=config.environment, extras=config.extra, groups=config.group, text=text
    )


def lock(
    file: Path,
    *,
    config: Config,
    options: Options = DEFAULTS,
    text: str | None = None,
    progress: Progress = SILENT,
) -> Locked:
    """Write the lock of a requirements file beside it, or find that the existing one is still valid."""
    descriptors.ensure()
    _check(config)
    request = request_of(read(file, config, text), config)
    locked = _lock(request, config, options, progress)
    return replace(locked, notes=(*locked.notes, *_unfit(locked.lock)))


def write_pylock(file: Path, lock: Lock) -> Path:
    """Write a lock's wheels beside its requirements file as PEP 751 says; return the path. Raises UsageError."""
    path = pylock.beside(file)
    try:
        atomic.write(path, hide(pylock.dump(lock)).encode())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="correct the permissions of its directory"
        ) from error
    return path


def settings(
    release: Release,
    config: Config,
    driver_python: str | None = None,
    directory: Path | None = None,
    *,
    asked: Target | None = None,
    requirements: str | None = None,
) -> Settings:
    """Return what the configured launcher needs to run in a release.

    The Spark is the configured one, else that of `asked`, the requests of the newest build, else the manifest's.
    `directory` is where the user unpacks the archive, for a launcher that does not; `requirements` is the name of
    the file that the release is built from. Raises UsageError when launcher, Spark and archive cannot work
    together.
    """
    chosen = replace(config, spark=config.spark or (asked.spark if asked else None))
    return _settings(
        release.manifest, release.archive_uri, chosen, driver_python, directory, requirements=requirements
    )


def request_of(asked: Requirements, config: Config) -> Request:
    """Return what is asked of the resolver: the file and the configuration together.

    Channels named by a flag or a variable replace an environment file's own (conda's `--override-channels`), and
    those replace `envpack.yaml`'s. A pyspark in the file is left to the cluster, and gives the cluster's Spark
    version where nothing else does.
    """
    chosen = config.origins.get("channels", "").startswith(("--", "ENVPACK_"))
    channels = config.channels if chosen or not asked.channels else asked.channels
    understood = cluster.understand(
        asked,
        spark=config.spark,
        said_by=config.origins.get("spark", "the configuration"),
        target=config.target(),
        python=config.python,
        with_pyspark=config.with_pyspark,
    )
    spark, names = understood.spark, Names(config.names)
    asked_for = {line.name for line in asked.pypi}
    idle = [
        f"{flag} {name} has no effect: no line of {asked.path} asks for it"
        for flag, given in (("--from-pypi", config.from_pypi), ("--from-conda", config.from_conda))
        for name in given
        if config.origins.get(flag[2:].replace("-", "_")) == flag and names.meant(name, asked_for) not in asked_for
    ]
    own = sources.with_project(understood.requirements, config)
    named = with_environment(replace(own.indexes, strategy=config.index_strategy), os.environ)
    owned = with_owners(named, config.package_index)
    reached = with_mirrors(owned, config.index_mirrors, default=partial(_default_index, config))
    return Request(
        requirements=replace(own, indexes=reached),
        target=replace(config.target(), spark=spark),
        channels=channels,
        python=config.python,
        from_pypi=frozenset(
            [*(names.meant(name, asked_for) for name in config.from_pypi), *filter(reached.owner_of, asked_for)]
        ),
        from_conda=frozenset(names.meant(name, asked_for) for name in config.from_conda),
        names=names,
        conda_first=understood.conda_first,
        limits=(
            *_python_limits(own),
            *understood.limits,
            *(compatibility.limits(spark, config.python, asked) if spark else ()),
        ),
        additions=compatibility.additions(spark) if spark else (),
        provided=understood.provided,
        notes=(*asked.warnings, *idle, *understood.notes),
        contents=sources.contents(own, config),
        without_project=config.without_project,
        no_build=sources.forbidden(config),
    )


def _default_index(config: Config) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return uv.default_index(cache=Cache(Path(config.cache_dir)).uv, workdir=Path(folder))


def _python_limits(asked: Requirements) -> tuple[Limit, ...]:
    """Return the bound of a project's `requires-python`."""
    if not asked.requires_python:
        return ()
    reason = f"{asked.path} is for Python {asked.requires_python}"
    return (Limit(bounds={"python": asked.requires_python}, reason=reason),)


def default_name(asked: Requirements) -> str:
    """Return the release name that a requirements file suggests: its stem in small letters, blanks as `-`."""
    return re.sub(r"[^a-z0-9._-]+", "-", asked.stem.lower()).strip("-._")


def _settings(
    manifest: Manifest,
    archive_uri: str,
    config: Config,
    driver_python: str | None,
    directory: Path | None = None,
    *,
    requirements: str | None = None,
) -> Settings:
    return settings_for(
        manifest,
        archive_uri,
        launcher=config.launcher,
        spark=config.spark,
        driver_python=choose_driver_python(driver_python, manifest.python_minor),
        directory=directory,
        also_archives=config.also_archives,
        s3a_jars=config.s3a_jars,
        requirements=requirements,
    )


def _published(job: Job, store: Store) -> Release | None:
    """Return the release of the same inputs, unless it was never verified and now should be.

    Raises PolicyViolated when it contains packages that a newer policy does not allow.
    """
    release = lookup.find_build(store, job.name, job.inputs)
    if release:
        allow(release.manifest.packages, job.lock, job.request, job.config)
    if release and job.verify and not lookup.is_verified(store, release):
        return None
    return release


def _check(config: Config, options: Options = DEFAULTS) -> None:
    """Refuse invalid options before any file is read. Raises UsageError."""
    given = {"name": options.name, "tag": options.tag, "driver_python": options.driver_python}
    if problems := [*check.problems_of(config), *check.options(given)]:
        raise BadConfiguration(problems)
    policy.configured(config)


def _kept_remarks(asked: Requirements, manifest: Manifest) -> Iterator[str]:
    """Yield the remarks of the file that a release lacks, since a release is never changed."""
    for what in ("description", "owner"):
        said, kept = getattr(asked, what), getattr(manifest, what)
        if said != kept:
            yield (
                f"{manifest.reference} keeps the {what} that it was published with"
                f"{f', {kept!r}' if kept else ': none'}; the next release gets the new one"
            )


def _unfit(lock: Lock) -> tuple[str, ...]:
    """Return what will not work with the cluster's Spark in a locked environment; settings say it for a release."""
    if lock.target.spark is None:
        return ()
    packages = {package.name: package.version for package in packages_of(lock)}
    python = versions.minor(lock.python_minor)
    return tuple(compatibility.warnings(versions.minor(lock.target.spark), python, packages))


def _lock(request: Request, config: Config, options: Options, progress: Progress) -> Locked:
    path = request.requirements.path
    path = path.with_name(f"{path.name}.lock")
    old = read_lock(path) if path.exists() and not options.upgrade else None
    if old and old.request == request.digest():
        foresight.allow_lock(old, request, config, progress)
        return Locked(lock=old, path=path, solved=False, notes=request.notes)
    if old and old.frame == request.frame() and (now := _with_projects_of_now(old, request, config, progress)):
        foresight.allow_lock(now, request, config, progress)
        kept = () if options.locked or options.dry_run else _write_lock(path, now)
        return Locked(lock=now, path=path, solved=False, notes=(*request.notes, *kept))
    if options.locked:
        command = f"envpack lock {shlex.quote(str(request.requirements.path))}"
        flags = options_given(config, _LOCKS)
        raise BadRequirements(
            [Problem(str(path), 0, _stale(old, request) if old else "this lock does not exist")],
            hint=f"solve again with `{' '.join([command, *flags])}`, or leave out --locked",
        )
    from envpack.resolve.solve import resolve

    cache = Cache(Path(config.cache_dir))
    with cache.scratch() as scratch:
        builder = sources.builder(request, config, cache, scratch, progress)
        resolved = resolve(request, cache=cache, scratch=scratch, builder=builder, progress=progress)
    foresight.allow_lock(resolved.lock, request, config, progress)
    notes = (*request.notes, *resolved.notes)
    if not options.dry_run:
        notes = (*notes, *_write_lock(path, resolved.lock))
    elif old:
        file = request.requirements.path.name
        remedy = f"run `envpack lock {file}`, commit both"
        notes = (*notes, f"{path.name} is not the lock of {file} as it is now: {remedy}")
    return Locked(lock=resolved.lock, path=path, solved=True, notes=notes)


def _stale(old: Lock, request: Request) -> str:
    """Return the difference between this request and the one that a lock answers."""
    found = differences(old.asked, request.parts())
    what = f": {'; '.join(found)}" if found else ""
    return f"the lock does not match its requirements and configuration{what}"


def _with_projects_of_now(old: Lock, request: Request, config: Config, progress: Progress) -> Lock | None:
    """Return a lock with the team's own projects as they are now; None when it has to be solved again."""
    cache = Cache(Path(config.cache_dir))
    with cache.scratch() as scratch:
        builder = sources.builder(request, config, cache, scratch, progress)
        return sources.renewed(old, request, builder)


def _write_lock(path: Path, lock: Lock) -> tuple[str, ...]:
    """Write a lock whole or not at all; a directory that cannot be written is not an error."""
    try:
        atomic.write(path, hide(dump(lock)).encode())
    except OSError as error:
        return (f"the lock was not kept: {path}: {error.strerror}",)
    return ()


def _make(job: Job, store: Store, site: Workshop, watch: Watch) -> tuple[Release, bool]:
    """Make an archive and publish it; return the release and whether someone else had published it."""
    made = make(job, site, watch, store)
    with watch.time("publish"):
        pieces = made.packed.pieces
        facts = store_reuse.dump(pieces)
        record = made.verification
        proofs = (digest.of_bytes(facts), digest.of_bytes(record) if record else None)
        listed = shared_pieces.dump(made.manifest.archive.file, pieces, *proofs)
        published = shared_pieces.PublishedPieces.load(site.cache.published, store)
        beside = {
            file_list.FILE: file_list.dumps(made.files),
            keys.lock_file(job.name): dump(job.lock).encode(),
            sbom.FILE: sbom.of(made.manifest),
            keys.PIECES: listed,
            keys.PIECE_FACTS: facts,
            **({keys.VERIFICATION: record} if record else {}),
        }
        put = partial(
            publish.publish,
            store,
            made.manifest,
            made.packed.path,
            beside,
            wheels=sources.compiled(job.lock, partial(_builder, job, site)),
            held=shared_pieces.held_by(store, job.name, pieces, published),
            progress=site.progress,
        )
        try:
            release, written = put()
        except publish.Orphan as orphan:
            if not remove_orphan(store, orphan.folder, retention(job.config).grace, site.progress):
                raise
            release, written = put()
        published.remember(made.manifest.folder, pieces)
        verified = made.manifest.verified
        if verified is not Verification.NO and not written and release.manifest.verified is Verification.NO:
            publish.mark_verified(store, release, verified)
    return release, not written


def _builder(job: Job, site: Workshop) -> WheelBuilder:
    return sources.builder(job.request, job.config, site.cache, site.scratch, site.progress)


def _tag(store: Store, release: Release, wanted: Sequence[str], *, reused: bool) -> None:
    by, _ = who(os.environ)
    name, sha256 = release.manifest.name, release.manifest.digest
    before = [tags.advance(store, name, tag, sha256, by=by) for tag in wanted]
    if not reused or any(tag is None or tag.digest != sha256 for tag in before):
        index.refresh(store, name)
