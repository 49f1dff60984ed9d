"""The order of the steps: requirements, lock, prefix, archive, verify, publish, settings."""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from envpack import digest, releases, requirements, tags
from envpack.archive import PACKER
from envpack.cache import Cache
from envpack.dependencies import with_requires
from envpack.errors import BadRequirements, Problem, Unsatisfiable
from envpack.lock import Lock, dump, parse
from envpack.manifest import ArchiveFacts, Format, Manifest, packages_of
from envpack.progress import SILENT, Progress
from envpack.provenance import provenance_of, who
from envpack.resolve.names import Names
from envpack.resolve.request import Request
from envpack.results import Built, Locked
from envpack.spark import cluster, compatibility, versions
from envpack.spark.driver import choose_driver_python
from envpack.spark.settings import Settings, settings_for
from envpack.stores import store_of
from envpack.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpack.archive import Packed
    from envpack.config import Config
    from envpack.prefix import Login
    from envpack.releases import Release
    from envpack.requirements import Requirements
    from envpack.stores.base import Store
    from envpack.verify import Verified


@dataclass(frozen=True, kw_only=True)
class Options:
    """How one build differs from another of the same configuration."""

    name: str | None = None
    """The release's name; by default the requirements file's stem."""
    tag: str | None = None
    """A tag to move to the release, beside `latest`."""
    latest: bool = True
    """Whether `latest` moves to the release."""
    locked: bool = False
    """Fail when the lock is missing or stale."""
    upgrade: bool = False
    """Solve anew though the lock is good."""
    verify: bool = True
    """Try the archive before it is published."""
    dry_run: bool = False
    """Solve, and change nothing."""
    driver_python: str | None = None
    """The Python of the driver in client modes; `auto` finds one."""


DEFAULTS = Options()


@dataclass(frozen=True, kw_only=True)
class _Site:
    """Where a build works: its store, its caches and its own empty directory."""

    store: Store
    cache: Cache
    scratch: Path
    progress: Progress

    def room(self, name: str) -> Path:
        """Return a new empty directory."""
        path = self.scratch / name
        path.mkdir()
        return path


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is to be made."""

    name: str
    lock: Lock
    request: Request
    config: Config
    options: Options

    @property
    def format(self) -> Format:
        return cast("Format", self.config.format)

    @property
    def inputs(self) -> str:
        """The digest of all that decides the archive's bytes."""
        return digest.of_json({"lock": self.lock.identity(), "format": self.format, "packer": PACKER})

    def sketch(self) -> Manifest:
        """Return the manifest as far as it is known before there is an archive."""
        unknown = "0" * 64
        return Manifest(
            name=self.name,
            archive=ArchiveFacts(
                file=releases.archive_file(self.name, unknown, self.format),
                format=self.format,
                size=0,
                sha256=unknown,
                unpacked_size=0,
                members=0,
            ),
            python=self.lock.python,
            target=self.lock.target,
            packages=packages_of(self.lock),
            requested=self.lock.requested,
            input_digest=self.inputs,
            envpack=VERSION,
        )


class _Watch:
    """Takes the time of the named parts of a build."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._taken: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self._taken[name] = self._taken.get(name, 0.0) + time.monotonic() - start

    def seconds(self) -> dict[str, float]:
        return {**self._taken, "total": time.monotonic() - self._start}


def build(file: Path, *, config: Config, options: Options = DEFAULTS, progress: Progress = SILENT) -> Built:
    """Build what a requirements file asks for, publish it, and say how Spark runs in it.

    An unchanged build ends with the release that is there. Raises the errors of its steps, each an EnvpackError.
    """
    watch = _Watch()
    _check(config)
    asked = requirements.read(file)
    request = request_of(asked, config)
    name = releases.check_name(options.name or default_name(asked))
    store = store_of(config) if config.store or not options.dry_run else None
    cache = Cache(Path(config.cache_dir))
    with watch.time("solve"):
        locked = _lock(request, cache, options, progress)
    job = _Job(name=name, lock=locked.lock, request=request, config=config, options=options)
    where = store.uri(name) if store else f"s3://{name}"
    _settings(job.sketch(), where, config, options.driver_python)  # refuses before the work, not after it
    release, reused = _published(job, store) if store else None, True
    if store and not options.dry_run:
        if release is None:
            with cache.scratch() as scratch:
                site = _Site(store=store, cache=cache, scratch=scratch, progress=progress)
                release, reused = _make(job, site, watch)
        with watch.time("publish"):
            _tag(store, release, options)
    return Built(
        name=name,
        lock=locked.lock,
        release=release,
        reused=release is not None and reused,
        settings=settings(release, config, options.driver_python) if release else None,
        notes=(
            *locked.notes,
            *(_unfit(locked.lock) if options.dry_run else ()),
            *(release.manifest.warnings if release else ()),
        ),
        seconds=watch.seconds(),
    )


def lock(file: Path, *, config: Config, options: Options = DEFAULTS, progress: Progress = SILENT) -> Locked:
    """Write the lock of a requirements file beside it, or find that the one there is still good."""
    _check(config)
    request = request_of(requirements.read(file), config)
    locked = _lock(request, Cache(Path(config.cache_dir)), options, progress)
    return replace(locked, notes=(*locked.notes, *_unfit(locked.lock)))


def pack_prefix(prefix: Path, file: Path, format: Format, *, config: Config, progress: Progress = SILENT) -> Packed:
    """Pack an existing prefix, which is not changed, into a file.

    Bytecode that a node could use is compiled aside when the prefix's Python runs here; what lies in the prefix
    holds times and paths, and is left out. Raises PackingFailed.
    """
    from envpack.archive import compile_prefix, pack

    with Cache(Path(config.cache_dir)).scratch() as scratch:
        bytecode = scratch / "bytecode"
        bytecode.mkdir()
        python = prefix / "bin" / "python"
        if python.exists():
            compile_prefix(prefix, python=python, into=bytecode, progress=progress)
        return pack(prefix, file, format=format, bytecode=bytecode, progress=progress)


def settings(
    release: Release, config: Config, driver_python: str | None = None, directory: Path | None = None
) -> Settings:
    """Return what the configured launcher needs to run in a release.

    `directory` is where the person unpacks the archive, for a launcher that does not. Raises UsageError when
    launcher, Spark and archive cannot work together.
    """
    return _settings(release.manifest, release.archive_uri, config, driver_python, directory)


def request_of(asked: Requirements, config: Config) -> Request:
    """Return what is asked of the resolver: the file and the configuration together.

    Channels named by a flag or a variable come before an environment file's own, and those before `envpack.yaml`'s.
    A pyspark in the file is left to the cluster, and says which Spark it has where nothing else does.
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
    spark = understood.spark
    return Request(
        requirements=understood.requirements,
        target=replace(config.target(), spark=spark),
        channels=channels,
        python=config.python,
        from_pypi=frozenset(config.from_pypi),
        from_conda=frozenset(config.from_conda),
        names=Names(config.names),
        conda_first=understood.conda_first,
        limits=(*understood.limits, *(compatibility.limits(spark, config.python, asked) if spark else ())),
        additions=compatibility.additions(spark) if spark else (),
        provided=understood.provided,
        notes=understood.notes,
    )


def default_name(asked: Requirements) -> str:
    """Return the release name that a requirements file suggests: its stem in small letters, blanks as `-`."""
    return re.sub(r"[^a-z0-9._-]+", "-", asked.stem.lower()).strip("-._")


def _settings(
    manifest: Manifest, archive_uri: str, config: Config, driver_python: str | None, directory: Path | None = None
) -> Settings:
    return settings_for(
        manifest,
        archive_uri,
        launcher=config.launcher,
        spark=config.spark,
        driver_python=choose_driver_python(driver_python, manifest.python_minor),
        directory=directory,
    )


def _published(job: _Job, store: Store) -> Release | None:
    """Return the release of the same inputs, unless it was never verified and now should be."""
    release = releases.find_build(store, job.name, job.inputs)
    if release and job.options.verify and not releases.is_verified(store, release):
        return None
    return release


def _check(config: Config) -> None:
    """Refuse values that cannot be used before any file is read. Raises UsageError."""
    config.target()
    if config.spark:
        versions.line_of(versions.minor(config.spark))


def _unfit(lock: Lock) -> tuple[str, ...]:
    """Return what will not work with the cluster's Spark in a locked environment; settings say it of a release."""
    if lock.target.spark is None:
        return ()
    packages = {package.name: package.version for package in packages_of(lock)}
    python = versions.minor(lock.python_minor)
    return tuple(compatibility.warnings(versions.minor(lock.target.spark), python, packages))


def _lock(request: Request, cache: Cache, options: Options, progress: Progress) -> Locked:
    path = request.requirements.path
    path = path.with_name(f"{path.name}.lock")
    old = _read_lock(path) if path.exists() and not options.upgrade else None
    if old and old.request == request.digest():
        return Locked(lock=old, path=path, solved=False, notes=request.notes)
    if options.locked:
        state = "does not match its requirements and configuration" if path.exists() else "is missing"
        raise BadRequirements(
            [Problem(str(path), 0, f"the lock {state}")], hint=f"run `envpack lock {request.requirements.path}`"
        )
    from envpack.resolve.solve import resolve

    with cache.scratch() as scratch:
        resolved = resolve(request, cache=cache, scratch=scratch, progress=progress)
    notes = (*request.notes, *resolved.notes)
    if not options.dry_run:
        notes = (*notes, *_write_lock(path, resolved.lock))
    return Locked(lock=resolved.lock, path=path, solved=True, notes=notes)


def _read_lock(path: Path) -> Lock:
    return parse(path.read_text("utf-8"), str(path))


def _write_lock(path: Path, lock: Lock) -> tuple[str, ...]:
    """Write a lock whole or not at all; a directory that cannot be written is no reason to fail."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(dump(lock), "utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        return (f"the lock was not kept: {path}: {error.strerror}",)
    return ()


def _make(job: _Job, site: _Site, watch: _Watch) -> tuple[Release, bool]:
    """Link, pack, verify and publish; return the release and whether someone else had published it."""
    from envpack import activation

    with watch.time("install"):
        prefix, warnings = _install(job.lock, job.request, site)
        activation.keep(prefix, job.lock.variables)
    with watch.time("pack"):
        packed = _pack(prefix, job, site)
    with watch.time("install"):  # of scripts that run after the archive was made nothing can be in it
        activated = activation.activate(
            prefix,
            job.lock.variables,
            target=job.lock.target,
            workdir=site.room("activation"),
            progress=site.progress,
        )
        warnings += activated.warnings
    verified = None
    if job.options.verify:
        with watch.time("verify"):
            verified = _verify(packed, job.lock, prefix, activated.variables, site)
            warnings += verified.notes
    sketch = job.sketch()
    asked = job.request.requirements
    manifest = replace(
        sketch,
        archive=ArchiveFacts(
            file=releases.archive_file(job.name, packed.sha256, packed.format),
            format=packed.format,
            size=packed.size,
            sha256=packed.sha256,
            unpacked_size=packed.unpacked_size,
            members=packed.members,
        ),
        variables=dict(activated.variables),
        created=tags.now(),
        verified=verified.how if verified else "no",
        warnings=warnings,
        packages=with_requires(
            sketch.packages,
            job.lock,
            prefix,
            extras={line.name: line.extras for line in asked.pypi},
            project=job.request.names.project,
        ),
        provenance=provenance_of(asked.path, os.environ),
    )
    with watch.time("publish"):
        release, written = releases.publish(
            site.store, manifest, packed.path, {f"{job.name}.lock": dump(job.lock).encode()}, site.progress
        )
    if verified and not written and release.manifest.verified == "no":
        releases.mark_verified(site.store, release, verified.how)
    return release, not written


def _install(lock: Lock, request: Request, site: _Site) -> tuple[Path, tuple[str, ...]]:
    """Link the lock into a prefix with its bytecode; return the prefix and what to warn about."""
    from envpack.archive import compile_prefix
    from envpack.prefix import link_conda, link_wheels

    prefix = site.room("prefix")
    login = _login(request)
    with_scripts = link_conda(
        lock.packages,
        prefix,
        platform=lock.target.platform,
        login=login,
        cache=site.cache,
        progress=site.progress,
    )
    python = prefix / "bin" / "python" if lock.target.is_this_machine else _other_python(lock, login, site)
    link_wheels(
        lock.wheels,
        prefix,
        python=python,
        version=lock.python,
        target=lock.target,
        login=login,
        cache=site.cache,
        scratch=site.room("wheels"),
        progress=site.progress,
    )
    compile_prefix(prefix, python=python, progress=site.progress)
    return prefix, tuple(f"{name} has a post-link script, which was not run" for name in with_scripts)


def _other_python(lock: Lock, login: Login, site: _Site) -> Path:
    """Return an interpreter for this machine of the very version that is packed for another platform.

    Bytecode differs between versions, so no other version will do. The channels are asked first.
    """
    from envpack.prefix import link_conda
    from envpack.resolve.conda import Channels, Machine

    here = Machine.here()
    try:
        packages = Channels(login.channels, here, site.cache.repodata).solve([f"python =={lock.python}"])
    except Unsatisfiable as error:
        if ".".join(map(str, sys.version_info[:3])) == lock.python:
            return Path(sys.executable)
        raise Unsatisfiable(
            f"to build for {lock.target.platform}, Python {lock.python} is needed on this machine as well, and the "
            f"channels have none for {here.platform}",
            hint=f"run envpack with Python {lock.python}, or add that Python to a channel",
        ) from error
    prefix = site.room("other-python")
    link_conda(packages, prefix, platform=here.platform, login=login, cache=site.cache, progress=site.progress)
    return prefix / "bin" / "python"


def _pack(prefix: Path, job: _Job, site: _Site) -> Packed:
    from envpack.archive import pack

    out = site.room("archive") / f"{job.name}.{job.format}"
    return pack(prefix, out, format=job.format, progress=site.progress)


def _verify(packed: Packed, lock: Lock, prefix: Path, variables: Mapping[str, str], site: _Site) -> Verified:
    from envpack.verify import verify

    return verify(
        packed.path,
        target=lock.target,
        python=lock.python,
        requested=lock.requested,
        build_prefix=prefix,
        variables=variables,
        workdir=site.room("node"),
        progress=site.progress,
    )


def _login(request: Request) -> Login:
    from envpack.prefix import Login
    from envpack.resolve.conda import channel_url
    from envpack.resolve.pypi import index_arguments

    base = request.requirements.path.parent
    return Login(
        channels=tuple(channel_url(channel, base) for channel in request.channels),
        index_arguments=tuple(index_arguments(request.requirements.indexes)),
    )


def _tag(store: Store, release: Release, options: Options) -> None:
    wanted = (tags.LATEST if options.latest else None, options.tag)
    by, _ = who(os.environ)
    for tag in dict.fromkeys(tag for tag in wanted if tag):
        tags.advance(store, release.manifest.name, tag, release.manifest.digest, by=by)
