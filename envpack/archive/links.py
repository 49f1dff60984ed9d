"""Symbolic links: inside the archive or refused."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from envpack.errors import PackingFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envpack.archive.members import Kind, Member

_MOST = 40
"""How many links may follow one another, as on Linux."""


class Placed(Protocol):
    """A member, or what is known of one."""

    @property
    def path(self) -> str:
        """Its path."""
        ...

    @property
    def kind(self) -> Kind:
        """File, link or directory."""
        ...

    @property
    def link(self) -> str:
        """A link's target, as written."""
        ...


M = TypeVar("M", bound=Placed)


def check(members: Iterable[Placed]) -> None:
    """Check that every link stays inside the archive, also through other links; its target need not exist.

    Raises PackingFailed for the first that does not.
    """
    tree = Tree(members)
    for link in tree.links:
        tree.resolve(link)


class Tree(Generic[M]):
    """The members of an archive as a file system."""

    def __init__(self, members: Iterable[M]) -> None:
        self._members = {member.path: member for member in members}

    @cached_property
    def _inside(self) -> dict[str, list[M]]:
        inside: dict[str, list[M]] = {}
        for member in self._members.values():
            inside.setdefault(posixpath.dirname(member.path), []).append(member)
        return inside

    @property
    def links(self) -> list[M]:
        """The links among the members."""
        return [member for member in self._members.values() if member.kind == "link"]

    def resolve(self, link: Placed) -> str:
        """Return the path that a link leads to through all links; "" is the archive's root."""
        here = link.path.split("/")[:-1]
        ahead = _steps(link, link)
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
                    raise PackingFailed(f"{link.path} is a link that leads back to itself", hint="remove it")
                ahead += _steps(found, link)
        return "/".join(here)

    def target(self, link: Placed) -> M | None:
        """Return a link's target, if it exists."""
        path = self.resolve(link)
        if not path:
            raise _contains_itself(link.path)
        return self._members.get(path)

    def inside(self, path: str) -> list[M]:
        """Return the direct members of a directory."""
        return self._inside.get(path, [])


def copies(tree: Tree[Member], link: Member) -> Iterator[Member]:
    """Yield the replacement of a link in formats without links: a copy of the file or of the directory.

    Raises PackingFailed for a link that leaves the archive and for one to a directory above it.
    """
    yield from _copies(tree, link, link.path, ())


def _copies(tree: Tree[Member], member: Member, path: str, within: tuple[str, ...]) -> Iterator[Member]:
    """Yield the members at `path` instead of `member`; `within` are the directories that are being copied."""
    target = tree.target(member) if member.kind == "link" else member
    if target is None:
        return
    yield replace(target, path=path)
    if target.kind == "directory":
        if target.path in within or f"{path}/".startswith(f"{target.path}/"):
            raise _contains_itself(path)
        for child in tree.inside(target.path):
            name = posixpath.basename(child.path)
            yield from _copies(tree, child, posixpath.join(path, name), (*within, target.path))


def _steps(link: Placed, first: Placed) -> list[str]:
    """Return the steps of a link's path, in reverse order."""
    if link.link.startswith("/"):
        raise _leaves(first)
    return link.link.split("/")[::-1]


def _leaves(link: Placed) -> PackingFailed:
    return PackingFailed(
        f"{link.path} is a link to {link.link}, which is outside the environment",
        hint="replace the link by the file, or remove the link",
    )


def _contains_itself(path: str) -> PackingFailed:
    return PackingFailed(
        f"{path} links to a directory that contains it, which a zip cannot store", hint="pack to .tar.gz instead"
    )
