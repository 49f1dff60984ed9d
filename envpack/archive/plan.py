"""The composition of an archive: kept pieces where they fit, parts of the prefix for the rest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from envpack import digest
from envpack.archive import guard, links, slim
from envpack.archive.bytecode import Brought, compile_prefix
from envpack.archive.members import Member
from envpack.archive.members import file as member_of
from envpack.archive.ownership import ENVIRONMENT, module_of
from envpack.archive.packer import INSTALLERS, PACKER
from envpack.archive.parts import (
    Part,
    all_directories,
    crosses,
    part_of,
    with_directories,
    with_members,
    without_links,
)
from envpack.archive.pieces import Piece
from envpack.archive.selection import bytecode_of, conda_unpack, listed, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from envpack.archive.bytecode import Compiler
    from envpack.archive.composing import Manner
    from envpack.archive.pieces import Facts, Kept, Rewritten
    from envpack.archive.selection import Listing, PrefixContent
    from envpack.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The input of an archive."""

    content: PrefixContent
    bytecode: Path
    """The directory of the pyc files, in the prefix's layout."""
    compiler: Compiler | None
    kept: Kept | None
    slim: bool
    """Whether files that no node needs are left out."""
    proven: bool = False
    """Whether each file has to match its package's record."""

    @cached_property
    def guards(self) -> tuple[Member, ...]:
        """The files that envpack adds, without their bytecode."""
        wheels = {package.project for package in self.content.packages if not package.record}
        return tuple(guard.members(self.content.prefix, wheels))

    @cached_property
    def identities(self) -> Mapping[str, str]:
        """What decides which kept pieces fit, by owner."""
        return self.kept.identify(self.content.owners) if self.kept else {}


def plan(sources: Sources, manner: Manner, progress: Progress) -> Iterable[Part | Piece]:
    """Return the parts and kept pieces of an archive, in its order; those of a tar are computed one by one.

    Missing bytecode is made at once, and the prefix's files are listed meanwhile. The packages' files come by
    owner, then the environment's own. In a tar each part has its directories just before their content; directories
    of several parts occur more than once. In a zip they are all at the beginning, once.
    """
    found = _find(sources, manner)
    pool = ThreadPoolExecutor(1, thread_name_prefix="list")
    listing = pool.submit(listed, sources.content, proven=sources.proven)
    pool.shutdown(wait=False)
    try:
        _compile(sources, found, progress)
    except BaseException:
        wait([listing])  # so that nothing reads the prefix of a failed build any more
        raise
    return (_for_tar if manner.format.links else _for_zip)(sources, found, listing, progress)


def _for_tar(
    sources: Sources, found: Mapping[str, Piece], listing: Future[Listing], progress: Progress
) -> Iterator[Part | Piece]:
    placed: list[links.Placed] = []
    rewritten: list[Rewritten] = []
    selecting: Callable[[str], Part] | None = None
    for owner in sources.content.owners.names:
        part: Part | Piece
        if owner in found:
            part = found[owner]
        else:
            # Not sooner: the kept pieces before the first new one can be copied in the meantime.
            selecting = selecting or _selecting(listing.result(), sources, progress)
            part = with_directories(selecting(owner))
            if not part.members:
                continue
        yield part
        placed += _links(part)
        rewritten += _facts(part).rewritten
    selecting = selecting or _selecting(listing.result(), sources, progress)
    own = selecting(ENVIRONMENT)
    links.check([*placed, *_links(own)])
    yield with_directories(_with_scripts(own, rewritten, sources))


def _for_zip(
    sources: Sources, found: Mapping[str, Piece], listing: Future[Listing], progress: Progress
) -> list[Part | Piece]:
    parts = _select(listing.result(), sources, found, progress)
    if found and any(crosses(part) for part in parts):
        # Where links become copies, their targets must be available.
        found = {}
        _compile(sources, found, progress)
        parts = _select(listed(sources.content, proven=sources.proven), sources, found, progress)
    everything: list[Part | Piece] = [*parts, *found.values()]
    links.check([link for part in everything for link in _links(part)])
    own, *packages = without_links(parts, progress)
    by_owner: dict[str, Part | Piece] = {part.owner: part for part in packages}
    by_owner |= found
    ordered = [by_owner[owner] for owner in sources.content.owners.names if owner in by_owner]
    own = _with_scripts(own, [row for part in ordered for row in _facts(part).rewritten], sources)
    return [_directories([own, *ordered]), *ordered, own]


def key_of(part: Part, facts: Facts, sources: Sources, manner: Manner) -> str | None:
    """Return the key under which a new piece is kept: a package's own, or for the rest that of its bytes.

    None if it is not kept.
    """
    if not part.lasting:
        return None
    return facts.sha256 if part.owner == ENVIRONMENT else _key(part.owner, sources, manner)


def _key(owner: str, sources: Sources, manner: Manner) -> str | None:
    identity = sources.identities.get(owner)
    if identity is None:
        return None
    contested = sources.content.owners.contested.get(owner, ())
    rules = slim.VERSION if sources.slim else None
    lost = sources.content.owners.lost.get(owner, ())
    return digest.of_json([PACKER, INSTALLERS, manner.format.name, manner.level, rules, identity, contested, lost])


def _find(sources: Sources, manner: Manner) -> dict[str, Piece]:
    """Return the kept pieces that fit, by owner."""
    if not sources.kept:
        return {}
    keys = {owner: key for owner in sources.content.owners.names if (key := _key(owner, sources, manner))}
    found = sources.kept.pieces.find(keys.values())
    if sources.kept.fetch and (missing := [key for key in keys.values() if key not in found]):
        sources.kept.fetch(missing)
        found |= sources.kept.pieces.find(missing)
    if any(piece.facts.crossing for piece in found.values()):
        return {}
    return {owner: found[key] for owner, key in keys.items() if key in found}


def _compile(sources: Sources, found: Mapping[str, Piece], progress: Progress) -> None:
    if sources.compiler:
        owners = sources.content.owners
        unneeded = {
            path
            for path, owner in owners.by_path.items()
            if path.endswith(".py") and (owner in found or (sources.slim and slim.left_out(path)))
        }
        compile_prefix(
            sources.content.prefix,
            python=sources.compiler.python,
            into=sources.compiler.into,
            without=unneeded,
            vouched=_vouched(sources.content),
            also=_modules(sources.guards),
            own=sources.compiler.own,
            confine=sources.compiler.confine,
            progress=progress,
        )


def _modules(members: Iterable[Member]) -> dict[str, bytes]:
    return {member.path: member.data or b"" for member in members if member.path.endswith(".py")}


def _vouched(content: PrefixContent) -> dict[str, Brought]:
    """Return by path the entries in conda packages' lists of files for their modules with bytecode.

    A wheel's RECORD does not have them: the installer compiles a wheel's modules.
    """
    return {
        module: Brought(source, pyc)
        for package in content.packages
        if package.record
        for path in package.files
        if path.endswith(".pyc")
        and (pyc := package.sha256(path))
        and (source := package.sha256(module := module_of(path)))
    }


def _selecting(listing: Listing, sources: Sources, progress: Progress) -> Callable[[str], Part]:
    """Return a function that gives the part of an owner."""

    def part(owner: str) -> Part:
        selected = select(listing, owner, bytecode=sources.bytecode, slim=sources.slim, progress=progress)
        return part_of(owner, selected)

    return part


def _select(listing: Listing, sources: Sources, found: Mapping[str, Piece], progress: Progress) -> list[Part]:
    """Return the parts of all owners without a kept piece, sorted by owner, the environment's own first."""
    selecting = _selecting(listing, sources, progress)
    packages = [selecting(owner) for owner in sources.content.owners.names if owner not in found]
    return [selecting(ENVIRONMENT), *(part for part in packages if part.members or part.directories)]


def _with_scripts(own: Part, rewritten: Iterable[Rewritten], sources: Sources) -> Part:
    """Return the environment's own part with what depends on all the others."""
    content = sources.content
    scripts = conda_unpack(content.prefix, [*own.rewritten, *rewritten])
    # Without a compiler the prefix's bytecode may be that of another start-up file.
    compiled = bytecode_of(sources.bytecode, _modules(sources.guards)) if sources.compiler else ()
    return with_members(own, [member_of("conda-meta/history", b""), *scripts, *sources.guards, *compiled])


def _directories(parts: Sequence[Part | Piece]) -> Part:
    paths = [member.path for part in parts for member in _members(part)]
    wanted = [path for part in parts for path in _facts(part).directories]
    members = [Member(path=path, kind="directory") for path in all_directories(paths, wanted)]
    return Part(owner=ENVIRONMENT, members=tuple(members))


def _facts(part: Part | Piece) -> Part | Facts:
    return part.facts if isinstance(part, Piece) else part


def _members(part: Part | Piece) -> Sequence[links.Placed]:
    return part.facts.entries if isinstance(part, Piece) else part.members


def _links(part: Part | Piece) -> list[links.Placed]:
    return [member for member in _members(part) if member.kind == "link"]
