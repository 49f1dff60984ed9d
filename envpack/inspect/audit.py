"""Check whether a release in a store is intact: its bytes, its manifest, its lock, its files, its imports."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from packaging.utils import canonicalize_name

from envpack import digest
from envpack.archive.unpack import Extent, read_members
from envpack.errors import EnvpackError, NotReady, UsageError
from envpack.files.inside import inside
from envpack.files.installed import named_in
from envpack.inspect import records
from envpack.lock.file import parse
from envpack.packages.package import packages_of
from envpack.progress import SILENT, Progress
from envpack.pull.pull import download, mismatch
from envpack.releases import file_list, keys, lookup, tags
from envpack.tools.cage import Confine
from envpack.units import count
from envpack.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from envpack.files.cache import Cache
    from envpack.releases.lookup import Release
    from envpack.releases.manifest import Manifest
    from envpack.stores.base import Store

_FEW = 5


@dataclass(frozen=True, kw_only=True)
class AuditCheck:
    """One checked thing."""

    name: Literal["manifest", "lock", "beside", "bytes", "content", "imports", "tag"]
    problem: str | None
    """What is wrong; None when it is intact."""
    fact: str = ""
    """What was found, or why it was not checked."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The results of one release's checks."""

    reference: str
    checks: tuple[AuditCheck, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong."""
        return tuple(check.problem for check in self.checks if check.problem)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values (schema: docs/verify.schema.json)."""
        return {
            "reference": self.reference,
            "sound": not self.problems,
            "checks": [asdict(check) for check in self.checks],
        }


def audit(
    store: Store,
    release: Release,
    *,
    cache: Cache,
    run: bool = True,
    confine: Confine = Confine.BEST,
    progress: Progress = SILENT,
) -> Audit:
    """Check a release; its faults are part of the answer. With `run` its Python is started."""
    manifest = release.manifest
    checks = [_manifest(release), _lock(store, release), _beside(store, release)]
    with cache.scratch() as scratch:
        archive = inside(scratch, manifest.archive.file)
        checks.append(_bytes(store, release, archive, progress))
        if checks[-1].problem is None:
            checks.append(_content(store, release, archive))
            if run:
                checks.append(_imports(manifest, archive, scratch, confine, progress))
    return Audit(reference=manifest.reference, checks=tuple(checks))


def audit_all(
    store: Store,
    name: str | None = None,
    *,
    cache: Cache,
    run: bool = True,
    confine: Confine = Confine.BEST,
    progress: Progress = SILENT,
) -> Iterator[Audit]:
    """Check every release and every tag of a store, or those of one name; a failure does not stop the others."""
    for each in (keys.check_name(name),) if name else filter(keys.is_name, store.folders()):
        held = lookup.digests(store, each)
        for short in held:
            try:
                release = lookup.at(store, each, short)
                if release:
                    yield audit(store, release, cache=cache, run=run, confine=confine, progress=progress)
            except NotReady:
                raise
            except EnvpackError as error:
                yield _failed(f"{each}@{short}", "manifest", error.message)
        if held:
            yield from _tags(store, each, held)


def _tags(store: Store, name: str, held: Iterable[str]) -> Iterator[Audit]:
    for entry in store.list(keys.tags_of(name)):
        parts = keys.tag_of_key(entry.key)
        if parts is None:
            continue
        reference = f"{name}:{parts[1]}"
        try:
            tag = tags.read(store, *parts)
        except UsageError as error:
            yield _failed(reference, "tag", error.message)
            continue
        if tag and tag.digest[: digest.SHORT] not in held:
            gone = f"it points at {name}@{tag.digest[: digest.SHORT]}, which is not there"
            yield _failed(reference, "tag", gone)


def _failed(reference: str, what: Literal["manifest", "tag"], problem: str) -> Audit:
    return Audit(reference=reference, checks=(AuditCheck(name=what, problem=problem),))


def _manifest(release: Release) -> AuditCheck:
    """Check that a manifest does not contradict itself; its name and digest are checked when it is read."""
    manifest, problems = release.manifest, []
    pythons = [
        package.version for package in manifest.packages if (package.name, package.source) == ("python", "conda")
    ]
    if pythons != [manifest.python]:
        problems.append(f"it says Python {manifest.python} and contains {', '.join(pythons) or 'none'}")
    known = {package.name for package in manifest.packages}
    stray = {need for package in manifest.packages for need in package.requires or () if need not in known}
    if stray:
        problems.append(f"packages need {_some(stray)}, which it does not contain")
    return AuditCheck(
        name="manifest",
        problem=f"{release.manifest_uri}: {'; '.join(problems)}" if problems else None,
        fact=count(len(manifest.packages), "package"),
    )


def _lock(store: Store, release: Release) -> AuditCheck:
    """Check that the lock beside a release gives the packages of its manifest."""
    manifest = release.manifest
    file = keys.lock_file(manifest.name)
    try:
        data = lookup.read_beside(store, release, file)
        if data is None:
            return AuditCheck(name="lock", problem=f"{file} is not there")
        locked = {(p.name, p.version, p.source, p.sha256) for p in packages_of(parse(data.decode(), file))}
    except (EnvpackError, UnicodeDecodeError) as error:
        return AuditCheck(name="lock", problem=str(error))
    told = {(p.name, p.version, p.source, p.sha256) for p in manifest.packages}
    return AuditCheck(name="lock", problem=_difference(locked, told, "the lock", "the manifest"), fact=file)


def _beside(store: Store, release: Release) -> AuditCheck:
    """Check that each object that was published with a release has the SHA-256 in its manifest."""
    known = release.manifest.beside
    folder = keys.folder(release.manifest.name, release.manifest.digest)
    wrong = [file for file, sha256 in known.items() if _sha256(store, f"{folder}/{file}") != sha256]
    return AuditCheck(
        name="beside",
        problem=f"{_some(wrong)}: not there, or not what was published" if wrong else None,
        fact=", ".join(known) or "not looked at: the manifest is of before it had their digests",
    )


def _sha256(store: Store, key: str) -> str | None:
    """Return the SHA-256 of an object, which may be large; None when there is none."""
    size = store.size(key)
    if size is None:
        return None
    hashed = hashlib.sha256()
    for chunk in store.part(key, 0, size) if size else ():
        hashed.update(chunk)
    return hashed.hexdigest()


def _bytes(store: Store, release: Release, archive: Path, progress: Progress) -> AuditCheck:
    try:
        download(store, release, archive, progress=progress)
    except EnvpackError as error:
        return AuditCheck(name="bytes", problem=error.message)
    wrong = mismatch(archive, release.manifest)
    return AuditCheck(
        name="bytes",
        problem=f"{release.archive_uri}: {wrong}" if wrong else None,
        fact=f"SHA-256 {release.manifest.digest}",
    )


def _content(store: Store, release: Release, archive: Path) -> AuditCheck:
    """Check that an archive matches its manifest, its list of files and the records of its packages."""
    manifest = release.manifest
    try:
        members = list(read_members(archive, records.is_record, extent=_extent(manifest)))
        listed = lookup.read_beside(store, release, file_list.FILE)
        files = file_list.loads(listed, file_list.FILE) if listed is not None else None
    except EnvpackError as error:
        return AuditCheck(name="content", problem=error.message)
    problems = []
    size = sum(member.size for member in members)
    # A tar may name a directory more than once.
    directories = {member.path for member in members if member.kind == "directory"}
    amount = len(directories) + sum(member.kind != "directory" for member in members)
    if (amount, size) != (manifest.archive.members, manifest.archive.unpacked_size):
        problems.append(
            f"{amount} members of {size} bytes, and the manifest says {manifest.archive.members} "
            f"of {manifest.archive.unpacked_size}"
        )
    inside = set(named_in(member.path for member in members))
    told = {(_name(p.name, p.source), p.version, p.source) for p in manifest.packages}
    # A conda package may contain a distribution, which is no wheel of the manifest.
    wheels = {(name, version, source) for name, version, source in told if source == "pypi"}
    conda = {row for row in inside if row[2] == "conda"}
    problems.append(_difference(conda | (inside & wheels), told, "the archive", "the manifest") or "")
    if files is not None:
        there = {
            (member.path, member.size, file_list.content(member.kind, member.link, member.sha256))
            for member in members
            if member.kind != "directory"
        }
        known = {(file.path, file.size, file.content) for file in files}
        problems.append(_difference(there, known, "the archive", file_list.FILE) or "")
    problems += [f"{record} is false of {_some(paths)}" for record, paths in records.false_records(members).items()]
    wrong = "; ".join(problem for problem in problems if problem)
    return AuditCheck(name="content", problem=wrong or None, fact=count(amount, "member"))


def _imports(manifest: Manifest, archive: Path, scratch: Path, confine: Confine, progress: Progress) -> AuditCheck:
    node = scratch / "node"
    node.mkdir()
    try:
        verified = verify(
            archive,
            target=manifest.target,
            python=manifest.python,
            requested=manifest.requested,
            build_prefix=None,
            variables=manifest.variables,
            workdir=node,
            extent=_extent(manifest),
            confine=confine,
            progress=progress,
        )
    except NotReady:
        raise
    except EnvpackError as error:
        return AuditCheck(name="imports", problem=error.message)
    where = f" under {verified.under}" if verified.under else ""
    ran = f"Python {manifest.python} ran{where}, {count(len(verified.imported), 'module')} imported"
    inspected = next((note for note in verified.notes if note.startswith("not run")), "inspected, not run")
    return AuditCheck(name="imports", problem=None, fact=ran if verified.ran else inspected)


def _extent(manifest: Manifest) -> Extent:
    """Return the limits of an archive's content by its manifest: one with more may be a bomb."""
    return Extent(size=manifest.archive.unpacked_size, members=manifest.archive.members)


def _name(name: str, source: str) -> str:
    return str(canonicalize_name(name)) if source == "pypi" else name


def _difference(one: set[Any], other: set[Any], first: str, second: str) -> str | None:
    """Say in a few words how two sets differ; their rows begin with a name."""
    if one == other:
        return None
    names = Counter(row[0] for row in one ^ other)
    return f"{first} and {second} differ in {_some(names)}"


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _FEW} more" if len(ordered) > _FEW else ""
    return ", ".join(ordered[:_FEW]) + more
