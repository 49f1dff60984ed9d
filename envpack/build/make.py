"""From a lock to a verified archive: link, pack, verify; or compose it from pieces that were verified before."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, cast

from envpack import digest, units
from envpack.archive.bytecode import Compiler
from envpack.archive.packer import PACKER
from envpack.archive.packing import assemble, pack
from envpack.archive.pieces import Kept
from envpack.archive.slim import VERSION as SLIM
from envpack.build import policy, sources
from envpack.build.archive_options import level_of, pieces_of
from envpack.build.recipes import Recipe, Recipes, recipe_of
from envpack.build.store_reuse import Reuse, StoreReuse
from envpack.errors import DamagedPackage
from envpack.packages.dependencies import with_requires
from envpack.packages.licenses import with_licenses
from envpack.packages.package import packages_of
from envpack.releases.file_list import list_files, with_sizes
from envpack.releases.keys import archive_file
from envpack.releases.manifest import ArchiveFacts, Manifest, Verification
from envpack.releases.provenance import provenance_of
from envpack.tools.cage import Confine
from envpack.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from envpack.archive.formats import FormatName
    from envpack.archive.packing import Packed
    from envpack.archive.pieces import Pieces
    from envpack.config.config import Config
    from envpack.files.cache import Cache
    from envpack.lock.lock import Lock, Wheel
    from envpack.packages.package import PackedPackage
    from envpack.prefix.install import InstalledPrefix
    from envpack.progress import Progress
    from envpack.releases.file_list import File
    from envpack.resolve.request import Request
    from envpack.stores.base import Store
    from envpack.verify import Verified
    from envpack.verify.earlier import VerificationRecord


@dataclass(frozen=True, kw_only=True)
class Job:
    """The archive to make."""

    name: str
    lock: Lock
    request: Request
    config: Config
    verify: bool
    """Whether the archive is verified before it is published."""

    @property
    def format(self) -> FormatName:
        """The archive's format."""
        return cast("FormatName", self.config.format)

    @property
    def level(self) -> int:
        """How much is done to make the archive small. Raises UsageError for an unknown word."""
        return level_of(self.config)

    @property
    def confine(self) -> Confine:
        """What to do where packaged code cannot be confined. Raises UsageError for an unknown word."""
        return Confine.named(self.config.confine)

    @cached_property
    def inputs(self) -> str:
        """The digest of all that decides the archive's bytes."""
        return digest.of_json(
            {
                "lock": self.lock.identity(),
                "format": self.format,
                "level": self.level,
                "slim": SLIM if self.config.slim else None,
                "packer": PACKER,
                **({"allow-clobber": sorted(self.config.allow_clobber)} if self.config.allow_clobber else {}),
            }
        )

    def sketch(self) -> Manifest:
        """Return the part of the manifest that is known before there is an archive."""
        unknown = "0" * 64
        return Manifest(
            name=self.name,
            archive=ArchiveFacts(
                file=archive_file(self.name, unknown, self.format),
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
            packer=PACKER,
        )


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """The places of a build: its caches and its own empty directory."""

    cache: Cache
    scratch: Path
    progress: Progress
    published: Callable[[Wheel], Path | None] = lambda _: None
    """Finds a wheel that was built elsewhere beside the releases of a store."""

    def room(self, name: str) -> Path:
        """Return a new empty directory."""
        path = self.scratch / name
        path.mkdir()
        return path


class Watch:
    """Measures the time of the named parts of a build."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._taken: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a part's."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._taken[name] = self._taken.get(name, 0.0) + time.monotonic() - start

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each part, and `total`, those since the start."""
        return {**self._taken, "total": time.monotonic() - self._start}


@dataclass(frozen=True, kw_only=True)
class Made:
    """An archive that is ready to be published."""

    packed: Packed
    manifest: Manifest
    files: tuple[File, ...]
    """Its content."""
    verification: bytes | None
    """The findings of its verification that may apply to others, as stored; None where it was not run."""


def make(job: Job, site: Workshop, watch: Watch, store: Store | None = None) -> Made:
    """Return the archive of a job's lock. Raises the errors of the steps, each an EnvpackError.

    Pieces that this machine lacks are taken from the releases of `store`, as far as the configuration allows.
    """
    from envpack.verify.earlier import Records

    recipes = Recipes(site.cache.recipes)
    pieces = pieces_of(job.config, site.cache)
    recipe = recipes.load(job.inputs)
    manifest = recipe.manifest if recipe else None
    if recipe and manifest and (manifest.verified is not Verification.NO or not job.verify):
        with watch.time("pack"):
            packed = _assemble(recipe, pieces, job, site)
        if packed:
            allow(manifest.packages, job.lock, job.request, job.config)
            return Made(
                packed=packed,
                manifest=_of_now(manifest, packed, job),
                files=_files(packed),
                verification=_stored(Records(site.cache.verified).of_archive(packed.sha256), job, packed),
            )
    fetch = None
    if store:
        whose = Reuse(job.config.reuse)
        fetch = StoreReuse(
            store=store,
            name=job.name,
            whose=whose,
            pieces=pieces,
            records=Records(site.cache.verified),
            progress=site.progress,
        ).fetch
    kept = Kept(pieces=pieces, identify=lambda _: job.lock.package_identities(), fetch=fetch)
    made = _make_of_sound_packages(job, site, watch, kept)
    if recipe := recipe_of(made.packed, made.manifest):
        recipes.keep(job.inputs, recipe)
    return made


def _make_of_sound_packages(job: Job, site: Workshop, watch: Watch, kept: Kept) -> Made:
    """Make an archive; a package whose cached copy is found damaged is fetched again, once."""
    from envpack.prefix import mend

    forgotten: set[str] = set()
    while True:
        try:
            return _make(job, site, watch, kept)
        except DamagedPackage as damage:
            if not damage.owners - forgotten:
                raise
            site.progress.warn(f"{damage.message}; fetched again")
            mend.forget(damage.owners, job.lock, site.cache, site.scratch)
            forgotten |= damage.owners
            site = replace(site, scratch=site.room(f"again{len(forgotten)}"))


def _assemble(recipe: Recipe, pieces: Pieces, job: Job, site: Workshop) -> Packed | None:
    out = site.room("assembled") / f"{job.name}.{job.format}"
    packed = assemble(recipe.pieces, pieces, out, format=job.format, progress=site.progress)
    return packed if packed and packed.sha256 == recipe.sha256 else None


def _make(job: Job, site: Workshop, watch: Watch, kept: Kept) -> Made:
    from envpack.prefix import activation
    from envpack.prefix.install import install

    with watch.time("install"):
        building = partial(sources.builder, job.request, job.config, site.cache, site.scratch, site.progress)
        built = sources.provided(job.lock, building, site.published)
    with watch.time("install"):
        installed = install(
            job.lock,
            job.request,
            cache=site.cache,
            scratch=site.scratch,
            built=built,
            allow_clobber=job.config.allow_clobber,
            progress=site.progress,
        )
        activation.keep(installed.prefix, job.lock.variables)
        packages = described(packages_of(job.lock), job.lock, job.request, installed.prefix)
    allow(packages, job.lock, job.request, job.config)
    with watch.time("pack"):
        packed = _pack(installed, job, site, kept)
    with watch.time("install"):  # the archive cannot contain results of scripts that run after it was made
        activated = activation.activate(
            installed.prefix,
            job.lock.variables,
            target=job.lock.target,
            workdir=site.room("activation"),
            confine=job.confine,
            progress=site.progress,
        )
    verified = None
    if job.verify:
        with watch.time("verify"):
            verified = _verify(packed, job, installed.prefix, activated.variables, site)
    files = _files(packed)
    sketch = job.sketch()
    manifest = replace(
        sketch,
        variables=dict(activated.variables),
        verified=_how(verified),
        warnings=(
            *installed.warnings,
            *packed.warnings,
            *activated.warnings,
            *(verified.notes if verified else ()),
        ),
        slim=packed.saved if job.config.slim else None,
        packages=with_sizes(packages, files),
    )
    return Made(
        packed=packed,
        manifest=_of_now(manifest, packed, job),
        files=files,
        verification=_stored(verified.record, job, packed) if verified else None,
    )


def _stored(record: VerificationRecord | None, job: Job, packed: Packed) -> bytes | None:
    from envpack.verify.earlier import dump

    if record is None:
        return None
    return dump(record, f"{job.name}@{packed.sha256[: digest.SHORT]}", _own(job))


def _own(job: Job) -> frozenset[str]:
    """Return the owners of the team's own projects."""
    return frozenset(f"pypi/{name}" for name in sources.own_projects(job.lock))


def _files(packed: Packed) -> tuple[File, ...]:
    """Return the files of an archive, with the digests of exactly the bytes that were packed."""
    return list_files((piece.facts.owner, entry) for piece in packed.pieces for entry in piece.facts.entries)


def allow(
    packages: Sequence[PackedPackage], lock: Lock, request: Request, config: Config, *, installed: bool = True
) -> None:
    """Raise PolicyViolated with every package that the configured policy does not allow.

    Before they are `installed`, the licences of wheels are not known, nor which packages need them.
    """
    chosen = policy.configured(config)
    if not chosen:
        return
    hashed = {line.name for line in request.requirements.pypi if line.hashes}
    policy.enforce(
        chosen,
        packages if installed else _with_requires(packages, lock, request, None),
        requested=lock.requested,
        unhashed={
            wheel.name
            for wheel in lock.wheels
            if wheel.direct and wheel.name not in hashed and not (wheel.made and wheel.made.kind != "archive")
        },
        installed=installed,
    )


def described(
    packages: Sequence[PackedPackage], lock: Lock, request: Request, prefix: Path
) -> tuple[PackedPackage, ...]:
    """Return packages with the facts that are only in a prefix: what they need, and their licences."""
    return with_licenses(_with_requires(packages, lock, request, prefix), prefix)


def _with_requires(
    packages: Sequence[PackedPackage], lock: Lock, request: Request, prefix: Path | None
) -> tuple[PackedPackage, ...]:
    extras = {line.name: line.extras for line in request.requirements.pypi}
    return with_requires(packages, lock, prefix, extras=extras, project=request.names.project)


def _of_now(manifest: Manifest, packed: Packed, job: Job) -> Manifest:
    """Return the manifest of a new archive, for this job's name and the current user."""
    return replace(
        manifest,
        name=job.name,
        archive=ArchiveFacts(
            file=archive_file(job.name, packed.sha256, packed.format),
            format=packed.format,
            size=packed.size,
            sha256=packed.sha256,
            unpacked_size=packed.unpacked_size,
            members=packed.members,
        ),
        created=units.now(),
        description=job.request.requirements.description,
        owner=job.request.requirements.owner,
        provenance=provenance_of(job.request.requirements.path, os.environ),
    )


def _pack(installed: InstalledPrefix, job: Job, site: Workshop, kept: Kept) -> Packed:
    return pack(
        installed.prefix,
        site.room("archive") / f"{job.name}.{job.format}",
        format=job.format,
        level=job.level,
        compiler=Compiler(python=installed.python, into=installed.prefix, confine=job.confine),
        kept=kept,
        slim=job.config.slim,
        settled=installed.clobbered,
        proven=True,
        last=_own(job),
        progress=site.progress,
    )


def _how(verified: Verified | None) -> Verification:
    if verified is None:
        return Verification.NO
    return Verification.RUN if verified.ran else Verification.INSPECTED


def _verify(packed: Packed, job: Job, prefix: Path, variables: Mapping[str, str], site: Workshop) -> Verified:
    from envpack.verify import Earlier, verify
    from envpack.verify.earlier import Records

    return verify(
        packed.path,
        target=job.lock.target,
        python=job.lock.python,
        requested=job.lock.requested,
        build_prefix=prefix,
        variables=variables,
        workdir=site.room("node"),
        earlier=Earlier(
            pieces=packed.pieces,
            prefix=prefix,
            records=Records(site.cache.verified),
            name=job.name,
            sha256=packed.sha256,
            projects=sources.own_projects(job.lock),
        ),
        confine=job.confine,
        progress=site.progress,
    )
