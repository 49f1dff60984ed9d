"""The Jenkinsfile, executed: real repositories, real shells, an S3 server; and read by a linter that knows it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.channel import Channel
from tests.support.command import ENVPACK, environment
from tests.support.jenkins import JENKINSFILE, Finished, Job, Refused, linter
from tests.support.repository import Repository, clone_of, new_repository
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.support.wheels import write_wheel

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

ROOT = JENKINSFILE.parent

BRANCHES = ["+refs/heads/*:refs/remotes/origin/*"]


@dataclass(frozen=True, kw_only=True)
class Site:
    """A team's repository, the store it publishes to, and the machine that builds."""

    repository: Repository
    bucket: str
    server: S3Server
    agent: dict[str, str]
    home: Path

    @property
    def store(self) -> str:
        return f"s3://{self.bucket}/envs"

    def job(self, name: str = "main", *, cache: Path | None = None, **given: Any) -> Job:
        """Make a job of the team's multibranch project; by default the main branch's."""
        url = self.repository.path.as_uri()
        return Job(
            **{
                "home": self.home / name,
                "scm": {"url": url, "refspecs": BRANCHES, "ref": "main"},
                "agent": {**self.agent, **({"ENVPACK_CACHE_DIR": str(cache)} if cache else {})},
                "variables": {"BRANCH_NAME": "main"},
                "credentials": {"store": {"username": ACCESS_KEY, "password": SECRET_KEY}},
                "parameters": {"ENVPACK": str(ENVPACK), "STORE": self.store, "CREDENTIALS": "store"},
                **given,
            }
        )

    def write(self, name: str, *lines: str) -> None:
        path = self.repository.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")

    def keys(self) -> list[str]:
        """Return what the store holds."""
        answer = self.server.client().list_objects_v2(Bucket=self.bucket)
        return [entry["Key"].removeprefix("envs/") for entry in answer.get("Contents", ())]

    def releases(self, name: str) -> list[str]:
        return [key for key in self.keys() if key.startswith(f"{name}/") and key.endswith("/manifest.json")]

    def tag(self, name: str, tag: str) -> str:
        """Return the digest that a tag points at."""
        body = self.server.client().get_object(Bucket=self.bucket, Key=f"envs/{name}/tags/{tag}.json")["Body"]
        return str(json.loads(body.read())["digest"])


@pytest.fixture
def site(tmp_path: Path, channel: Channel, warm_cache: Path, moto_s3: S3Server) -> Site:
    repository = new_repository(tmp_path / "a team's repository")
    aws = {name: value for name, value in moto_s3.variables().items() if "KEY" not in name}
    site = Site(
        repository=repository,
        bucket=moto_s3.new_bucket(),
        server=moto_s3,
        agent={**environment(warm_cache), **aws},
        home=tmp_path / "jenkins",
    )
    shelf = repository.path / "wheels"
    shelf.mkdir()
    for name in ("alpha", "beta", "gamma"):
        write_wheel(shelf, name, "1.0")
    for name in ("alpha", "beta"):
        site.write(f"envs/{name}.txt", "--no-index", "--find-links ../wheels", name)
    site.write(
        "envpack.yaml",
        f"channels: ['{channel.url}']",
        f"glibc: '{channel.glibc}'",
        "ci:",
        "  requirements: ['envs/*.txt']",
    )
    repository.commit()
    return site


def no_secret(build: Finished) -> bool:
    """Say whether the store's key was kept out of every command line, the log and the artifacts."""
    archived = [path.read_bytes() for path in build.archive.rglob("*") if path.is_file()]
    return not build.record["leaked"] and not any(SECRET_KEY.encode() in data for data in archived)


# --- a job's life -----------------------------------------------------------------------------------------------


def test_several_agents_share_the_environments_and_make_one_report(site: Site) -> None:
    job = site.job()
    first = job.build(AGENTS="2")
    assert first.result == "SUCCESS", first.log
    assert first.statuses() == {"alpha": "published", "beta": "published"}
    assert first.record["tests"] == {"total": 2, "failed": 0, "skipped": 0}
    assert "--shard=1/2" in first.log
    assert "--shard=2/2" in first.log
    assert {"report.json", "alpha.submit.txt", "beta.livy.json"} <= {
        Path(name).name for name in first.record["artifacts"]
    }
    assert no_secret(first)

    site.write("envs/beta.txt", "--no-index", "--find-links ../wheels", "nowhere-to-be-found")
    site.repository.commit()
    second = job.build(AGENTS="2")
    assert (second.result, second.statuses()) == ("FAILURE", {"alpha": "unaffected", "beta": "failed"}), second.log


def test_several_agents_build_one_commit_though_the_branch_goes_on_meanwhile(site: Site, tmp_path: Path) -> None:
    command = tmp_path / "an envpack"
    later = f"git -C {shlex.quote(str(site.repository.path))} -c user.name=A -c user.email=a@example.org"
    command.write_text(
        f"#!/bin/sh\ngit rev-parse HEAD >> '{tmp_path}/commits'\n"
        f"case $2 in --shard=1/*) {later} commit --quiet --allow-empty --message later;; esac\n"
        'while [ "$1" != --report ]; do shift; done\nmkdir -p "$2" && touch "$2/summary.md"\n'
    )
    command.chmod(0o755)
    first = site.repository.git("rev-parse", "HEAD")
    build = site.job(parameters={"ENVPACK": str(command)}).build(AGENTS="3")
    assert build.result == "SUCCESS", build.log
    assert site.repository.git("rev-parse", "HEAD") != first
    assert (tmp_path / "commits").read_text().split() == [first] * 4


def test_a_job_publishes_what_changes_and_says_what_became_of_it(site: Site) -> None:
    job = site.job()

    first = job.build()
    assert (first.result, first.ran) == ("SUCCESS", ["Checkout", "Build and publish"]), first.log
    assert first.statuses() == {"alpha": "published", "beta": "published"}
    references = [entry["reference"] for entry in first.report()["environments"]]
    assert first.description == f"published: {', '.join(references)}"
    assert first.record["tests"] == {"total": 2, "failed": 0, "skipped": 0}
    names = {Path(name).name for name in first.record["artifacts"]}
    assert {"report.json", "summary.md", "junit.xml", "alpha.submit.txt", "beta.livy.json"} <= names
    assert no_secret(first)

    site.server.requests.clear()
    second = job.build()
    assert (second.result, second.description) == ("SUCCESS", "nothing has changed"), second.log
    assert second.record["tests"] == {"total": 2, "failed": 0, "skipped": 2}
    assert site.server.requests == []

    site.write("envs/beta.txt", "--no-index", "--find-links ../wheels", "beta", "gamma")
    good = site.repository.commit()
    third = job.build()
    assert third.statuses() == {"alpha": "unaffected", "beta": "published"}, third.log
    (beta,) = (entry for entry in third.report()["environments"] if entry["name"] == "beta")
    assert third.description == f"published: {beta['reference']}"
    assert (len(site.releases("alpha")), len(site.releases("beta"))) == (1, 2)

    latest = site.tag("beta", "latest")
    site.write("envs/alpha.txt", "--no-index", "--find-links ../wheels", "alpha", "gamma")
    site.write("envs/beta.txt", "--no-index", "--find-links ../wheels", "no-such-project")
    site.repository.commit()
    fourth = job.build()
    assert fourth.result == "FAILURE", fourth.log
    assert fourth.statuses() == {"alpha": "published", "beta": "failed"}
    assert fourth.description.startswith("failed: beta; published: alpha@")
    assert fourth.record["tests"] == {"total": 2, "failed": 1, "skipped": 0}
    assert site.tag("beta", "latest") == latest

    # The base is the last build that succeeded: beta is tried again though this commit does not touch it.
    site.write("README.md", "nothing to do with it")
    site.repository.commit()
    fifth = job.build()
    assert (fifth.result, fifth.report()["base"]["commit"]) == ("FAILURE", good)
    assert fifth.statuses()["beta"] == "failed"

    site.write("envs/beta.txt", "--no-index", "--find-links ../wheels", "beta", "gamma")
    site.repository.commit()
    assert job.build().result == "SUCCESS"
    # In the nightly build nothing has changed in git, and yet a lock made on the way is not kept to.
    write_wheel(site.repository.path / "wheels", "alpha", "2.0")
    site.repository.commit()
    nightly = job.build(cause="TimerTrigger")
    assert (nightly.result, nightly.ran) == ("SUCCESS", ["Checkout", "Refresh"]), nightly.log
    assert nightly.statuses() == {"alpha": "published", "beta": "unchanged"}
    summary = (nightly.archive / "envpack-report/summary.md").read_text()
    assert "| `alpha` | 1.0 (pypi) | 2.0 (pypi) |" in summary


def test_a_pull_request_is_previewed_and_publishes_nothing(site: Site) -> None:
    assert site.job().build().result == "SUCCESS"
    branch = clone_of(site.repository, site.home / "a person's clone")
    (branch.path / "envs/beta.txt").write_text("--no-index\n--find-links ../wheels\nbeta\ngamma\n")
    commit = branch.commit()
    branch.git("push", "--quiet", "origin", f"{commit}:refs/pull/7/head")
    site.write("envs/alpha.txt", "--no-index", "--find-links ../wheels", "alpha", "gamma")
    site.repository.commit()  # main has gone on meanwhile
    before = site.keys()
    site.server.requests.clear()
    pull_request = site.job(
        "PR-7",
        scm={
            "url": site.repository.path.as_uri(),
            "refspecs": ["+refs/pull/7/head:refs/remotes/origin/PR-7"],
            "ref": "PR-7",
        },
        variables={
            "BRANCH_NAME": "PR-7",
            "CHANGE_ID": "7",
            "CHANGE_TARGET": "main",
            "CHANGE_BRANCH": "gamma-for-beta",
        },
    )
    build = pull_request.build()
    assert (build.result, build.ran) == ("SUCCESS", ["Checkout", "Preview"]), build.log
    assert build.statuses() == {"alpha": "unaffected", "beta": "would publish"}
    assert build.description == "would publish: beta"
    summary = (build.archive / "envpack-report/summary.md").read_text()
    assert "| `gamma` | | 1.0 (pypi) |" in summary
    assert "Nothing was published" in summary
    assert site.keys() == before
    assert {request.split()[0] for request in site.server.requests} <= {"GET", "HEAD"}
    # A newer push ends the build of an older one; a publishing build is never ended by the next.
    assert build.record["options"]["disableConcurrentBuilds"] == [{"abortPrevious": True}]
    assert build.record["triggers"] == ["cron "]


def test_two_builds_of_one_change_publish_one_release(site: Site, tmp_path: Path) -> None:
    jobs = [site.job(f"job {number}", cache=tmp_path / f"cache {number}") for number in (1, 2)]
    started = [(job, job.start()) for job in jobs]
    builds = [job.finish(process) for job, process in started]
    assert [build.result for build in builds] == ["SUCCESS", "SUCCESS"], builds[0].log + builds[1].log
    for name in ("alpha", "beta"):
        assert len(site.releases(name)) == 1
    shown = [{entry["reference"] for entry in build.report()["environments"]} for build in builds]
    assert shown[0] == shown[1]


def test_a_build_by_hand_of_any_repository_that_is_dry_is_no_base_for_the_next(site: Site) -> None:
    pipelines = new_repository(site.home / "where the Jenkinsfile lies")
    pipelines.commit(README_md="no requirements here")
    job = site.job(
        scm={"url": pipelines.path.as_uri(), "refspecs": BRANCHES, "ref": "main"},
        variables={},
        parameters={
            **site.job().parameters,
            "REPOSITORY": site.repository.path.as_uri(),
            "REQUIREMENTS": "envs/alpha.txt\r\n\r\n envs/b*.txt \r\n",
        },
    )
    dry = job.build(DRY_RUN=True)
    assert (dry.result, dry.ran) == ("NOT_BUILT", ["Checkout", "Preview"]), dry.log
    assert dry.statuses() == {"alpha": "would publish", "beta": "would publish"}
    assert site.keys() == []
    wet = job.build(TAG="team")
    assert (wet.result, wet.statuses()) == ("SUCCESS", {"alpha": "published", "beta": "published"}), wet.log
    assert site.tag("alpha", "team") == site.tag("alpha", "latest")


def test_a_git_tag_moves_prod_and_leaves_latest(site: Site) -> None:
    assert site.job().build().result == "SUCCESS"
    released = site.tag("beta", "latest")
    site.repository.git("tag", "v1")
    site.write("envs/beta.txt", "--no-index", "--find-links ../wheels", "beta", "gamma")
    site.repository.commit()
    assert site.job().build().result == "SUCCESS"
    latest = site.tag("beta", "latest")
    assert latest != released
    url = site.repository.path.as_uri()
    job = site.job(
        "v1",
        scm={"url": url, "refspecs": ["+refs/tags/v1:refs/remotes/origin/v1"], "ref": "v1"},
        variables={"BRANCH_NAME": "v1", "TAG_NAME": "v1"},
    )
    build = job.build()
    assert (build.result, build.ran) == ("SUCCESS", ["Checkout", "Release"]), build.log
    assert set(build.statuses().values()) == {"unchanged"}
    assert (site.tag("beta", "prod"), site.tag("beta", "latest")) == (released, latest)


def test_the_set_up_stage_installs_this_checkout_and_previews_its_own_templates(
    site: Site, tmp_path: Path, channel: Channel
) -> None:
    mine = new_repository(tmp_path / "envpack itself")
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (mine.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, mine.path / name)
    mine.commit()
    job = site.job(
        scm={"url": mine.path.as_uri(), "refspecs": BRANCHES, "ref": "main"},
        agent={**site.agent, "ENVPACK_GLIBC": channel.glibc},
        parameters={
            "STORE": site.store,
            "CREDENTIALS": "store",
            "CHANNELS": channel.url,
            "PYTHON": channel.python.rpartition(".")[0],
            "SPARK": "3.5",
            "REQUIREMENTS": "requirements-templates/pandas-*.txt",
        },
    )
    build = job.build(DRY_RUN=True)
    assert (build.result, build.ran) == ("NOT_BUILT", ["Checkout", "Set-up", "Preview"]), build.log
    assert build.statuses() == {"pandas-udf": "would publish"}
    assert (job.home / "work space@tmp/envpack/bin/envpack").exists()


def test_a_checkout_that_fails_shows_no_report_of_an_earlier_build(site: Site) -> None:
    assert site.job().build().report()["environments"]
    gone = site.job(scm={"url": (site.home / "gone").as_uri(), "refspecs": BRANCHES, "ref": "main"})
    build = gone.build()
    assert (build.result, build.ran) == ("FAILURE", ["Checkout"]), build.log
    assert build.record["artifacts"] == []
    assert build.record["tests"] is None
    assert build.record["description"] is None


# --- which stage runs, and with what ----------------------------------------------------------------------------


@pytest.fixture
def noted(site: Site, tmp_path: Path) -> Job:
    """A job whose envpack only writes down how it was called."""
    command = tmp_path / "an envpack"
    command.write_text(
        f"#!/bin/sh\nfor word in \"$@\"; do printf '<%s>' \"$word\"; done > '{tmp_path}/words'\n"
        f"env > '{tmp_path}/variables'\n"
    )
    command.chmod(0o755)
    return site.job(parameters={"ENVPACK": str(command)})


def test_what_people_type_into_parameters_is_data(noted: Job, tmp_path: Path) -> None:
    evil = "$(touch {0}); `touch {0}`; '; touch {0} #\" $HOME *".format(tmp_path / "broken-in")
    build = noted.build(REQUIREMENTS=f"{evil}\n--store", TAG=evil, JOBS=evil, STORE="x; y", SPARK=evil, REF=evil)
    assert build.result == "SUCCESS", build.log
    assert not (tmp_path / "broken-in").exists()
    # Jenkins itself expands the variables that a value names.
    told = evil.replace("$HOME", os.environ["HOME"])
    report = f"{noted.workspace}/envpack-report"
    assert (tmp_path / "words").read_text() == (
        f"<ci><--jobs><{told}><--report><{report}><--tag><{told}><--><{told}><--store>"
    )
    assert "ENVPACK_STORE=x; y" in (tmp_path / "variables").read_text().splitlines()


@pytest.mark.parametrize(
    ("variables", "cause", "parameters", "stage", "words"),
    [
        ({"BRANCH_NAME": "feature"}, "BranchEventCause", {}, "Preview", "<ci><--dry-run>"),
        ({}, "UserIdCause", {"REFRESH": True}, "Refresh", "<ci><--refresh>"),
        ({}, "UserIdCause", {"ALL": True}, "Build and publish", "<ci><--all>"),
        ({}, "TimerTrigger", {}, "Refresh", "<ci><--refresh>"),
        ({"BRANCH_NAME": "trunk"}, "BranchEventCause", {"PUBLISH_BRANCH": "trunk"}, "Build and publish", "<ci>"),
        ({"BRANCH_NAME": "trunk"}, "TimerTrigger", {"PUBLISH_BRANCH": "trunk"}, "Refresh", "<ci><--refresh>"),
        ({"BRANCH_NAME": "main"}, "BranchEventCause", {"PUBLISH_BRANCH": "trunk"}, "Preview", "<ci><--dry-run>"),
    ],
)
def test_exactly_one_stage_does_the_work(
    *,
    variables: dict[str, str],
    cause: str,
    parameters: dict[str, Any],
    stage: str,
    words: str,
    noted: Job,
    tmp_path: Path,
) -> None:
    job = Job(**{**vars(noted), "variables": variables})
    build = job.build(cause=cause, **parameters)
    assert build.ran == ["Checkout", stage], build.log
    assert (tmp_path / "words").read_text().startswith(f"{words}<--jobs><2>")


# --- the file itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("returnStdout: true", "returnsStdout: true", "sh takes no 'returnsStdout'"),
        ("buildingTag()\n                    not", "taggedBuild()\n                    not", "taggedBuild"),
        ("script { ci('--all --no-latest') }", "if (true) { ci('') }", "only calls can stand in steps"),
        ("disableConcurrentBuilds(", "disableConcurentBuilds(", "options has no part 'disableConcurentBuilds'"),
    ],
)
def test_a_slip_anywhere_in_the_file_is_refused(
    right: str, wrong: str, reason: str, noted: Job, tmp_path: Path
) -> None:
    text = JENKINSFILE.read_text()
    assert right in text
    (tmp_path / "Jenkinsfile").write_text(text.replace(right, wrong))
    with pytest.raises(Refused, match=reason):
        Job(**{**vars(noted), "jenkinsfile": tmp_path / "Jenkinsfile"}).build()


def test_a_linter_that_knows_jenkinsfiles_finds_nothing(tmp_path: Path) -> None:
    shutil.copy2(JENKINSFILE, tmp_path / "Jenkinsfile")
    # What is off: a pipeline nests by its nature, and repeats the words of its grammar.
    rules = {"extends": "recommended-jenkinsfile", "rules": dict.fromkeys(["NestedBlockDepth"], "off")}
    (tmp_path / ".groovylintrc.json").write_text(json.dumps(rules))
    done = subprocess.run(
        [
            *("node", linter() / "node_modules/npm-groovy-lint/lib/index.js", "--path", tmp_path),
            *("--config", tmp_path / ".groovylintrc.json", "--output", "json", "--loglevel", "warning"),
            *("--failon", "none", "--noserver", "--no-insight", "Jenkinsfile"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert list(found["files"]) == [str(tmp_path / "Jenkinsfile")], done.stdout
    told = [
        f"{error['line']}: {error['rule']}: {error['msg']}"
        for file in found["files"].values()
        for error in file["errors"]
        if error["severity"] != "info"
    ]
    assert told == []
