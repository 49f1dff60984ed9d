"""Find out who builds, and from which commit of the requirements file."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.lock.source import public
from envpack.redact import meet
from envpack.redact import public as without_secrets
from envpack.releases.manifest import Provenance
from envpack.tools.git import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNKNOWN = "unknown"


def provenance_of(file: Path, environ: Mapping[str, str]) -> Provenance:
    """Return who builds a requirements file, and its state in git. `environ` has the CI system's variables."""
    by, job = who(environ)
    repository = Repository(file.absolute().parent)
    commit = repository.commit("HEAD")
    if commit is None:
        return Provenance(by=by, job=job)
    status = repository.git("status", "--porcelain", "--ignored", "--", file.name)
    remote = repository.line("remote", "get-url", "origin")
    meet(remote or "")
    return Provenance(
        by=by,
        job=job,
        repository=_address(remote) if remote else None,
        commit=commit,
        file=f"{repository.line('rev-parse', '--show-prefix') or ''}{file.name}",
        modified=bool(status.stdout.strip()),
    )


def who(environ: Mapping[str, str]) -> tuple[str, str | None]:
    """Return who runs this process, and the address of the CI job if it is one.

    The variables are those of each CI system's documentation.
    """
    by, job = _ci_job(environ)
    meet(job or "")
    return (by or _user(), without_secrets(job) if job else None)


def _ci_job(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    def value(name: str) -> str:
        return environ.get(name, "")

    if value("JENKINS_URL") and value("JOB_NAME"):
        return f"Jenkins {value('JOB_NAME')} #{value('BUILD_NUMBER')}", environ.get("BUILD_URL")
    if value("GITHUB_ACTIONS") == "true":
        repository, run = value("GITHUB_REPOSITORY"), value("GITHUB_RUN_ID")
        by = f"GitHub {repository} {value('GITHUB_WORKFLOW')} #{value('GITHUB_RUN_NUMBER')}"
        return by, f"{value('GITHUB_SERVER_URL')}/{repository}/actions/runs/{run}"
    if value("GITLAB_CI") == "true":
        by = f"GitLab {value('CI_PROJECT_PATH')} {value('CI_JOB_NAME')} #{value('CI_PIPELINE_ID')}"
        return by, environ.get("CI_JOB_URL")
    if value("BITBUCKET_BUILD_NUMBER"):
        return f"Bitbucket {value('BITBUCKET_REPO_FULL_NAME')} #{value('BITBUCKET_BUILD_NUMBER')}", None
    return None, None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return _UNKNOWN


def _address(remote: str) -> str:
    """Return a remote's address without credentials; of a directory only its last two parts."""
    if "://" in remote:
        url = without_secrets(remote)
        return public(url) if url.startswith("file:") else url
    if ":" in remote.split("/", 1)[0]:  # as scp writes it: git@host:path
        user, _, place = remote.rpartition("@")
        return place if ":" in user else remote
    return public(Path(remote).absolute().as_uri())
