"""Who builds, and from which commit: asked of real repositories."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from envpack.releases.manifest import Provenance
from envpack.releases.provenance import provenance_of
from tests.support.command import Desk
from tests.support.repository import Repository, clone_of, new_repository
from tests.support.wheels import write_wheel


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return new_repository(tmp_path / "a repository")


def test_a_committed_file_is_known_by_its_commit_and_its_path(repository: Repository) -> None:
    commit = repository.commit(envs__a_txt="numpy\n")
    repository.git("remote", "add", "origin", "git@git.example.org:data/envs.git")
    assert provenance_of(repository.path / "envs/a.txt", {}) == Provenance(
        by=getpass.getuser(), repository="git@git.example.org:data/envs.git", commit=commit, file="envs/a.txt"
    )


def test_a_file_that_differs_from_the_commit_is_said_to_be_modified(repository: Repository) -> None:
    repository.commit(a_txt="numpy\n")
    (repository.path / "a.txt").write_text("pandas\n")
    (repository.path / "new.txt").write_text("pandas\n")
    assert provenance_of(repository.path / "a.txt", {}).modified
    assert provenance_of(repository.path / "new.txt", {}).modified


def test_no_secret_and_no_path_of_this_machine_is_in_a_remotes_address(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit(a_txt="numpy\n")
    repository.git("remote", "add", "origin", "https://jane:s3cret@git.example.org/data/envs.git")
    found = provenance_of(repository.path / "a.txt", {})
    assert found.repository == "https://git.example.org/data/envs.git"
    clone = clone_of(repository, tmp_path / "clone")
    assert provenance_of(clone.path / "a.txt", {}).repository == f"file:///{tmp_path.name}/a%20repository"


def test_outside_a_repository_only_the_user_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("numpy\n")
    assert provenance_of(tmp_path / "a.txt", {}) == Provenance(by=getpass.getuser())


@pytest.mark.parametrize(
    ("environ", "by", "job"),
    [
        (
            {
                "JENKINS_URL": "https://ci.example.org/",
                "JOB_NAME": "team/envs/main",
                "BUILD_NUMBER": "12",
                "BUILD_URL": "https://ci.example.org/job/team/12/",
            },
            "Jenkins team/envs/main #12",
            "https://ci.example.org/job/team/12/",
        ),
        (
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_REPOSITORY": "data/envs",
                "GITHUB_WORKFLOW": "build",
                "GITHUB_RUN_NUMBER": "7",
                "GITHUB_RUN_ID": "99",
                "GITHUB_SERVER_URL": "https://github.example.org",
            },
            "GitHub data/envs build #7",
            "https://github.example.org/data/envs/actions/runs/99",
        ),
        (
            {
                "GITLAB_CI": "true",
                "CI_PROJECT_PATH": "data/envs",
                "CI_JOB_NAME": "build",
                "CI_PIPELINE_ID": "5",
                "CI_JOB_URL": "https://u:p@gitlab.example.org/data/envs/-/jobs/5",
            },
            "GitLab data/envs build #5",
            "https://gitlab.example.org/data/envs/-/jobs/5",
        ),
    ],
)
def test_a_ci_job_is_named_instead_of_its_user(tmp_path: Path, environ: dict[str, str], by: str, job: str) -> None:
    assert provenance_of(tmp_path / "a.txt", environ) == Provenance(by=by, job=job)


def test_a_release_says_who_built_it_and_which_package_needs_which(desk: Desk) -> None:
    repository = new_repository(desk.home)
    shelf = desk.home / "shelf"
    shelf.mkdir()
    write_wheel(shelf, "top", "1", requires=["middle[fast]", "absent; python_version < '3'"])
    write_wheel(shelf, "middle", "1", requires=["greeter", "quick; extra == 'fast'", "other; extra == 'slow'"])
    write_wheel(shelf, "quick", "1")
    desk.write("e.txt", "--no-index", "--find-links shelf", "top", "greeter")
    commit = repository.commit()
    desk.build("e.txt", "--no-verify")
    manifest = desk.run("show", "e", "--output", "json").json()["manifest"]
    assert manifest["provenance"]["commit"] == commit
    assert manifest["provenance"]["by"] == getpass.getuser()
    needs = {package["name"]: package["requires"] for package in manifest["packages"]}
    assert needs == {
        "top": ["middle"],
        "middle": ["greeter", "quick"],
        "quick": [],
        "greeter": ["python"],
        "python": [],
    }
