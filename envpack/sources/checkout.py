"""Check out a commit of a git repository, its submodules included."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from envpack.errors import NotReady, PackingFailed, Unreachable
from envpack.files.remove import remove
from envpack.redact import know_login, redact, take_apart, without_secrets
from envpack.sources import scm_version
from envpack.tools.git import OF_ONE_REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.requirements.sources import SourceRef

_SECONDS = 600
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SAFE = {
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
    "GIT_LFS_SKIP_SMUDGE": "0",
}

_SETTINGS = (
    # Nothing that a repository could make git run is run on this machine.
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.symlinks=true"),
    *("-c", "core.autocrlf=false", "-c", "protocol.ext.allow=never", "-c", "advice.detachedHead=false"),
)


class RemoteRepository:
    """A remote repository, and the credentials in its address."""

    def __init__(self, location: str, into: Path) -> None:
        """`into` is the new directory for the checkout."""
        parts = take_apart(location)
        of_the_web = urlsplit(location).scheme in ("http", "https")
        self.location = parts.public() if of_the_web and parts.userinfo else location
        self.shown = parts.public()
        self.into = into
        # git gets only its own variables with secrets.
        own = {name: value for name, value in os.environ.items() if name.startswith(("GIT_", "SSH_"))}
        self._environment = {
            name: value
            for name, value in {**without_secrets(os.environ), **own}.items()
            if name not in OF_ONE_REPOSITORY
        }
        if of_the_web and parts.userinfo:
            self._environment |= _header(location, unquote(parts.userinfo), own.get("GIT_CONFIG_COUNT", ""))

    def git(self, *arguments: str) -> str:
        """Run a git command in the directory; return what it prints. Raises Unreachable when it fails."""
        answer = self.ask(*arguments)
        if answer.returncode:
            raise self.failure(answer.stderr)
        return answer.stdout.strip()

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a git command in the directory, with any result."""
        try:
            return subprocess.run(
                ["git", *_SETTINGS, "-C", str(self.into), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env={**self._environment, **_SAFE},
                timeout=_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise NotReady("a requirement needs git, which is not installed", hint="install git") from None
        except subprocess.TimeoutExpired:
            raise Unreachable(
                f"git got no reply in {_SECONDS} s from {self.shown}",
                hint="check the server: `git ls-remote URL`",
            ) from None

    def failure(self, said: str) -> Unreachable:
        """Return the error for git's message."""
        lines = [line.strip() for line in said.splitlines() if line.startswith(("fatal:", "error:", "remote:"))]
        reason = redact(lines[-1] if lines else "git gave no reason")
        return Unreachable(
            f"the repository {self.shown} cannot be read: {reason}",
            hint="test with `git ls-remote URL`; envpack uses git's credential helpers and ssh-agent",
        )


def check_out(
    source: SourceRef, into: Path, *, commit: str = "", version: str | None = None
) -> tuple[str, dict[str, str]]:
    """Check a repository out into a new directory, at `commit` or at what its reference names.

    Return the commit, and the variables that give a build its version, which is `version` if that is known.

    No git data stays in the directory. Raises Unreachable when the repository cannot be read, and
    PackingFailed when it lacks the reference.
    """
    into.mkdir()
    repository = RemoteRepository(source.location, into)
    repository.git("init", "--quiet")
    found = _fetched(repository, commit or source.reference or "HEAD")
    repository.git("checkout", "--quiet", "--force", "--detach", found)
    if (into / ".gitmodules").is_file():
        # Relative addresses of submodules start at the repository's own.
        repository.git("remote", "add", "origin", repository.location)
        local = ("-c", "protocol.file.allow=always") if repository.location.startswith("file:") else ()
        repository.git(*local, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
    told = _version(repository, into / source.subdirectory, version)
    for path in [into / ".git", *into.rglob(".git")]:
        if path.is_dir() and not path.is_symlink():
            remove(path)
        else:
            path.unlink(missing_ok=True)
    return found, told


def _version(repository: RemoteRepository, project: Path, version: str | None) -> dict[str, str]:
    """Return the variables with a build's version; if it is not known, the tags before the commit are fetched."""
    if version is None and scm_version.variable_of(project):
        # A complete local repository needs no fetch.
        repository.ask("fetch", "--quiet", "--tags", "--unshallow", "--end-of-options", repository.location)
    return scm_version.of_project(project, version)


def _fetched(repository: RemoteRepository, wanted: str) -> str:
    """Fetch a branch, a tag or a commit, and return the commit; fetch all where a server gives no single commit."""
    answer = repository.ask(
        *("fetch", "--quiet", "--depth=1", "--no-tags", "--end-of-options", repository.location, wanted)
    )
    names = ["FETCH_HEAD"]
    if answer.returncode:
        repository.git(
            "fetch",
            "--quiet",
            "--tags",
            "--end-of-options",
            repository.location,
            "+refs/heads/*:refs/remotes/origin/*",
        )
        names = [wanted, f"origin/{wanted}"]
    for name in names:
        done = repository.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        found = done.stdout.strip()
        if done.returncode == 0 and _COMMIT.fullmatch(found):
            return found
    raise PackingFailed(
        f"the repository {repository.shown} has no branch, tag or commit {wanted}",
        hint="correct the branch, tag or commit after `@` in the requirement",
    )


def _header(location: str, userinfo: str, count: str) -> dict[str, str]:
    """Return the variables that give git a user and a password, which no command line then shows.

    `count` is how many settings such variables hold already.

    Source: git-config(1), GIT_CONFIG_COUNT and `http.<url>.extraHeader`.
    """
    parts = urlsplit(location)
    host = parts.netloc.rpartition("@")[2]
    user, _, password = userinfo.partition(":")
    know_login(user, password)
    header = base64.b64encode(f"{user}:{password}".encode()).decode()
    number = int(count) if count.isdecimal() else 0
    return {
        "GIT_CONFIG_COUNT": str(number + 1),
        f"GIT_CONFIG_KEY_{number}": f"http.{parts.scheme}://{host}/.extraHeader",
        f"GIT_CONFIG_VALUE_{number}": f"Authorization: Basic {header}",
    }
