"""Real git repositories with people in them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Repository:
    """A git repository with a person in it."""

    path: Path

    def git(self, *arguments: str) -> str:
        person = ("-c", "user.name=A Person", "-c", "user.email=person@example.org", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(self.path), *person, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, **files: str) -> str:
        """Write files (`a__b_txt` is `a/b.txt`), commit them, and return the commit."""
        for name, text in files.items():
            file = self.path / name.replace("__", "/").replace("_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return self.git("rev-parse", "HEAD")

    def names(self, paths: frozenset[Path] | None) -> set[str]:
        assert paths is not None
        return {path.relative_to(self.path).as_posix() for path in paths}


def new_repository(path: Path) -> Repository:
    """Make an empty repository whose branch is `main`."""
    path.mkdir(parents=True, exist_ok=True)
    repository = Repository(path)
    repository.git("init", "--quiet", "--initial-branch=main")
    return repository


def clone_of(repository: Repository, path: Path, *options: str) -> Repository:
    subprocess.run(["git", "clone", "--quiet", *options, repository.path.as_uri(), path], check=True)
    return Repository(path)
