"""The files of a project that its build reads, their digest, and a clean copy of them.

In a git repository they are the files that git lists: tracked and new ones, without ignored ones. Elsewhere all
files count except those that tools leave behind. Times and owners are ignored.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from envpack import digest
from envpack.errors import NotReady, PackingFailed
from envpack.tools.git import Repository

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_LEFT_BEHIND = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".venv", "venv", ".tox", ".nox", ".eggs", "node_modules"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints", "envpack-report"}
)
"""Directories that no build reads."""

_OUTPUT = frozenset({"build", "dist"})
"""Files that builds write beside a project's own."""

_LOCK_HEAD = b"# Written by `envpack lock`."


def project_files(directory: Path, *, without: Collection[Path] = ()) -> list[str]:
    """Return the paths of a project's files from its directory, sorted.

    `without` are absolute paths that are not part of it: a store or a cache in the project's directory. A lock that
    envpack wrote is left out too: it holds the digest of the others.
    """
    excluded = [os.path.relpath(path, directory) for path in without if path.is_relative_to(directory)]
    return sorted(
        name
        for name in (_git_files(directory) or _own_files(directory))
        if not any(name == each or name.startswith(f"{each}/") for each in excluded)
        and _is_file(directory / name)
        and not _is_own_lock(directory / name)
    )


def all_files(directory: Path) -> list[str]:
    """Return the paths of all files of a checked out repository from its directory, sorted."""
    found = []
    for folder, folders, names in os.walk(directory):
        here = Path(folder)
        links = [name for name in folders if (here / name).is_symlink()]
        found += [(here / name).relative_to(directory).as_posix() for name in (*names, *links)]
    return sorted(found)


def digest_of(directory: Path, names: Collection[str]) -> str:
    """Return the digest of files: of their paths, contents and whether they can be executed."""
    return digest.of_json([[name, *_facts(directory / name)] for name in sorted(names)])


def copy(directory: Path, names: Collection[str], into: Path) -> None:
    """Copy files into a new directory, readable for everyone, all with one time.

    Raises PackingFailed for a link that leads out of the directory: a build could follow it to a file of this
    machine, or leave out without a word what it does not find.
    """
    into.mkdir()
    links = []
    for name in names:
        source, target = directory / name, into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
            links.append(target)
            continue
        shutil.copyfile(source, target)
        target.chmod(0o755 if _executable(source) else 0o644)
    top = os.path.realpath(into)
    for link in links:
        if not Path(os.path.realpath(link)).is_relative_to(top):
            raise PackingFailed(
                f"{link.relative_to(into)} is a link to {link.readlink()}, which is outside the project",
                hint="replace the link by the file, or let git ignore the link",
            )


_OF_ANOTHER_USER = (b"dubious ownership", b"unsafe repository")
"""git's words for a repository that another user owns, since 2.38 and before."""


def _git_files(directory: Path) -> list[str]:
    """Return the files that git lists below a directory; none without a repository, or where all is ignored.

    Raises NotReady where git refuses the directory, which is another user's: what it ignores would count.
    """
    answer = Repository(directory).git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if any(words in answer.stderr for words in _OF_ANOTHER_USER):
        raise NotReady(
            f"git does not read the project in {directory}: another user owns its directory",
            hint=f"allow it: `git config --global --add safe.directory {directory}`",
        )
    if answer.returncode:
        return []
    return list(dict.fromkeys(_with_inner(directory, filter(None, os.fsdecode(answer.stdout).split("\0")))))


def _with_inner(directory: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield files, and those of the repositories among them: submodules, and others that git does not enter."""
    for name in names:
        inner = directory / name
        if not inner.is_symlink() and (inner / ".git").exists():
            yield from (f"{name.rstrip('/')}/{below}" for below in _git_files(inner))
        else:
            yield name


def _own_files(directory: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(directory):
        here = Path(folder)
        top = here == directory
        folders[:] = [
            name
            for name in folders
            if name not in _LEFT_BEHIND
            and not name.endswith(".egg-info")
            and not (top and name in _OUTPUT)
            and not (here / name / "pyvenv.cfg").exists()
        ]
        links = [name for name in folders if (here / name).is_symlink()]
        for name in (*names, *links):
            if not name.endswith((".pyc", ".pyo")):
                yield (here / name).relative_to(directory).as_posix()


def _is_file(path: Path) -> bool:
    """Return whether a path is a file or a link: git also lists deleted files, and submodules as directories."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _is_own_lock(path: Path) -> bool:
    if path.suffix != ".lock" or path.is_symlink():
        return False
    with path.open("rb") as file:
        return file.read(len(_LOCK_HEAD)) == _LOCK_HEAD


def _facts(path: Path) -> tuple[str, str]:
    if path.is_symlink():
        return "link", os.fspath(path.readlink())
    return "program" if _executable(path) else "file", digest.of_file(path)


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)
