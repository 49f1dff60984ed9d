"""The content of an archive: conda-pack's choice of a prefix's files, each as it will be unpacked.

The only user of conda_pack. It lists the files, and writes the `conda-unpack` and `activate` scripts. Files that it
would read whole, or copy unchanged from this machine, are handled here:

- Files without a placeholder come from the prefix, because those are used. Those with one come from the package
  cache, or are restored where the cache no longer has the package.
- Scripts get an interpreter line that works anywhere, and with modules they find the prefix themselves.
- Other texts that contain the prefix get a placeholder instead, for `conda-unpack`.
- Metadata about this machine is removed; locks and caches of installers are left out.
- Bytecode is included only where it is the same on every machine.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conda_pack.core import PREFIX_PLACEHOLDER, CondaEnv, CondaPackException, File, Packer
from conda_pack.prefixes import replace_prefix

from envpack import digest
from envpack.archive import consistency, guard, metadata, prefixes
from envpack.archive.members import Member, Promise, opened, with_data
from envpack.archive.members import file as member_of
from envpack.archive.ownership import ENVIRONMENT, module_of, owners_of
from envpack.archive.pieces import Rewritten
from envpack.archive.scripts import freed, relocatable
from envpack.archive.slim import left_out, trimmed
from envpack.errors import PackingFailed
from envpack.files import installed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from envpack.archive.ownership import Owners
    from envpack.archive.saving import Saving
    from envpack.progress import Progress

_LEFT_OUT = (".lock", "CACHEDIR.TAG", "__clobbers__/")
"""Files of uv and rattler for their own use; `__clobbers__` has the files that were replaced."""

_OF_THE_PERSON = frozenset(
    {".condarc", "condarc", ".mambarc", "etc/conda/.condarc", "pip.conf", "etc/pip.conf", "uv.toml"}
    | {".netrc", ".pypirc", ".env", ".git-credentials", ".aws/config", ".aws/credentials"}
)
"""Configuration in an existing environment that no package has: it may hold passwords, and no node needs it."""

_KEPT_OF_CONDA_META = frozenset({"conda-meta/state", "conda-meta/pinned"})
"""Besides the packages' records. `history` is written again: it holds dates, and conda recognises a prefix by
it."""

_UNCHECKED = (1).to_bytes(4, "little")
"""The flags of a pyc that holds no time and is not compared with its source (PEP 552)."""


@dataclass(frozen=True, kw_only=True)
class PrefixContent:
    """The packages of a prefix, by its records."""

    prefix: Path
    records: dict[str, dict[str, Any]]
    """The conda packages' own records, by path."""
    packages: tuple[consistency.PackageFiles, ...]
    """Conda packages, then wheels."""
    last: frozenset[str] = frozenset()
    """Owners whose files come last."""

    @cached_property
    def owners(self) -> Owners:
        """The owner of each file."""
        return owners_of(self.prefix, self.packages, self.last)

    @cached_property
    def placed(self) -> frozenset[str]:
        """The files that were made or changed for this prefix."""
        return frozenset(path for package in self.packages for path in package.placed)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of a prefix, as listed by conda-pack."""

    content: PrefixContent
    by_owner: dict[str, list[File]]
    """Sorted by target path; a file of several packages is listed for each of them, as the environment's.

    An owner's files are removed when they are selected: in a large prefix the list uses much memory.
    """

    @cached_property
    def placeholders(self) -> Mapping[str, tuple[str, str]]:
        """By path: the placeholder that linking replaced, and the kind of the file, `text` or `binary`.

        Of packages that are no longer in the cache.
        """
        return _placeholders(self.content.records.values())

    proven: bool
    """Whether each file has to match its package's record."""

    def promises(self, owner: str) -> Promises:
        """Return the required content of an owner's files."""
        content = self.content
        if not self.proven:
            return Promises()
        if owner != ENVIRONMENT:
            return Promises.of(package for package in content.packages if package.owner == owner)
        contested = {path for paths in content.owners.contested.values() for path in paths}
        return Promises.of(content.packages, contested)

    @cached_property
    def conda(self) -> frozenset[str]:
        """The paths of conda packages' files."""
        return frozenset(path for package in self.content.packages if package.record for path in package.files)


@dataclass(frozen=True, kw_only=True)
class Promises:
    """The digests of files in the packages' records, by path.

    A file without a digest in one of its packages is not included.
    """

    installed: Mapping[str, Promise] = field(default_factory=dict)
    """Files as they are in the prefix."""
    packaged: Mapping[str, Promise] = field(default_factory=dict)
    """Files as they are in their package; only those that linking changed."""

    @classmethod
    def of(cls, packages: Iterable[consistency.PackageFiles], among: Collection[str] | None = None) -> Promises:
        """Return the digests in the packages' records, only for files in `among` if it is given."""
        installed: dict[str, Promise] = {}
        packaged: dict[str, Promise] = {}
        unknown: set[str] = set()
        for package in packages:
            for path in package.files if among is None else package.files.keys() & among:
                if path.endswith(".pyc"):
                    continue
                sha256 = package.sha256(path)
                if not sha256:
                    unknown.add(path)
                _add(installed, path, sha256, package.owner)
                _add(packaged, path, package.packaged.get(path, sha256), package.owner)
        for path in unknown:
            del installed[path], packaged[path]
        changed = {path: promise for path, promise in packaged.items() if promise != installed[path]}
        return cls(installed=installed, packaged=changed)

    def as_packaged(self, path: str) -> Promise | None:
        """Return the required content of a file before linking."""
        return self.packaged.get(path) or self.installed.get(path)


def _add(promises: dict[str, Promise], path: str, sha256: str, owner: str) -> None:
    known = promises.get(path, Promise((), ()))
    promises[path] = Promise((*known.digests, sha256), (*known.owners, owner))


@dataclass(frozen=True, kw_only=True)
class Selected:
    """Members for an archive, of one owner."""

    members: list[Member]
    rewritten: list[Rewritten]
    """The changes that `conda-unpack` would make."""
    marked: list[str]
    """Paths of files that contain the prefix, which cannot be removed."""
    saved: tuple[Saving, ...]
    """The files that were left out because no node needs them."""


def read(prefix: Path, settled: Collection[str] = (), last: Collection[str] = ()) -> PrefixContent:
    """Return the content of a prefix; for `settled` files it is decided whose they are.

    `last` are the owners whose files come last.

    Raises PackingFailed when it is not a prefix, is not consistent or leads out of itself.
    """
    if not (prefix / "conda-meta").is_dir():
        raise PackingFailed(
            f"{prefix} is not a conda environment: it has no conda-meta",
            hint="give the prefix of a conda environment: the directory that has conda-meta and bin/python",
        )
    found = installed.read(prefix)
    conda = consistency.conda_packages(found)
    pypi = consistency.wheels(found)
    consistency.check(prefix, conda, pypi, settled)
    consistency.check_nothing_leads_out(prefix, pypi)
    return PrefixContent(
        prefix=prefix,
        records={record.path: record.data for record in found.conda},
        packages=(*conda, *pypi),
        last=frozenset(last),
    )


def listed(content: PrefixContent, *, proven: bool) -> Listing:
    """List the files of a prefix; with `proven` each has to match its package's record.

    Raises PackingFailed when conda-pack cannot.
    """
    by_owner: dict[str, list[File]] = defaultdict(list)
    for file in _files(content.prefix):
        owner = content.owners.of(file.target)
        if owner != ENVIRONMENT or file.target not in _OF_THE_PERSON:
            by_owner[owner].append(file)
    return Listing(content=content, by_owner=by_owner, proven=proven)


def select(listing: Listing, owner: str, *, bytecode: Path, slim: bool, progress: Progress) -> Selected:
    """Return the members for an owner's files, and remove these files from the listing.

    `bytecode` is a directory in the prefix's layout that holds pyc files. With `slim`, files that no node needs are
    left out.
    """
    content = listing.content
    lost = frozenset(path for paths in content.owners.lost.values() for path in paths)
    selection = _Selection(content.prefix, listing.placeholders, lost, listing.promises(owner), progress)
    files = groupby(listing.by_owner.pop(owner, ()), key=lambda file: file.target)
    members = [selection.member(list(candidates)) for _, candidates in files]
    chosen = {member.path: member for member in members if member is not None}
    # Bytecode of a module that contains the prefix has the prefix of this machine.
    naming = {row.path for row in selection.rewritten} | {path for path, m in chosen.items() if m.data is not None}
    chosen |= {member.path: member for member in bytecode_of(bytecode, chosen.keys() - naming)}
    stays, saved = trimmed(chosen, content.owners.of) if slim else (chosen, ())
    return Selected(
        members=list(_with_public_metadata(stays, listing, owner, slim=slim, cut=len(stays) < len(chosen))),
        rewritten=[row for row in selection.rewritten if row.path in stays],
        marked=[path for path in selection.marked if path in stays],
        saved=saved,
    )


def conda_unpack(prefix: Path, rewritten: Iterable[Rewritten]) -> Iterator[Member]:
    """Yield conda-pack's own scripts; `rewritten` are the files that `conda-unpack` changes."""
    written: list[Member] = []
    packer = Packer(str(prefix), _Collector(written))
    packer.prefixes = sorted(tuple(row) for row in rewritten)
    packer.finish()
    for member in written:
        data = relocatable(member.data or b"", ())
        yield member_of(member.path, data, executable=member.path == "bin/conda-unpack")


@dataclass
class _Selection:
    """Turns conda-pack's files into members, and records which of them `conda-unpack` has to rewrite."""

    prefix: Path
    placeholders: Mapping[str, tuple[str, str]]
    lost: frozenset[str]
    """The paths of packages' files that others have replaced."""
    promises: Promises
    progress: Progress
    rewritten: list[Rewritten] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = sorted({str(self.prefix), os.path.realpath(self.prefix)}, key=len, reverse=True)
        self.encoded = [name.encode() for name in self.names]
        self.root = f"{self.prefix}/"

    def member(self, candidates: list[File]) -> Member | None:
        """Return the member for the packages' files of one path; None if it is left out."""
        path = candidates[0].target
        if _stays_behind(path):
            return None
        here = self._here(path)
        status = os.lstat(here)
        if stat.S_ISLNK(status.st_mode):
            link = os.readlink(here)  # noqa: PTH115 - a Path of each file would take longer than all the rest
            if link not in [file.source for file in candidates]:
                return guard.launcher(here, path) or Member(path=path, kind="link", link=self._relative(link, path))
            status = os.stat(here)  # noqa: PTH116 - linked softly from the package cache: the file is meant
        if stat.S_ISDIR(status.st_mode):
            return Member(path=path, kind="directory") if not f"/{path}".endswith("/__pycache__") else None
        if not stat.S_ISREG(status.st_mode):
            raise PackingFailed(f"{path} is neither a file nor a link nor a directory", hint="remove it")
        file = candidates[0] if len(candidates) == 1 and path not in self.lost else self._provider(candidates, here)
        plain = Member(
            path=path,
            source=here,
            size=status.st_size,
            executable=bool(status.st_mode & 0o111),
            promise=self.promises.installed.get(path),
        )
        return self._member(file, plain)

    def _member(self, file: File, plain: Member) -> Member:
        if file.file_mode in ("text", "binary") and file.prefix_placeholder:
            return self._from_cache(file, plain)
        if plain.path in self.placeholders and plain.path not in self.lost:
            return self._turned_back(plain, *self.placeholders[plain.path])
        if plain.path.startswith("conda-meta/") or (file.file_mode is None and not _is_script(plain.path)):
            return plain
        return self._unmanaged(plain)

    def _from_cache(self, file: File, plain: Member) -> Member:
        source = Path(file.source)
        placeholder = file.prefix_placeholder
        if not source.is_file():
            return self._turned_back(plain, placeholder, file.file_mode)
        size = source.stat().st_size
        if file.file_mode == "text" and size <= prefixes.TEXT_AT_MOST:
            data = source.read_bytes()
            if _is_script(plain.path) or freed(plain.path, data, placeholder.encode()) != data:
                self._hold(self.promises.as_packaged(plain.path), plain.path, data)
                return self._text(plain, data, placeholder)
        if prefixes.contains(file.source, size, placeholder.encode()):
            self.rewritten.append(Rewritten(plain.path, placeholder, file.file_mode))
        promise = self.promises.as_packaged(plain.path)
        return Member(path=plain.path, source=file.source, size=size, executable=plain.executable, promise=promise)

    def _turned_back(self, plain: Member, placeholder: str, kind: str) -> Member:
        """Undo the linking of a file whose package is no longer in the cache."""
        here = self._here(plain.path)
        promise = self.promises.as_packaged(plain.path)
        if kind == "text":
            data = self._with_placeholder(Path(here).read_bytes(), placeholder)
            self._hold(promise, plain.path, data)
            return self._text(plain, data, placeholder)
        name = str(self.prefix).encode()
        if not prefixes.contains(here, plain.size, name):
            return plain
        self.rewritten.append(Rewritten(plain.path, placeholder, kind))
        restore = partial(prefixes.unlinked, prefix=name, placeholder=placeholder.encode())
        return replace(plain, restore=restore, promise=promise)

    def _unmanaged(self, plain: Member) -> Member:
        here = self._here(plain.path)
        if _is_script(plain.path) and prefixes.starts_with(here, b"#!"):
            data: bytes | None = Path(here).read_bytes()
        elif any(prefixes.contains(here, plain.size, name) for name in self.encoded):
            data = prefixes.text(here, plain.size)
        else:
            return plain
        if data is None:
            self.marked.append(plain.path)
            self.progress.warn(f"{plain.path} contains the path of the environment on this machine")
            return plain
        self._hold(plain.promise, plain.path, data)
        return self._text(plain, self._with_placeholder(data, PREFIX_PLACEHOLDER), PREFIX_PLACEHOLDER)

    def _hold(self, promise: Promise | None, path: str, data: bytes) -> None:
        if promise:
            promise.hold(path, digest.of_bytes(data))

    def _text(self, plain: Member, data: bytes, placeholder: str) -> Member:
        data = freed(plain.path, data, placeholder.encode())
        if placeholder.encode() in data:
            self.rewritten.append(Rewritten(plain.path, placeholder, "text"))
        return with_data(plain, data)

    def _with_placeholder(self, data: bytes, placeholder: str) -> bytes:
        for name in self.names:
            data = data.replace(name.encode(), placeholder.encode())
        return data

    def _here(self, path: str) -> str:
        return self.root + path

    def _relative(self, link: str, path: str) -> str:
        for name in self.names:
            if link == name or link.startswith(f"{name}/"):
                return os.path.relpath(link, f"{name}/{path}/..")
        return link

    def _provider(self, candidates: list[File], here: str) -> File:
        """Return the one of several packages' files that is in the prefix, or the prefix's own if none is."""
        content = Path(here).read_bytes()
        for file in candidates:
            data = Path(file.source).read_bytes()
            if file.prefix_placeholder:
                try:
                    data = replace_prefix(data, file.file_mode, file.prefix_placeholder, str(self.prefix))
                except ValueError:  # the prefix is longer than the placeholder: it was not linked here
                    continue
            if data == content:
                return file
        return File(here, candidates[0].target, is_conda=False, file_mode="unknown")


def _files(prefix: Path) -> list[File]:
    """Return conda-pack's files, sorted by target path; those of packages in the cache are as in the cache."""
    # What conda-pack would check has been checked, and it need not warn of a missing cache.
    options = {"on_missing_cache": "ignore", "ignore_editable_packages": True, "ignore_missing_files": True}
    try:
        return list(CondaEnv.from_prefix(str(prefix), **options))
    except CondaPackException as error:
        raise PackingFailed(str(error), hint="create the conda environment again") from error


@dataclass
class _Collector:
    """The target of conda-pack's Packer."""

    members: list[Member]

    def add(self, source: str, target: str) -> None:
        """Take a file that Packer is about to delete."""
        self.members.append(member_of(target, Path(source).read_bytes()))


def _placeholders(records: Iterable[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return the placeholders that linking replaced in packages that are no longer in the cache."""
    return {
        entry["_path"]: (entry["prefix_placeholder"], entry["file_mode"])
        for record in records
        if not Path((record.get("link") or {}).get("source", "")).is_dir()
        for entry in record.get("paths_data", {}).get("paths", ())
        if entry.get("prefix_placeholder") and entry.get("file_mode")
    }


def _stays_behind(path: str) -> bool:
    if path.startswith("conda-meta/"):
        return not path.endswith(".json") and path not in _KEPT_OF_CONDA_META
    return path.startswith(_LEFT_OUT) or ("/__pycache__/" in path and path.endswith(".pyc"))


def _is_script(path: str) -> bool:
    return path.startswith("bin/") and path.count("/") == 1


def bytecode_of(root: Path, chosen: Collection[str]) -> Iterator[Member]:
    """Yield the bytecode that is the same on every machine, of chosen modules, from a prefix's layout."""
    folders = {path.rpartition("/")[0] for path in chosen if path.startswith("lib/") and path.endswith(".py")}
    for folder in sorted(folders):
        try:
            entries = list(os.scandir(root / folder / "__pycache__"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            path = f"{folder}/__pycache__/{entry.name}"
            if path.endswith(".pyc") and module_of(path) in chosen and _is_unchecked(entry.path):
                yield Member(path=path, source=entry.path, size=entry.stat().st_size)


def _is_unchecked(pyc: str) -> bool:
    with opened(pyc) as file:
        return (file.read(8) or b"")[4:] == _UNCHECKED


def _with_public_metadata(
    chosen: Mapping[str, Member], listing: Listing, owner: str, *, slim: bool, cut: bool
) -> Iterator[Member]:
    """Yield an owner's members with their metadata as it may be published.

    A package's metadata depend only on its own files, so they are the same in every environment. `cut` says whether
    some of the files are left out because no node needs them.
    """
    content, conda = listing.content, listing.conda
    kept = {
        path: public
        for path, member in chosen.items()
        if (public := member if path in conda else _public(member)) is not None
    }
    # A file of several packages is the environment's; whether it is left out must not depend on the others.
    contested = content.owners.contested.get(owner, ())
    lost = content.owners.lost.get(owner, ())
    there = {*kept, *(path for path in contested if not (slim and left_out(path)))} - {*lost}
    # The content of such a file in the archive depends on the others, so it gets no digest.
    changed: dict[str, bytes | None] = {
        path: None for path in contested if path in content.placed or _is_script(path)
    }
    changed |= {path: member.data for path, member in kept.items() if member.data is not None}
    for path, member in kept.items():
        if _is_wheel_record(path) and (path not in conda or cut or lost):
            data = metadata.record_of_wheel(_content(member), path.rpartition("/")[0], changed, there)
            kept[path], changed[path] = with_data(member, data), data
    for path, member in kept.items():
        if path in content.records:
            yield with_data(member, metadata.conda_record(_content(member), there, changed))
        else:
            yield member


def _is_wheel_record(path: str) -> bool:
    return path.endswith(".dist-info/RECORD")


def _public(member: Member) -> Member | None:
    """Return a wheel's file without the data of this machine; None if nothing is left."""
    folder, _, name = member.path.rpartition("/")
    if not folder.endswith(".dist-info"):
        return member
    if name == "direct_url.json":
        data = metadata.direct_url(_content(member))
        return None if data is None else with_data(member, data)
    return None if name in metadata.DROPPED_FROM_WHEELS else member


def _content(member: Member) -> bytes:
    return b"".join(member.proven({}))
