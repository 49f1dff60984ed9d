"""Ask a git repository through the git command."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from envpack.redact import without_secrets

_DEEPEN = (50, 500)
"""How many commits to fetch at a time while a shallow clone does not reach the commit where a branch began."""

_SECONDS = 120

OF_ONE_REPOSITORY = frozenset(
    f"GIT_{name}"
    for name in (
        *("DIR", "WORK_TREE", "IMPLICIT_WORK_TREE", "INDEX_FILE", "PREFIX", "COMMON_DIR", "NAMESPACE"),
        *("OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES", "GRAFT_FILE", "SHALLOW_FILE"),
    )
)
"""Variables that name a repository, whichever directory git is asked about; git sets them for hooks.

Source: `git rev-parse --local-env-vars`.
"""


class Repository:
    """The repository of a directory, asked through the git command."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def git(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run a git command; a git that is missing or hangs counts as failed."""
        command = ["git", "-C", str(self._directory), *arguments]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env={**_environment(arguments), "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
                check=False,
                timeout=_SECONDS,
            )
        except FileNotFoundError:
            return subprocess.CompletedProcess(command, 127, b"", b"git is not installed")
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, b"", b"git did not answer")

    def root(self) -> Path | None:
        """Return the top of the working tree."""
        return Path(found) if (found := self.line("rev-parse", "--show-toplevel")) else None

    def why_there_is_none(self) -> str:
        """Return why git finds no repository: there is none, git is missing, or it is another user's."""
        said = self.git("rev-parse", "--show-toplevel").stderr.decode(errors="replace").strip()
        if "not a git repository" in said:
            return "there is no git repository"
        return f"git cannot be asked: {' '.join(said.split())}"

    def commit(self, name: str) -> str | None:
        """Return the full hash of a commit."""
        return self.line("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")

    def tree(self) -> str | None:
        """Return the hash of the content of HEAD: that of two merges of the same commits is the same."""
        return self.line("rev-parse", "--verify", "--quiet", "HEAD^{tree}")

    def fetched(self, name: str) -> str | None:
        """Return a commit, from the clone or from where it was cloned."""
        if found := self.commit(name):
            return found
        self.git("fetch", "--quiet", "--no-tags", "--depth=1", "--end-of-options", "origin", name)
        return self.commit(name) or (self.commit("FETCH_HEAD") if not _is_hash(name) else None)

    def merge_base(self, tip: str) -> str | None:
        """Return where HEAD left another branch; a shallow clone is deepened until that is found."""
        if found := self.line("merge-base", tip, "HEAD"):
            return found
        for commits in _DEEPEN:
            if self.line("rev-parse", "--is-shallow-repository") != "true":
                break
            if self.git("fetch", "--quiet", "--no-tags", f"--deepen={commits}", "origin").returncode:
                break
            if found := self.line("merge-base", tip, "HEAD"):
                return found
        return None

    def is_ancestor(self, commit: str) -> bool:
        """Return whether a commit is an ancestor of HEAD."""
        return self.git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0

    def line(self, *arguments: str) -> str | None:
        """Return what a git command prints; None when it fails or prints nothing."""
        answer = self.git(*arguments)
        return os.fsdecode(answer.stdout).strip() or None if answer.returncode == 0 else None


def _environment(arguments: tuple[str, ...]) -> dict[str, str]:
    """Return the variables that git needs: its credentials only where it asks a server."""
    given = dict(os.environ) if arguments[0] == "fetch" else without_secrets(os.environ)
    return {name: value for name, value in given.items() if name not in OF_ONE_REPOSITORY}


def _is_hash(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{7,64}", name) is not None
