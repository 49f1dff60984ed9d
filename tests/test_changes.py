"""What git says has changed, asked of real repositories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envpack.ci.changes import file_at, head, since
from envpack.errors import UsageError
from tests.support.repository import Repository, clone_of, new_repository

ZEROS = "0" * 40


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = new_repository(tmp_path / "a repository")
    repository.commit(a_txt="numpy\n", b_txt="pandas\n")
    return repository


def test_a_linear_history_shows_what_each_commit_did(repository: Repository) -> None:
    first = head(repository.path)
    repository.commit(a_txt="numpy>=2\n")
    changes = since(first, {}, repository.path)
    assert repository.names(changes.paths) == {"a.txt"}
    assert changes.base.why == f"--since {first}"


def test_a_directory_inside_the_repository_sees_all_of_it(repository: Repository) -> None:
    first = repository.commit(envs__c_txt="scipy\n")
    repository.commit(a_txt="numpy>=2\n")
    assert repository.names(since(first, {}, repository.path / "envs").paths) == {"a.txt"}


def test_a_merge_shows_what_it_brought(repository: Repository) -> None:
    before = head(repository.path)
    repository.git("checkout", "--quiet", "-b", "feature")
    repository.commit(b_txt="pandas<3\n")
    repository.git("checkout", "--quiet", "main")
    repository.commit(c_txt="scipy\n")
    repository.git("merge", "--quiet", "--no-edit", "feature")
    changes = since(None, {"GIT_PREVIOUS_SUCCESSFUL_COMMIT": str(before)}, repository.path)
    assert repository.names(changes.paths) == {"b.txt", "c.txt"}


def test_work_that_is_not_committed_counts_but_locks_of_earlier_builds_do_not(repository: Repository) -> None:
    first = head(repository.path)
    (repository.path / "new.txt").write_text("scipy\n")
    (repository.path / "a.txt").write_text("numpy>=2\n")
    (repository.path / "a.txt.lock").write_text("version: 6\n")
    assert repository.names(since(first, {}, repository.path).paths) == {"new.txt", "a.txt"}


def test_renamed_and_deleted_files_are_told_apart(repository: Repository) -> None:
    first = head(repository.path)
    repository.git("mv", "a.txt", "ä b.txt")
    repository.git("rm", "--quiet", "b.txt")
    repository.commit()
    changes = since(first, {}, repository.path)
    assert changes.renamed == {repository.path / "ä b.txt": repository.path / "a.txt"}
    assert changes.deleted == {repository.path / "b.txt"}
    assert repository.names(changes.paths) == {"a.txt", "ä b.txt", "b.txt"}


@pytest.mark.parametrize("variable", ["CHANGE_TARGET", "GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME"])
def test_a_pull_request_is_compared_with_where_it_left_its_target(
    variable: str, repository: Repository, tmp_path: Path
) -> None:
    left = head(repository.path)
    repository.git("checkout", "--quiet", "-b", "feature")
    repository.commit(b_txt="pandas<3\n")
    repository.git("checkout", "--quiet", "main")
    repository.commit(a_txt="numpy>=2\n")
    clone = clone_of(repository, tmp_path / "clone", "--branch", "feature")
    changes = since(None, {variable: "main"}, clone.path)
    assert clone.names(changes.paths) == {"b.txt"}
    assert changes.base.commit == left
    assert "where this left main" in changes.base.why


def test_a_pull_request_wins_over_the_build_before(repository: Repository, tmp_path: Path) -> None:
    repository.git("checkout", "--quiet", "-b", "feature")
    last = repository.commit(b_txt="pandas<3\n")
    repository.commit(a_txt="numpy>=2\n")
    clone = clone_of(repository, tmp_path / "clone", "--branch", "feature")
    said = {"CHANGE_TARGET": "main", "GIT_PREVIOUS_SUCCESSFUL_COMMIT": last}
    assert clone.names(since(None, said, clone.path).paths) == {"a.txt", "b.txt"}


def test_a_pull_request_ref_in_a_clone_of_one_branch_fetches_its_target(
    repository: Repository, tmp_path: Path
) -> None:
    """Jenkins clones just the ref of the pull request."""
    repository.git("checkout", "--quiet", "-b", "feature")
    repository.commit(b_txt="pandas<3\n")
    repository.git("update-ref", "refs/pull/7/head", "HEAD")
    clone = Repository(tmp_path / "clone")
    clone.path.mkdir()
    clone.git("init", "--quiet")
    clone.git("remote", "add", "origin", repository.path.as_uri())
    clone.git("fetch", "--quiet", "origin", "refs/pull/7/head")
    clone.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    assert clone.names(since(None, {"CHANGE_TARGET": "main"}, clone.path).paths) == {"b.txt"}


def test_a_shallow_clone_is_deepened_until_it_shows_where_a_branch_began(
    repository: Repository, tmp_path: Path
) -> None:
    repository.git("checkout", "--quiet", "-b", "feature")
    for number in range(60):
        repository.commit(b_txt=f"pandas!={number}\n")
    repository.git("checkout", "--quiet", "main")
    repository.commit(a_txt="numpy>=2\n")
    clone = clone_of(repository, tmp_path / "clone", "--depth=1", "--branch=feature", "--no-single-branch")
    assert clone.names(since(None, {"CHANGE_TARGET": "main"}, clone.path).paths) == {"b.txt"}


def test_a_shallow_clone_fetches_the_commit_of_the_build_before(repository: Repository, tmp_path: Path) -> None:
    before = repository.commit(b_txt="pandas<3\n")
    repository.commit(a_txt="numpy>=2\n")
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    clone = clone_of(repository, tmp_path / "clone", "--depth=1")
    changes = since(None, {"GIT_PREVIOUS_SUCCESSFUL_COMMIT": before}, clone.path)
    assert clone.names(changes.paths) == {"a.txt"}
    assert "Jenkins's GIT_PREVIOUS_SUCCESSFUL_COMMIT" in changes.base.why


def test_a_branch_that_was_rewritten_is_compared_all_the_same_and_said(repository: Repository) -> None:
    before = repository.commit(b_txt="pandas<3\n")
    repository.git("reset", "--quiet", "--hard", "HEAD~")
    repository.commit(a_txt="numpy>=2\n")
    changes = since(None, {"CI_COMMIT_BEFORE_SHA": before}, repository.path)
    assert repository.names(changes.paths) == {"a.txt", "b.txt"}
    assert "the branch was rewritten" in changes.base.why


def test_a_commit_that_is_gone_makes_everything_changed(repository: Repository, tmp_path: Path) -> None:
    clone = clone_of(repository, tmp_path / "clone")
    changes = since(None, {"GIT_PREVIOUS_SUCCESSFUL_COMMIT": "1234567890" * 4}, clone.path)
    assert changes.paths is None
    assert changes.base.why.endswith("names 1234567890, which is in no branch any more")


def test_a_target_that_cannot_be_fetched_makes_everything_changed(repository: Repository) -> None:
    changes = since(None, {"CHANGE_TARGET": "gone"}, repository.path)
    assert changes.paths is None
    assert "cannot be fetched" in changes.base.why


@pytest.mark.parametrize("environ", [{}, {"CI_COMMIT_BEFORE_SHA": ZEROS}, {"GIT_PREVIOUS_SUCCESSFUL_COMMIT": ""}])
def test_a_first_build_looks_at_everything(environ: dict[str, str], repository: Repository) -> None:
    changes = since(None, environ, repository.path)
    assert changes.paths is None
    assert changes.base.why == "no earlier build is known"


def test_a_push_on_github_names_the_commit_in_its_event(repository: Repository, tmp_path: Path) -> None:
    before = head(repository.path)
    repository.commit(a_txt="numpy>=2\n")
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"before": before}))
    assert repository.names(since(None, {"GITHUB_EVENT_PATH": str(event)}, repository.path).paths) == {"a.txt"}


def test_a_commit_that_a_person_names_must_be_there(repository: Repository) -> None:
    with pytest.raises(UsageError, match="--since nonsense: this clone has no such commit"):
        since("nonsense", {}, repository.path)
    with pytest.raises(UsageError, match="--since --help: this clone has no such commit"):
        since("--help", {}, repository.path)


def test_outside_a_repository_everything_counts(tmp_path: Path) -> None:
    assert since(None, {}, tmp_path).base.why == "there is no git repository"
    with pytest.raises(UsageError, match="there is no git repository"):
        since("HEAD", {}, tmp_path)
    assert head(tmp_path) is None


def test_without_git_everything_counts(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository.path))
    changes = since(None, {}, repository.path)
    assert changes.paths is None
    assert changes.base.why == "git cannot be asked: git is not installed"


def test_a_checkout_of_another_user_is_told_with_gits_own_advice(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers of CI systems often run as another user than the one who cloned."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    changes = since(None, {}, repository.path)
    assert changes.paths is None
    assert "safe.directory" in changes.base.why


def test_a_file_is_read_as_it_was(repository: Repository) -> None:
    first = str(head(repository.path))
    repository.commit(a_txt="numpy>=2\n")
    assert file_at(first, repository.path / "a.txt") == b"numpy\n"
    assert file_at(first, repository.path / "no.txt") is None
    assert file_at("HEAD", Path("/") / "tmp" / "a.txt") is None
