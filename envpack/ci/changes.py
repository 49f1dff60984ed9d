"""Ask git what has changed since an earlier build."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.errors import UsageError
from envpack.tools.git import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NO_COMMIT = re.compile(r"0*")
"""What CI systems give for a new branch."""

_TARGETS = {
    "CHANGE_TARGET": "Jenkins",
    "GITHUB_BASE_REF": "GitHub",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "GitLab",
    "BITBUCKET_PR_DESTINATION_BRANCH": "Bitbucket",
}
"""Variables that name the branch a pull request goes to; each CI's documentation of its variables."""

_BEFORE = {
    "GIT_PREVIOUS_SUCCESSFUL_COMMIT": "Jenkins",
    "CI_COMMIT_BEFORE_SHA": "GitLab",
}
"""Variables that name the commit of the build before."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """The base of the comparison."""

    commit: str | None
    """None without a base: then everything counts as changed."""
    why: str
    """How it was found, or why there is none."""

    @property
    def told(self) -> str:
        """The same as a sentence without its end."""
        return f"compared with {self.why}" if self.commit else f"everything counts as changed: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The files that differ between the base and the working tree."""

    base: Base
    paths: frozenset[Path] | None
    """Absolute paths, of added, changed, renamed (both names) and deleted files; None for all files."""
    deleted: frozenset[Path] = frozenset()
    """Deleted files, except renamed ones."""
    renamed: Mapping[Path, Path] = field(default_factory=dict)
    """New name to old name."""

    def touch(self, path: Path) -> bool:
        """Return whether a file, or anything inside a directory, has changed."""
        return self.paths is None or self.first(path) is not None

    def first(self, path: Path) -> Path | None:
        """Return the file itself if it has changed, or the first that has inside a directory."""
        return min((each for each in self.paths or () if each == path or path in each.parents), default=None)


def since(commit: str | None, environ: Mapping[str, str], directory: Path) -> Changes:
    """Return what has changed since a commit, or since what the CI system's variables name.

    `directory` is in the repository. Without a commit a pull request is compared with its merge base with the
    target branch, and a branch with its last successful build. If the base cannot be found, everything counts as
    changed, and the base says why. Raises UsageError when `commit` is not a commit.
    """
    repository = Repository(directory)
    root = repository.root()
    if root is None:
        why = repository.why_there_is_none()
        if commit:
            raise UsageError(
                f"--since {commit}: {why} at {directory}",
                hint="run envpack in a git repository, or leave --since out",
            )
        return Changes(base=Base(commit=None, why=why), paths=None)
    if commit:
        found = repository.commit(commit)
        if found is None:
            raise UsageError(
                f"--since {commit}: this clone has no such commit",
                hint="fetch it (a shallow clone: `git fetch --unshallow`), or give another commit",
            )
        base = Base(commit=found, why=f"--since {commit}")
    else:
        base = _of_the_system(repository, environ)
    return Changes(base=base, paths=None) if base.commit is None else _changes(repository, root, base)


def file_at(commit: str, path: Path) -> bytes | None:
    """Return a file's content at a commit, or None when it did not exist."""
    repository = Repository(path.parent)
    root = repository.root()
    if root is None:
        return None
    answer = repository.git("show", f"{commit}:{path.absolute().relative_to(root).as_posix()}")
    return answer.stdout if answer.returncode == 0 else None


def head(directory: Path) -> str | None:
    """Return the commit that is checked out, or None outside a repository."""
    return Repository(directory).commit("HEAD")


def tree(directory: Path) -> str | None:
    """Return the hash of the content that is checked out, or None outside a repository."""
    return Repository(directory).tree()


def _of_the_system(repository: Repository, environ: Mapping[str, str]) -> Base:
    for variable, system in _TARGETS.items():
        if branch := environ.get(variable):
            return _of_a_pull_request(repository, branch, f"{system}'s {variable}")
    for variable, commit in _befores(environ):
        if not _NO_COMMIT.fullmatch(commit):
            return _of_the_build_before(repository, commit, variable)
    return Base(commit=None, why="no earlier build is known")


def _befores(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for variable, system in _BEFORE.items():
        yield f"{system}'s {variable}", environ.get(variable, "")
    if event := environ.get("GITHUB_EVENT_PATH"):
        try:
            before = json.loads(Path(event).read_text("utf-8")).get("before", "")
        except (OSError, ValueError):
            before = ""
        yield "GitHub's event", str(before)


def _of_a_pull_request(repository: Repository, branch: str, said: str) -> Base:
    tip = repository.commit(f"origin/{branch}") or repository.fetched(branch)
    if tip is None:
        return Base(commit=None, why=f"{said} names {branch}, which cannot be fetched")
    if found := repository.merge_base(tip):
        return Base(commit=found, why=f"{found[:10]}, where this left {branch} ({said})")
    return Base(commit=tip, why=f"{tip[:10]}, the tip of {branch} ({said}); where this left it is not in the clone")


def _of_the_build_before(repository: Repository, commit: str, said: str) -> Base:
    found = repository.fetched(commit)
    if found is None:
        return Base(commit=None, why=f"{said} names {commit[:10]}, which is in no branch any more")
    moved = "" if repository.is_ancestor(found) else "; the branch was rewritten or the clone is shallow"
    return Base(commit=found, why=f"{found[:10]} ({said}{moved})")


def _changes(repository: Repository, root: Path, base: Base) -> Changes:
    answer = repository.git("diff", "--name-status", "-z", "--find-renames", str(base.commit), "--", ":/")
    if answer.returncode:
        return Changes(base=Base(commit=None, why=f"git diff failed: {answer.stderr.decode().strip()}"), paths=None)
    untracked = repository.git("ls-files", "-z", "--others", "--exclude-standard", "--full-name", ":/")
    # A lock that is in no commit is from an earlier build in this directory.
    changed = {root / name for name in untracked.stdout.decode().split("\0") if name and not name.endswith(".lock")}
    deleted, renamed = set(), {}
    for status, names in _entries(answer.stdout.decode()):
        paths = [root / name for name in names]
        changed.update(paths)
        if status == "R":
            renamed[paths[1]] = paths[0]
        elif status == "D":
            deleted.add(paths[0])
    return Changes(base=base, paths=frozenset(changed), deleted=frozenset(deleted), renamed=renamed)


def _entries(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield status letter and names of `git diff --name-status -z`: two names for renames and copies."""
    fields = iter(text.split("\0"))
    for status in fields:
        if status:
            yield status[0], [next(fields) for _ in range(2 if status[0] in "RC" else 1)]
