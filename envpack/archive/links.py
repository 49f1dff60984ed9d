"""Symbolic links: inside the archive or refused."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from envpack.errors import PackingFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.archive.members import Member
    from envpack.progress import Progress

_MOST = 40
"""How many links may stand behind one another, as on Linux."""


def check(members: Sequence[Member]) -> None:
    """See that every link stays inside the archive, whatever links are on its way; it need not lead to anything.

    Raises PackingFailed naming the first that does not.
    """
    tree = _Tree(members)
    for member in members:
        if member.kind == "link":
            tree.resolve(member)


def followed(members: Sequence[Member], progress: Progress) -> list[Member]:
    """Return the members with copies in place of the links, for a format that has none.

    A link to a directory becomes a copy of the directory. Links that lead to nothing are left out, with a warning.
    Raises PackingFailed for a link that leaves the archive and for one to a directory around it.
    """
    tree = _Tree(members)
    copies: list[Member] = []
    for member in members:
        if member.kind != "link":
            copies.append(member)
        elif tree.target(member) is None:
            progress.warn(f"{member.path} is left out: it links to {member.link}, which is not there")
        else:
            copies += tree.copies(member, member.path, ())
    return copies


class _Tree:
    """The members of an archive, as a file system has them."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = {member.path: member for member in members}
        self._inside: dict[str, list[Member]] = {}
        for member in members:
            self._inside.setdefault(posixpath.dirname(member.path), []).append(member)

    def resolve(self, link: Member) -> str:
        """Return the path that a link leads to through all links on its way; "" is the archive's root."""
        here = link.path.split("/")[:-1]
        ahead = self._steps(link, link)
        links = 0
        while ahead:
            step = ahead.pop()
            if step == "..":
                if not here:
                    raise _leaves(link)
                here.pop()
            elif step not in ("", "."):
                found = self._members.get("/".join([*here, step]))
                if found is None or found.kind != "link":
                    here.append(step)
                    continue
                links += 1
                if links > _MOST:
                    raise PackingFailed(f"{link.path} is a link that leads in a circle", hint="remove it")
                ahead += self._steps(found, link)
        return "/".join(here)

    def target(self, link: Member) -> Member | None:
        """Return what a link leads to, if it is there."""
        path = self.resolve(link)
        if not path:
            raise _contains_itself(link.path)
        return self._members.get(path)

    def copies(self, member: Member, path: str, within: tuple[str, ...]) -> Iterator[Member]:
        """Yield what stands at `path` instead of `member`; `within` are the directories that are being copied."""
        target = self.target(member) if member.kind == "link" else member
        if target is None:
            return
        yield replace(target, path=path)
        if target.kind == "directory":
            if target.path in within or f"{path}/".startswith(f"{target.path}/"):
                raise _contains_itself(path)
            for child in self._inside.get(target.path, ()):
                name = posixpath.basename(child.path)
                yield from self.copies(child, posixpath.join(path, name), (*within, target.path))

    @staticmethod
    def _steps(link: Member, first: Member) -> list[str]:
        """Return the steps of a link's way, the first one last."""
        if link.link.startswith("/"):
            raise _leaves(first)
        return link.link.split("/")[::-1]


def _leaves(link: Member) -> PackingFailed:
    return PackingFailed(
        f"{link.path} is a link to {link.link}, which is outside the environment",
        hint="put the file itself in its place, or remove the link",
    )


def _contains_itself(path: str) -> PackingFailed:
    return PackingFailed(
        f"{path} links to a directory around it, which a zip cannot hold", hint="pack to .tar.gz instead"
    )
