"""The parts of an archive: the directories, each package's own files, and the environment's files."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from envpack.archive import links
from envpack.archive.members import Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from envpack.archive.members import Entry
    from envpack.archive.pieces import Rewritten
    from envpack.archive.saving import Saving
    from envpack.archive.selection import Selected
    from envpack.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Part:
    """Members that are adjacent in an archive and are compressed on their own."""

    owner: str
    """The package; empty for the environment's part."""
    members: tuple[Member, ...]
    """Sorted by path."""
    directories: tuple[str, ...] = ()
    """Directories that the package needs even if they are empty, sorted."""
    rewritten: tuple[Rewritten, ...] = ()
    saved: tuple[Saving, ...] = ()
    """The files of the package that were left out."""
    crossing: bool = False
    """Whether some of its links lead to other parts, or to nothing without another package; where a format has no
    links, their copies are in another part."""
    lasting: bool = True
    """Whether it is the same in every prefix that the same package is linked into."""
    digests: dict[str, str] = field(default_factory=dict)
    """By path: the SHA-256 of the content of the members that were read, see `Member.proven`."""

    def entries(self) -> Iterator[Entry]:
        """Yield the members, which have been read, as stored in a piece."""
        for member in self.members:
            yield member.entry()._replace(sha256=self.digests.get(member.path, ""))


def part_of(owner: str, selected: Selected) -> Part:
    """Return the part for an owner's selected files."""
    return Part(
        owner=owner,
        members=_by_path(member for member in selected.members if member.kind != "directory"),
        directories=tuple(sorted(member.path for member in selected.members if member.kind == "directory")),
        rewritten=tuple(sorted(selected.rewritten)),
        saved=selected.saved,
        lasting=not selected.marked,
    )


def crosses(part: Part) -> bool:
    """Say whether some link of a part leads to anything but a file of the same part."""
    inside = links.Tree(part.members)
    return any(_file(inside, link) is None for link in inside.links)


def without_links(parts: Sequence[Part], progress: Progress) -> list[Part]:
    """Return the parts with copies in place of links, for a format without links.

    A copy of a file of the same part stays in it; every other copy is the environment's, because its content
    depends on other packages. Links that lead to nothing are left out, with a warning.
    """
    tree = links.Tree(
        [
            *(member for part in parts for member in part.members),
            *(Member(path=path, kind="directory") for path in directories(parts)),
        ]
    )
    elsewhere: list[Member] = []
    divided = []
    for part in parts:
        kept, crossing = _own(part, tree, progress)
        elsewhere += crossing
        divided.append(replace(part, members=_by_path(kept), crossing=crosses(part)))
    own = divided[0]
    folders = [member.path for member in elsewhere if member.kind == "directory"]
    files = [member for member in elsewhere if member.kind == "file"]
    return [
        replace(
            own,
            members=_by_path([*own.members, *files]),
            directories=tuple(sorted({*own.directories, *folders})),
        ),
        *divided[1:],
    ]


def with_members(part: Part, members: Iterable[Member]) -> Part:
    """Return a part with further members, which replace those with the same path."""
    return replace(part, members=_by_path([*part.members, *members]))


def with_directories(part: Part) -> Part:
    """Return a part with the directories of its members, and those that the package needs, as members."""
    paths = all_directories([member.path for member in part.members], part.directories)
    folders = [Member(path=path, kind="directory") for path in paths]
    return replace(part, members=_by_path([*folders, *part.members]))


def _by_path(members: Iterable[Member]) -> tuple[Member, ...]:
    by_path = {member.path: member for member in members}
    return tuple([by_path[path] for path in sorted(by_path)])


def _own(part: Part, tree: links.Tree[Member], progress: Progress) -> tuple[list[Member], list[Member]]:
    """Return a part's members with copies for links, and the copies that belong elsewhere."""
    inside = links.Tree(part.members)
    kept: list[Member] = []
    crossing: list[Member] = []
    for member in part.members:
        if member.kind != "link":
            kept.append(member)
        elif target := _file(inside, member):
            kept.append(replace(target, path=member.path))
        elif tree.target(member) is None:
            progress.warn(f"{member.path} is left out: it links to {member.link}, which is not there")
        else:
            crossing += links.copies(tree, member)
    return kept, crossing


def _file(inside: links.Tree[Member], link: Member) -> Member | None:
    target = inside.target(link)
    return target if target and target.kind == "file" else None


def directories(parts: Iterable[Part]) -> list[str]:
    """Return every directory that the members or a package need, sorted."""
    paths = [member.path for part in parts for member in part.members]
    return all_directories(paths, [path for part in parts for path in part.directories])


def all_directories(paths: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Return the directories above `paths`, and those of `wanted` with the ones above them, sorted."""
    found: set[str] = set()
    for path in {*(posixpath.dirname(path) for path in paths), *wanted}:
        inner = path
        while inner and inner not in found:
            found.add(inner)
            inner = posixpath.dirname(inner)
    return sorted(found)
