"""The findings of earlier verifications, so that the next one checks only what is new.

When a piece of an archive is unpacked and read, the needs of its binaries are noted under the SHA-256 of its bytes.
When modules are imported in one process, the files that it loaded, and the modules that it did not find, are noted
with them. They need not be imported again in an environment where all of this is the same.
"""

from __future__ import annotations

import gzip
import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, TypeVar

from msgspec import Meta, Struct, json, to_builtins

from envpack import digest
from envpack.archive import guard
from envpack.archive.ownership import module_of
from envpack.codec import Digest, Kind, Line, Text, Word
from envpack.files import least_used
from envpack.files.elf import Binary
from envpack.files.inside import inside

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from envpack.archive.composing import Laid
    from envpack.archive.members import Entry
    from envpack.tools.cage import Confine
    from envpack.verify.modules import InstalledModules
    from envpack.verify.trial import Loaded

T = TypeVar("T")

_MOST = 300
"""How many imports with the same start are kept."""

_MOST_LOADED = 100_000
"""How many paths of loaded files are kept for one start."""

_STARTS = frozenset({"sitecustomize.py", "usercustomize.py", f"{guard.MODULE}.py"})
"""Besides `.pth` files: modules that Python imports from `site-packages` before anything else."""

_PROGRAMS = frozenset({b"console_scripts", b"gui_scripts"})
"""Groups of entry points that no other package looks for."""

_GROUP = re.compile(rb"^\s*\[([^\]\n]*)\]", re.MULTILINE)


class SeenBinary(Struct, frozen=True, kw_only=True):
    """An ELF file of a piece, see `Binary`."""

    name: Text
    machine: Word
    glibc: tuple[int, int] | None = None
    needed: tuple[Text, ...] = ()


class SeenPiece(Struct, frozen=True, kw_only=True):
    """What was found out about a piece that was unpacked and read."""

    binaries: tuple[SeenBinary, ...] = ()

    def known(self) -> Iterator[Binary]:
        """Yield its binaries."""
        for each in self.binaries:
            yield Binary(name=each.name, machine=each.machine, glibc=each.glibc, needed=each.needed)


class Imported(Struct, frozen=True, kw_only=True):
    """Modules that one process imported, and what that depended on."""

    modules: Annotated[tuple[Text, ...], Meta(max_length=10_000)]
    owners: dict[Text, Digest]
    """The packages whose files it loaded, or that these may need: these show whether they are the same."""
    files: dict[Text, Digest] = {}
    """The same for files that are no package's alone."""
    missed: tuple[Text, ...] = ()
    """The modules that were not there."""
    release: Line
    """That it was done for."""


class VerificationRecord(Struct, frozen=True, kw_only=True):
    """What the verification of an archive found out, for archives that have something in common with it."""

    start: Digest
    """What shows whether processes begin alike."""
    imports: Annotated[tuple[Imported, ...], Meta(max_length=10_000)]
    """What was imported."""
    pieces: dict[Digest, SeenPiece]
    """What is known of its pieces, by the SHA-256 of their bytes."""


_MOST_BYTES = 64 << 20

_LIMIT = 256 << 20
"""Bytes of all notes in a cache. A note on a piece has some hundred bytes, one on imports up to a megabyte."""

RECORD = Kind(
    what="a record of a verification",
    type=VerificationRecord,
    limit=_MOST_BYTES,
    packed=True,
    hint="builds do without it",
)
KEPT_RECORD = Kind(
    what="a record of a verification",
    type=VerificationRecord,
    limit=_MOST_BYTES,
    hint="remove it: builds do without it",
)
SEEN = Kind(what="a note on a piece", type=SeenPiece, limit=16 << 20, hint="remove it: the piece is read again")
IMPORTS = Kind(
    what="a note on imports",
    type=tuple[Imported, ...],
    limit=_MOST_BYTES,
    hint="remove it: the modules are imported again",
)


LOADED = Kind(
    what="a note on loaded files",
    type=tuple[Text, ...],
    limit=_MOST_BYTES,
    hint="remove it: all files are compared",
)


@dataclass(frozen=True)
class Records:
    """The notes of all builds that share a cache; several processes may use them at once."""

    root: Path

    def seen(self, piece: str) -> SeenPiece | None:
        """Return the facts of a piece, by the SHA-256 of its bytes."""
        return self._recall(SEEN, self._piece(piece))

    def imports(self, start: str) -> tuple[Imported, ...]:
        """Return the imports of processes with the same start, the newest first."""
        return self._recall(IMPORTS, self._imports(start)) or ()

    def loaded(self, start: str) -> frozenset[str] | None:
        """Return the modules and libraries that processes with the same start have loaded; None if none ran."""
        found = self._recall(LOADED, self._loaded(start))
        return None if found is None else frozenset(found)

    def keep_loaded(self, start: str, paths: Collection[str]) -> None:
        """Note what processes with the same start have loaded, by path from the environment."""
        known = self.loaded(start) or frozenset()
        if not known.issuperset(paths):
            LOADED.keep(self._loaded(start), sorted({*paths, *known})[:_MOST_LOADED])

    def of_archive(self, sha256: str) -> VerificationRecord | None:
        """Return the record of an archive that was verified here."""
        return self._recall(KEPT_RECORD, self._record(sha256))

    def keep(self, record: VerificationRecord, archive: str | None = None) -> None:
        """Note the findings of a verification, under the `archive` with this SHA-256 if it was made here."""
        for sha256, piece in record.pieces.items():
            if self.seen(sha256) is None:
                SEEN.keep(self._piece(sha256), to_builtins(piece))
        known = self.imports(record.start)
        if new := [each for each in record.imports if each not in known]:
            IMPORTS.keep(self._imports(record.start), to_builtins([*new, *known][:_MOST]))
        if archive:
            KEPT_RECORD.keep(self._record(archive), to_builtins(record))
        least_used.shrink(self.root.rglob("*.json"), _LIMIT)

    def _recall(self, kind: Kind[T], path: Path) -> T | None:
        found = kind.recall(path)
        if found is not None:
            least_used.touch(path)
        return found

    def _piece(self, sha256: str) -> Path:
        return inside(self.root, f"{sha256[:2]}/{sha256}.json")

    def _imports(self, start: str) -> Path:
        return inside(self.root, f"imports-{start}.json")

    def _loaded(self, start: str) -> Path:
        return inside(self.root, f"loaded-{start}.json")

    def _record(self, archive: str) -> Path:
        return inside(self.root, f"archive-{archive}.json")


def dump(record: VerificationRecord, release: str, projects: Collection[str] = ()) -> bytes:
    """Return a record as the bytes that are stored beside a `release`.

    They depend on the archive, and not on its builder: which modules one process imported is a matter of the number
    of cores, and which were not imported now, of what was verified here before. So the imports are one; and those
    that do not depend on the team's own `projects`, by their owners, are another, which holds when one changes.
    """
    lasting = [each for each in record.imports if each.owners.keys().isdisjoint(projects)]
    imports = _as_one(record.imports, release)
    if len(lasting) < len(record.imports):
        imports = (*_as_one(lasting, release), *imports)
    public = VerificationRecord(start=record.start, imports=imports, pieces=record.pieces)
    return gzip.compress(json.encode(public), 6, mtime=0)


def _as_one(imports: Sequence[Imported], release: str) -> tuple[Imported, ...]:
    """Return the one note that holds where all of these hold."""
    if not imports:
        return ()
    owners = {owner: sha256 for each in imports for owner, sha256 in each.owners.items()}
    files = {path: sha256 for each in imports for path, sha256 in each.files.items()}
    one = Imported(
        modules=tuple(sorted({module for each in imports for module in each.modules})),
        owners=dict(sorted(owners.items())),
        files=dict(sorted(files.items())),
        missed=tuple(sorted({module for each in imports for module in each.missed})),
        release=release,
    )
    return (one,)


def seen(binaries: Iterable[Binary]) -> SeenPiece:
    """Return the note for a piece with these binaries."""
    return SeenPiece(binaries=tuple(SeenBinary(**vars(binary)) for binary in binaries))


class Content:
    """The content of an archive, piece by piece."""

    def __init__(self, pieces: Sequence[Laid]) -> None:
        self.pieces = pieces
        self.entries: dict[str, Entry] = {}
        """By path; no directories."""
        self.owners: dict[str, str] = {}
        """By path."""
        for piece in pieces:
            for entry in piece.facts.entries:
                if entry.kind != "directory":
                    self.entries[entry.path] = entry
                    self.owners[entry.path] = piece.facts.owner
        digests = defaultdict(list)
        for piece in pieces:
            digests[piece.facts.owner].append(piece.facts.sha256)
        self.digests = {owner: digest.of_json(found) for owner, found in digests.items() if owner}
        """By package: what identifies the content of its files."""

    def modules(self, library: str) -> frozenset[str]:
        """Return the full names of all modules, packages and folders below a `lib/pythonX.Y`."""
        found: set[str] = set()
        folders: set[str] = set()
        for root in (f"{library}/site-packages/", f"{library}/lib-dynload/", f"{library}/"):
            for path in self.entries:
                if path.startswith(root):
                    folder, _, name = path[len(root) :].rpartition("/")
                    folders.add(folder)
                    found.add(f"{folder}/{name.partition('.')[0]}".lstrip("/"))
        for folder in folders:
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]  # noqa: PLW2901 - the one above
        return frozenset(path.replace("/", ".") for path in found)


def _plugins(installed: InstalledModules) -> Iterator[tuple[str, str]]:
    """Yield the files of entry points that other packages may look for, with their digests."""
    for each in (each for found in installed.distributions.values() for each in found):
        with suppress(OSError):
            data = (installed.environment / each.folder / "entry_points.txt").read_bytes()
            if {*_GROUP.findall(data)} - _PROGRAMS:
                yield each.folder, digest.of_bytes(data)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What decides the result of imports in an environment, besides the files they load."""

    content: Content
    installed: InstalledModules
    start: str
    """The digest of a process's start-up files, and of the plugins that it may look for."""

    @classmethod
    def of(
        cls,
        content: Content,
        installed: InstalledModules,
        variables: Mapping[str, str],
        confine: Confine,
        probe: bytes,
    ) -> Scene:
        """Read an environment; `variables`, `confine` and `probe` are the input of its processes."""
        library = f"lib/python{installed.python_minor}"
        plugins = sorted(_plugins(installed))
        begins = sorted(
            (path, entry.sha256, entry.link)
            for path, entry in content.entries.items()
            if path in guard.LAUNCHERS
            or path == guard.PYVENV
            or (
                path.startswith(f"{library}/site-packages/")
                and (source := module_of(path) if path.endswith(".pyc") else path).count("/") == 3
                and (source.endswith(".pth") or source.rpartition("/")[2] in _STARTS)
            )
        )
        start = digest.of_json([digest.of_bytes(probe), sorted(variables.items()), confine.value, plugins, begins])
        return cls(content=content, installed=installed, start=start)

    @cached_property
    def _modules(self) -> frozenset[str]:
        return self.content.modules(f"lib/python{self.installed.python_minor}")

    def needed(self, names: Iterable[str]) -> set[str]:
        """Return the packages with the requested names, with all that these may need; and Python."""
        waiting = ["python", *names]
        found: set[str] = set()
        while waiting:
            owner, needs = self._package(waiting.pop())
            if owner and owner not in found:
                found.add(owner)
                waiting += needs
        return found

    def _package(self, name: str) -> tuple[str | None, list[str]]:
        """Return a package's name in the archive, and the names of those that it may need."""
        from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - 30 ms
        from packaging.utils import canonicalize_name  # noqa: PLC0415

        project = str(canonicalize_name(name))
        needs: list[str] = []
        owner = None
        for each in self.installed.distributions.get(project, ()):
            owner = self.content.owners.get(f"{each.folder}/METADATA", owner)
            with suppress(OSError, ValueError):  # of METADATA that is no text
                for text in each.metadata.requires or ():
                    with suppress(InvalidRequirement):
                        needs.append(Requirement(text).name)
        if record := self.installed.conda.get(name):
            owner = record.owner
            needs += [str(spec).split()[0] for spec in record.data.get("depends", ()) if str(spec).split()]
        return owner, needs

    def still_hold(self, imports: Iterable[Imported]) -> Iterator[Imported]:
        """Yield the imports that would have the same result: all they used exists, and nothing they lacked."""
        for each in imports:
            if (
                each.owners.items() <= self.content.digests.items()
                and all(self._has(path, sha256) for path, sha256 in each.files.items())
                and self._modules.isdisjoint(each.missed)
            ):
                yield each

    def _has(self, path: str, sha256: str) -> bool:
        entry = self.content.entries.get(path)
        return entry is not None and entry.sha256 == sha256

    def imported(self, modules: Mapping[str, str], loaded: Loaded, release: str) -> Imported | None:
        """Return the note for imports; None if they loaded files that the archive does not have.

        `modules` are those that were imported, with the requested name of each. Those that failed must not be among
        them: whether that is only a note depends on the requirements and on the target.
        """
        owners = self.needed(modules.values())
        files: dict[str, str] = {}
        for path in loaded.files:
            entry = self.content.entries.get(path)
            if entry is None:
                return None
            if owner := self.content.owners[path]:
                owners.add(owner)
            elif entry.sha256:
                files[path] = entry.sha256
        return Imported(
            modules=tuple(sorted(modules)),
            owners={
                owner: self.content.digests[owner] for owner in sorted(owners) if owner in self.content.digests
            },
            files=dict(sorted(files.items())),
            missed=tuple(sorted(loaded.missed - self._modules)),
            release=release,
        )
