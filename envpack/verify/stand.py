"""Turn a linked prefix into what its archive unpacks to, as far as verification needs.

A node unpacks all of an archive. Where most of its pieces were already unpacked and read, in an earlier archive,
the prefix is moved elsewhere instead. The new pieces are unpacked into it, and the files of the packages that will
run are compared with the digests of those in the archive: those that earlier processes have loaded before anything
runs, and what else a process has loaded after it has run.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from envpack import digest
from envpack.archive.ownership import ENVIRONMENT, module_of
from envpack.archive.unpack import extract_pieces

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from envpack.archive.composing import Laid
    from envpack.archive.members import Entry
    from envpack.archive.pieces import Facts
    from envpack.progress import Step
    from envpack.verify.earlier import Content


class Stand:
    """A directory that represents an unpacked archive."""

    def __init__(self, archive: Path, content: Content, environment: Path, step: Step) -> None:
        self._archive, self._content, self._step = archive, content, step
        self._environment = environment
        self._exact: set[str] = set()
        """The owners all of whose files are equal to the archive's."""
        self._equal: set[str] = set()
        """Single files that are."""
        self._there: set[str] = set()

    def put(self, new: Collection[Laid]) -> list[str]:
        """Remove files that the archive does not have, and unpack the new pieces.

        Returns why members were refused.
        """
        fresh = {entry.path for piece in new for entry in piece.facts.entries if entry.kind != "directory"}
        stays = self._content.entries.keys() - fresh
        for path in _files(str(self._environment)):
            if path not in stays:
                (self._environment / path).unlink()
        self._exact.update(piece.facts.owner for piece in new)
        return extract_pieces(self._archive, _spans(new), self._environment, step=self._step)

    def make_exact(self, owners: Collection[str], likely: Collection[str] | None = None) -> list[str]:
        """Make the files of packages equal to those in the archive, including bytecode.

        If it is known which modules and libraries are `likely` to be loaded, the other ones are only compared by
        their sizes, and their bytecode is removed: Python compiles those that it loads. Returns why members were
        refused.
        """
        pieces = [piece for piece in self._content.pieces if piece.facts.owner in {*owners} - self._exact]
        wrong = set()
        for piece in pieces:
            due = _due(piece.facts, likely)
            for entry in piece.facts.entries:
                if entry.kind == "directory":
                    continue
                if entry.path in due:
                    self._equal.add(entry.path)
                    if not self._is(entry):
                        wrong.add(entry.path)
                elif _is_bytecode(entry.path):
                    (self._environment / entry.path).unlink(missing_ok=True)
                elif not self._looks_like(entry):
                    wrong.add(entry.path)
        for path in wrong:
            (self._environment / path).unlink(missing_ok=True)
        changed = [piece for piece in pieces if not wrong.isdisjoint(entry.path for entry in piece.facts.entries)]
        return extract_pieces(
            self._archive, _spans(changed), self._environment, wanted=wrong.__contains__, step=self._step
        )

    def is_exact(self, paths: Iterable[str]) -> bool:
        """Say whether files are equal to the archive's."""
        entries = self._content.entries
        return all(
            path in entries
            and (self._content.owners[path] in self._exact or path in self._equal or self._is(entries[path]))
            for path in paths
        )

    def close(self) -> None:
        """Remove write permission from all directories, as in a node's cache."""
        self._there = self._present()
        for folder, _, _ in os.walk(self._environment):
            os.chmod(folder, 0o555)  # noqa: PTH101, S103 - there are thousands, and nobody may write

    def gone(self) -> list[str]:
        """Return the files that were removed since it was closed."""
        return sorted(self._there - self._present())

    def _present(self) -> set[str]:
        """Return the archive's files that exist; bytecode that is not needed does not."""
        return self._content.entries.keys() & {*_files(str(self._environment))}

    def _is(self, entry: Entry) -> bool:
        """Say whether a file is equal to the archive's."""
        alike = self._looks_like(entry)
        return alike and (entry.kind == "link" or digest.of_file(self._environment / entry.path) == entry.sha256)

    def _looks_like(self, entry: Entry) -> bool:
        """Say whether a file has the size and the permissions of the archive's, or is the same link."""
        path = f"{self._environment}/{entry.path}"
        try:  # there are thousands: strings take a fifth of the time of paths
            facts = os.lstat(path)
            if entry.kind == "link" or stat.S_ISLNK(facts.st_mode):
                return entry.kind == "link" and stat.S_ISLNK(facts.st_mode) and os.readlink(path) == entry.link  # noqa: PTH115
        except OSError:
            return False
        return (
            facts.st_size == entry.size
            and facts.st_mode & 0o044 == 0o044
            and bool(facts.st_mode & 0o100) == entry.executable
        )


def _due(facts: Facts, likely: Collection[str] | None) -> set[str]:
    """Return the paths of a piece whose content must be known before anything runs.

    Besides what is likely to be loaded these are files that differ between a prefix and its archive.
    """
    paths = [entry.path for entry in facts.entries]
    if likely is None or facts.owner == ENVIRONMENT:
        return set(paths)
    changed = {row.path for row in facts.rewritten}
    return {
        path
        for path in paths
        if (module_of(path) if _is_bytecode(path) else path) in likely
        or path in changed
        or not path.startswith("lib/")
        or ".dist-info/" in path
    }


def _is_bytecode(path: str) -> bool:
    return path.endswith(".pyc") and "/__pycache__/" in path


def _spans(pieces: Iterable[Laid]) -> list[tuple[int, Facts]]:
    return [(piece.start, piece.facts) for piece in pieces]


def _files(top: str) -> Iterator[str]:
    """Yield every file and link by its path from `top`."""
    waiting = [""]
    while waiting:
        above = waiting.pop()
        # A directory that packaged code has made unreadable has no files that a node could use.
        with suppress(PermissionError), os.scandir(f"{top}/{above}") as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{above}{entry.name}/")
                else:
                    yield above + entry.name
