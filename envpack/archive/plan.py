"""What an archive is made of: kept pieces where they fit, parts of the prefix for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from envpack import digest
from envpack.archive import links, slim
from envpack.archive.bytecode import compile_prefix
from envpack.archive.members import Member
from envpack.archive.members import file as member_of
from envpack.archive.ownership import ENVIRONMENT
from envpack.archive.packer import INSTALLERS, PACKER
from envpack.archive.parts import (
    Part,
    all_directories,
    crosses,
    divide,
    with_directories,
    with_members,
    without_links,
)
from envpack.archive.pieces import Piece
from envpack.archive.selection import conda_unpack, select

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from envpack.archive.bytecode import Compiler
    from envpack.archive.composing import Manner
    from envpack.archive.pieces import Facts, Kept
    from envpack.archive.selection import Content
    from envpack.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What an archive is made from."""

    content: Content
    bytecode: Path
    """Where the pyc files are, in the prefix's layout."""
    compiler: Compiler | None
    kept: Kept | None
    slim: bool
    """Whether what no node needs is left out."""

    @cached_property
    def identities(self) -> Mapping[str, str]:
        """What tells which kept pieces fit, by owner."""
        return self.kept.identify(self.content.owners) if self.kept else {}


def plan(sources: Sources, manner: Manner, progress: Progress) -> list[Part | Piece]:
    """Return the parts and kept pieces of an archive, in its order; bytecode that is missing is made.

    Each package's files come by owner, then what is the environment's own. In a tar each part has its directories
    just before what is in them, those that several parts need more than once. In a zip they all stand at the
    beginning, once.
    """
    found = _find(sources, manner)
    _compile(sources, found, progress)
    parts = _select(sources, found, progress)
    if found and manner.format == "zip" and any(crosses(part) for part in parts):
        # Where links become copies, what they lead to must be at hand.
        found = {}
        _compile(sources, found, progress)
        parts = _select(sources, found, progress)
    links.check(_members([*parts, *found.values()]))
    if manner.format == "zip":
        parts = without_links(parts, progress)
    own, *packages = parts
    in_tar = manner.format != "zip"
    by_owner: dict[str, Part | Piece] = {}
    by_owner |= {part.owner: with_directories(part) if in_tar else part for part in packages}
    by_owner |= found
    ordered = [by_owner[owner] for owner in sorted(by_owner)]
    rewritten = [row for part in (own, *ordered) for row in _facts(part).rewritten]
    scripts = [member_of("conda-meta/history", b""), *conda_unpack(sources.content.prefix, rewritten)]
    own = with_members(own, scripts)
    if in_tar:
        return [*ordered, with_directories(own)]
    return [_directories([own, *ordered]), *ordered, own]


def key_of(part: Part, facts: Facts, sources: Sources, manner: Manner) -> str | None:
    """Return under which key a new piece is kept: a package's own, or for the rest that of its bytes.

    None if it is not to be kept.
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
    return digest.of_json([PACKER, INSTALLERS, manner.format, manner.level, rules, identity, contested])


def _find(sources: Sources, manner: Manner) -> dict[str, Piece]:
    """Return the kept pieces that fit, by owner."""
    if not sources.kept:
        return {}
    keys = {owner: key for owner in sources.content.owners.names if (key := _key(owner, sources, manner))}
    found = sources.kept.pieces.find(keys.values())
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
            progress=progress,
        )


def _select(sources: Sources, found: Mapping[str, Piece], progress: Progress) -> list[Part]:
    selected = select(
        sources.content, without=found, bytecode=sources.bytecode, slim=sources.slim, progress=progress
    )
    return divide(selected, sources.content.owners)


def _directories(parts: Sequence[Part | Piece]) -> Part:
    paths = [member.path for member in _members(parts)]
    wanted = [path for part in parts for path in _facts(part).directories]
    members = [Member(path=path, kind="directory") for path in all_directories(paths, wanted)]
    return Part(owner=ENVIRONMENT, members=tuple(members))


def _facts(part: Part | Piece) -> Part | Facts:
    return part.facts if isinstance(part, Piece) else part


def _members(parts: Sequence[Part | Piece]) -> Iterator[links.Placed]:
    for part in parts:
        yield from part.facts.entries if isinstance(part, Piece) else part.members
