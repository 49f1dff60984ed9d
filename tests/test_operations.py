"""What docs/operations.md promises: its commands, and that its policies allow what is called and nothing more."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click
import pytest
import yaml

from envpack import digest
from envpack.cli import cli
from envpack.config.config import load
from envpack.errors import Conflict
from envpack.progress import Step
from envpack.stores import open_store
from envpack.stores.base import Held
from envpack.stores.s3.options import MIB, S3Options
from envpack.stores.s3.store import S3Store
from tests.support.command import Desk
from tests.support.releases import publish
from tests.support.repository import Repository, clone_of, new_repository
from tests.support.s3 import S3Server, begin_upload
from tests.support.wheels import write_wheel

PAGE = (Path(__file__).parent.parent / "docs/operations.md").read_text("utf-8")
BUILDERS, READERS, CLEANERS = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [
    match[1].split(" #")[0].strip() for match in re.finditer(r"^ {4}.*?\b(envpack .*)$", PAGE, re.MULTILINE)
]


_LISTINGS = {"list-type": "s3:ListBucket", "uploads": "s3:ListBucketMultipartUploads"}


def needed(request: str) -> tuple[str, str]:
    """Return the IAM action of a request and the resource it is asked for.

    Source: "Required permissions for Amazon S3 API operations" of the S3 user guide.
    """
    method, _, target = request.partition(" ")
    url = urlsplit(target)
    bucket, _, key = url.path.removeprefix("/").partition("/")
    query = set(parse_qs(url.query, keep_blank_values=True))
    action = {
        ("GET", False): _LISTINGS.get(next(iter(query & _LISTINGS.keys()), ""), "another request on a bucket"),
        ("GET", True): "s3:ListMultipartUploadParts" if "uploadId" in query else "s3:GetObject",
        ("HEAD", True): "s3:GetObject",
        ("PUT", True): "s3:PutObject",
        ("POST", True): "s3:PutObject",
        ("DELETE", True): "s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject",
    }[method, bool(key)]
    return action, f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"


def allowed(policy: Any, bucket: str) -> set[tuple[str, str]]:
    """Return the actions that a policy allows, each with the pattern of its resources."""
    pairs = set()
    for statement in policy["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            pairs.add((action, statement["Resource"].replace("BUCKET", bucket)))
    return pairs


def check(policy: Any, bucket: str, requests: Iterable[str]) -> None:
    """Every request must be allowed, and every permission must have been needed."""
    rules = allowed(policy, bucket)
    asked = {needed(request) for request in requests}
    used = {
        (action, pattern)
        for action, arn in asked
        for action_, pattern in rules
        if action == action_ and fnmatchcase(arn, pattern)
    }
    refused = {
        (action, arn)
        for action, arn in asked
        if not any(action == action_ and fnmatchcase(arn, pattern) for action_, pattern in rules)
    }
    assert not refused
    assert used == rules


@pytest.fixture
def on_s3(desk: Desk, moto_s3: S3Server) -> Desk:
    """A desk whose store is on S3, and a repository with two environments."""
    repository = new_repository(desk.home)
    shelf = desk.home / "wheels"
    shelf.mkdir()
    for name in ("alpha", "beta"):
        write_wheel(shelf, name, "1.0")
        desk.write(f"{name}.txt", "--no-index", "--find-links wheels", name)
    repository.commit()
    store = f"s3://{moto_s3.new_bucket()}/envs"
    moto_s3.requests.clear()
    variables = {**moto_s3.variables(), "ENVPACK_STORE": store}
    return replace(desk, environment={**desk.environment, **variables})


def bucket_of(desk: Desk) -> str:
    return desk.environment["ENVPACK_STORE"].split("/")[2]


def run(desk: Desk, *lines: str) -> None:
    for line in lines:
        ran = desk.run(*shlex.split(line))
        assert ran.code == 0, ran.err


def failing_upload(desk: Desk, moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a file in parts while somebody else takes its key, so that it cannot be completed."""
    moto_s3.prepare(monkeypatch)
    client = moto_s3.client()

    class Overtaken(Step):
        def advance(self, amount: int) -> None:  # noqa: ARG002 - only the moment counts
            client.put_object(Bucket=bucket_of(desk), Key="envs/large/large", Body=b"somebody else's")

    file = desk.home / "large"
    file.write_bytes(bytes(17 * MIB))
    store = S3Store(desk.environment["ENVPACK_STORE"], S3Options())
    with pytest.raises(Conflict):
        store.upload("large/large", file, digest.of_file(file), Overtaken())


def copying_upload(desk: Desk, moto_s3: S3Server) -> None:
    """Upload a file of which another object has all bytes but the first."""
    file = desk.home / "larger"
    file.write_bytes(bytes(10 * MIB))
    store = S3Store(desk.environment["ENVPACK_STORE"], S3Options())
    store.upload("larger/one", file, digest.of_file(file), Step())
    held = Held(key="larger/one", start=1, offset=1, size=10 * MIB - 1)
    store.upload("larger/two", file, digest.of_file(file), Step(), [held])
    assert any(request.endswith("larger/one to copy") for request in moto_s3.requests)


@pytest.mark.acceptance
def test_the_builders_policy_is_what_building_takes(
    on_s3: Desk, moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        on_s3,
        "ci --dry-run alpha.txt beta.txt",
        "ci alpha.txt beta.txt --tag team --no-verify",
        "ci alpha.txt --refresh --no-verify",
        "build alpha.txt",
        "list",
        "catalog --publish",
    )
    failing_upload(on_s3, moto_s3, monkeypatch)
    copying_upload(on_s3, moto_s3)
    assert any(request.startswith("POST ") and request.endswith("?uploads") for request in moto_s3.requests)
    check(BUILDERS, bucket_of(on_s3), moto_s3.requests)


@pytest.mark.acceptance
def test_the_readers_policy_is_what_reading_takes(on_s3: Desk, moto_s3: S3Server) -> None:
    digest16 = on_s3.build("alpha.txt")["digest"][:16]
    moto_s3.requests.clear()
    run(
        on_s3,
        "settings alpha",
        f"settings alpha@{digest16} --launcher livy-batch",
        "list",
        "list alpha",
        "show alpha:latest",
        "ci --dry-run alpha.txt beta.txt",
    )
    assert on_s3.run("settings no-such-name").code == 2
    check(READERS, bucket_of(on_s3), moto_s3.requests)


def test_the_cleaners_policy_is_what_gc_takes(
    on_s3: Desk, moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto_s3.prepare(monkeypatch)
    url = on_s3.environment["ENVPACK_STORE"]
    publish(open_store(url), "gone")
    begin_upload(url, moto_s3)
    moto_s3.requests.clear()
    run(on_s3, "gc", "gc --keep-last 0 --grace 0h --apply")
    assert sum(request.startswith("DELETE ") for request in moto_s3.requests) == 5
    check(CLEANERS, bucket_of(on_s3), moto_s3.requests)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_on_the_page_is_one_that_envpack_takes(line: str) -> None:
    _, name, *words = shlex.split(line)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, line
    command.make_context(name, words)


def test_the_configuration_on_the_page_is_read(tmp_path: Path) -> None:
    text = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
    (tmp_path / "envpack.yaml").write_text(text, "utf-8")
    config = load({}, {}, tmp_path)
    assert config.ci_requirements == tuple(yaml.safe_load(text)["ci"]["requirements"])


def test_the_parameters_on_the_page_are_the_jenkinsfiles() -> None:
    jenkinsfile = (Path(__file__).parent.parent / "Jenkinsfile").read_text("utf-8")
    rows = "".join(re.findall(r"^\|([^|]*)\|", PAGE, re.MULTILINE))
    assert set(re.findall(r"`([A-Z_]+)`", rows)) == set(re.findall(r"\(name: '(\w+)'", jenkinsfile))


def pinned(agent: Repository, commit: str) -> str:
    """Run the Jenkinsfile's step that moves an agent to a commit; return the commit that is checked out then."""
    jenkinsfile = (Path(__file__).parent.parent / "Jenkinsfile").read_text("utf-8")
    (script,) = re.findall(r"void pin\(\).*?script: '''(.*?)'''", jenkinsfile, re.DOTALL)
    command = ["sh", "-xec", textwrap.dedent(script)]
    subprocess.run(
        command, cwd=agent.path, env={**os.environ, "CI_COMMIT": commit}, check=True, capture_output=True
    )
    return agent.git("rev-parse", "HEAD")


def test_an_agent_of_jenkins_builds_the_commit_of_the_first_one_though_the_branch_has_gone_on(
    tmp_path: Path,
) -> None:
    team = new_repository(tmp_path / "a team")
    first = team.commit(a_txt="six")
    newer = team.commit(a_txt="six<2")
    whole = clone_of(team, tmp_path / "whole")
    assert pinned(whole, first) == first
    assert (whole.path / "a.txt").read_text() == "six"
    shallow = clone_of(team, tmp_path / "shallow", "--depth=1")
    assert shallow.git("rev-list", "--all") == newer
    assert pinned(shallow, first) == first


def test_an_agent_of_jenkins_keeps_its_own_merge_of_a_change_request_that_no_server_has(tmp_path: Path) -> None:
    team = new_repository(tmp_path / "a team")
    team.commit(a_txt="six")
    agent = clone_of(team, tmp_path / "agent")
    merge = agent.commit(b_txt="attrs")
    assert pinned(agent, "0" * 39 + "1") == merge


def test_every_file_that_the_page_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert "://" in link or (Path(__file__).parent.parent / "docs" / link.partition("#")[0]).exists(), link
