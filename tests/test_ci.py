"""`envpack ci` in real repositories: what it builds, what it leaves, what it reports."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from envpack.build.pipeline import Options
from envpack.ci.builders import build_all
from envpack.ci.plan import Item
from envpack.config.config import Config
from tests.support.channel import Channel
from tests.support.chosen import quickly
from tests.support.command import Desk, Ran, copy_of, desk_at
from tests.support.private import PASSWORD, USER, private_index
from tests.support.projects import write_source
from tests.support.repository import Repository, new_repository
from tests.support.s3 import S3Server
from tests.support.wheels import write_wheel

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "report.schema.json").read_text())


@dataclass(frozen=True, kw_only=True)
class Team:
    """A team's repository of requirements, and the desk of whoever runs `envpack ci` in it."""

    desk: Desk
    repository: Repository

    @property
    def home(self) -> Path:
        return self.desk.home

    def write(self, name: str, *lines: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return self.desk.write(name, *lines)

    def commit(self) -> str:
        return self.repository.commit()

    def ci(self, *arguments: str, **variables: str) -> Ran:
        """Run `envpack ci` and try no archive, for what is not about it."""
        return self.ci_and_verify(*arguments, "--no-verify", **variables)

    def ci_and_verify(self, *arguments: str, **variables: str) -> Ran:
        return self.desk.run("ci", *arguments, **{**QUIET_CI, **variables})

    def report(self) -> Any:
        """Return report.json, which must be what its schema says."""
        report = json.loads((self.home / "envpack-report" / "report.json").read_text())
        jsonschema.validate(report, SCHEMA)
        return report

    def statuses(self) -> dict[str, str]:
        return {entry["name"]: entry["status"] for entry in self.report()["environments"]}

    def environment(self, name: str) -> Any:
        return next(entry for entry in self.report()["environments"] if entry["name"] == name)


QUIET_CI = dict.fromkeys(
    (
        "CHANGE_TARGET",
        "GIT_PREVIOUS_SUCCESSFUL_COMMIT",
        "GITHUB_BASE_REF",
        "GITHUB_EVENT_PATH",
        "CI_COMMIT_BEFORE_SHA",
    ),
    "",
)
"""A CI system that says nothing, whatever runs the tests."""


@pytest.fixture
def team(tmp_path: Path, channel: Channel, warm_cache: Path) -> Team:
    """A repository with two environments that share a file, and wheels of their own."""
    desk = desk_at(tmp_path / "a team", channel, warm_cache)
    team = Team(desk=desk, repository=new_repository(desk.home))
    shelf = desk.home / "wheels"
    shelf.mkdir()
    for name in ("alpha", "beta", "shared"):
        write_wheel(shelf, name, "1.0")
    team.write(".gitignore", "/a store/", "/envpack-report/")
    team.write("common.in.txt", "--no-index", "--find-links wheels", "shared")
    team.write("envs/alpha.txt", "-r ../common.in.txt", "alpha")
    team.write("envs/beta.txt", "--no-index", "--find-links ../wheels", "beta")
    team.write(
        "envpack.yaml",
        "store: a store",
        f"channels: ['{channel.url}']",
        f"glibc: '{channel.glibc}'",
        "ci:",
        "  requirements: ['envs/*.txt']",
    )
    team.commit()
    return team


def test_a_first_build_publishes_everything_and_reports_it(team: Team) -> None:
    ran = team.ci_and_verify()
    assert ran.code == 0, ran.err
    assert team.statuses() == {"alpha": "published", "beta": "published"}
    assert len(team.desk.releases()) == 2
    report = team.report()
    assert report["base"] == {"commit": None, "why": "no earlier build is known"}
    assert report["commit"] == team.repository.git("rev-parse", "HEAD")
    for name in ("alpha", "beta"):
        environment = team.environment(name)
        assert f"{environment['status']:<13} {environment['reference']}" in ran.out
        assert environment["files"] == [
            f"{name}.settings.json",
            f"{name}.submit.txt",
            f"{name}.spark-defaults.conf",
            f"{name}.livy.json",
            f"{name}.livy-session.json",
            f"{name}.sparkmagic.txt",
            f"{name}.airflow.txt",
            f"{name}.airflow-livy.txt",
        ]
        folder = team.home / "envpack-report"
        submit = (folder / f"{name}.submit.txt").read_text()
        assert submit == team.desk.run("settings", environment["reference"]).out
        assert json.loads((folder / f"{name}.livy.json").read_text())["archives"]


def test_nothing_is_built_when_nothing_has_changed(team: Team) -> None:
    assert team.ci().code == 0
    head = team.repository.git("rev-parse", "HEAD")
    before = sorted(team.desk.store.rglob("*"))
    ran = team.ci("--since", "HEAD")
    assert ran.code == 0
    assert team.statuses() == {"alpha": "unaffected", "beta": "unaffected"}
    assert team.report()["base"]["commit"] == head
    assert sorted(team.desk.store.rglob("*")) == before


def test_one_change_builds_one_environment(team: Team) -> None:
    assert team.ci().code == 0
    before = team.commit()  # with the locks
    write_wheel(team.home / "wheels", "extra", "2.0")
    team.write("envs/beta.txt", "--no-index", "--find-links ../wheels", "beta", "extra")
    # The wheels are no part of git here: only what is committed counts.
    team.write(".gitignore", "/a store/", "/envpack-report/", "/wheels/extra*")
    team.commit()
    assert team.ci(GIT_PREVIOUS_SUCCESSFUL_COMMIT=before).code == 0
    assert team.statuses() == {"alpha": "unaffected", "beta": "published"}
    beta = team.environment("beta")
    assert beta["reason"] == "it changed"
    assert beta["changes"] == {
        "added": [{"name": "extra", "version": "2.0", "source": "pypi"}],
        "removed": [],
        "changed": [],
    }
    assert beta["size"]["archive_after"] > beta["size"]["archive_before"] > 0


@pytest.mark.parametrize(
    ("file", "lines", "affected"),
    [
        ("common.in.txt", ("--no-index", "--find-links wheels", "shared >=1"), {"alpha"}),
        ("envs/beta.txt.lock", ("version: 6",), {"beta"}),
        ("wheels/new.txt", ("a file beside the wheels",), {"alpha", "beta"}),
        ("README.md", ("nothing to do with it",), set()),
    ],
)
def test_what_an_environment_is_made_of_affects_it(
    file: str, lines: tuple[str, ...], affected: set[str], team: Team
) -> None:
    team.write(file, "first")
    first = team.commit()
    team.write(file, *lines)
    team.commit()
    team.ci("--since", first, "--dry-run")
    assert {name for name, status in team.statuses().items() if status != "unaffected"} == affected
    if affected and not file.startswith("wheels"):
        reasons = {team.environment(name)["reason"] for name in affected}
        assert reasons == {f"{file} changed"}


def test_a_changed_file_of_a_project_affects_the_environments_that_hold_it(team: Team) -> None:
    write_source(team.home / "libs/features", "features")
    write_source(team.home / "app", "app")
    team.write("envs/alpha.txt", "-r ../common.in.txt", "features @ ../libs/features")
    before = team.commit()
    for path, project, affected in (
        ("libs/features/features.py", None, {"alpha"}),
        ("docs/guide.md", None, set()),
        ("app/app.py", "app", {"alpha", "beta"}),
    ):
        if project:
            with (team.home / "envpack.yaml").open("a") as file:
                file.write(f"project: {project}\n")
            before = team.commit()
        team.write(path, "# another line")
        after = team.commit()
        plan = team.ci("--plan", "--since", before).json()["include"]
        assert {(entry["name"], entry["reason"]) for entry in plan} == {
            (name, f"{path} changed") for name in affected
        }
        before = after


def test_a_changed_configuration_affects_everything(team: Team) -> None:
    first = team.commit()
    with (team.home / "envpack.yaml").open("a") as configuration:
        configuration.write("spark: '4.1'\n")
    team.commit()
    assert team.ci("--since", first, "--dry-run").code == 0
    assert set(team.statuses().values()) == {"would publish"}
    assert team.environment("beta")["reason"] == "envpack.yaml changed"


def test_a_broken_file_among_good_ones_fails_alone(team: Team) -> None:
    team.write("envs/broken.txt", "not a requirement !!", "-e .")
    team.write("envs/wishful.txt", "--no-index", "--find-links ../wheels", "no-such-project")
    ran = team.ci("--tag", "prod")
    assert ran.code == 3, ran.err
    assert team.statuses() == {
        "alpha": "published",
        "beta": "published",
        "broken": "failed",
        "wishful": "failed",
    }
    broken = team.environment("broken")["failure"]
    assert broken["code"] == 3
    assert "envs/broken.txt:1: " in broken["message"]
    assert "envs/broken.txt:2: " in broken["message"]
    assert team.environment("wishful")["failure"]["code"] == 4
    assert sorted(path.parent.parent.name for path in team.desk.store.glob("*/tags/prod.json")) == ["alpha", "beta"]


def test_junit_has_a_case_for_each_environment(team: Team) -> None:
    team.write("envs/wishful.txt", "--no-index", "--find-links ../wheels", "no-such-project")
    first = team.commit()
    team.write("envs/wishful.txt", "--no-index", "--find-links ../wheels", "no-such-project>=2")
    team.commit()
    assert team.ci("--since", first).code == 4
    root = ET.parse(team.home / "envpack-report" / "junit.xml").getroot()  # noqa: S314 - our own
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    assert set(cases) == {"envs/alpha.txt", "envs/beta.txt", "envs/wishful.txt"}
    assert cases["envs/alpha.txt"].find("skipped") is not None
    failure = cases["envs/wishful.txt"].find("failure")
    assert failure is not None
    assert "no-such-project" in str(failure.text)
    suite = next(root.iter("testsuite"))
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["skipped"]) == ("3", "1", "2")


def test_a_dry_run_says_what_would_change_and_changes_nothing(team: Team) -> None:
    assert team.ci().code == 0
    first = team.commit()
    write_wheel(team.home / "wheels", "beta", "2.0")
    write_wheel(team.home / "wheels", "gamma", "1.0")
    team.write("envs/beta.txt", "--no-index", "--find-links ../wheels", "beta >=2", "gamma")
    team.commit()
    before = sorted(team.home.rglob("*"))
    ran = team.ci("--dry-run", "--since", first, "--report", "../report")
    assert ran.code == 0, ran.err
    assert sorted(team.home.rglob("*")) == before
    summary = (team.home.parent / "report" / "summary.md").read_text()
    assert "1 would publish" in summary or "2 would publish" in summary
    assert "| `beta` | 1.0 (pypi) | 2.0 (pypi) |" in summary
    assert "| `gamma` | | 1.0 (pypi) |" in summary
    assert "| `beta:latest` |" in summary
    assert "Nothing was published" in summary
    assert not list((team.home.parent / "report").glob("*.settings.json"))


def test_a_preview_says_that_a_lock_was_forgotten(team: Team) -> None:
    for name in ("alpha", "beta"):
        assert team.desk.run("lock", f"envs/{name}.txt").code == 0
    before = team.commit()
    (team.home / "envs/beta.txt").write_text((team.home / "envs/beta.txt").read_text() + "# edited\nplaced\n")
    team.commit()
    forgotten = "beta.txt.lock is not the lock of beta.txt as it is now: run `envpack lock beta.txt`, commit both"
    assert team.ci("--since", before, "--dry-run").code == 0
    assert forgotten in team.environment("beta")["warnings"]
    assert "is not the lock of" in (team.home / "envpack-report" / "summary.md").read_text()
    assert team.desk.run("lock", "envs/beta.txt").code == 0
    team.commit()
    assert team.ci("--since", before, "--dry-run").code == 0
    assert forgotten not in team.environment("beta")["warnings"]


def test_without_a_store_a_dry_run_compares_with_the_lock_of_the_base(team: Team) -> None:
    assert team.desk.run("lock", "envs/beta.txt").code == 0
    first = team.commit()
    write_wheel(team.home / "wheels", "gamma", "1.0")
    team.write("envs/beta.txt", "--no-index", "--find-links ../wheels", "beta", "gamma")
    team.commit()
    (team.home / "envpack.yaml").write_text(
        (team.home / "envpack.yaml").read_text().replace("store: a store\n", "")
    )
    ran = team.ci("--dry-run", "--since", first)
    assert ran.code == 0, ran.err
    assert [package["name"] for package in team.environment("beta")["changes"]["added"]] == ["gamma"]
    assert f"the lock at {first[:10]}" in (team.home / "envpack-report" / "summary.md").read_text()


@pytest.mark.parametrize("store", ["s3://no-such-bucket/envs", "s3://no-such-bucket/envs with no key"])
def test_a_dry_run_does_without_a_store_that_cannot_be_read(store: str, team: Team, moto_s3: S3Server) -> None:
    variables = {**moto_s3.variables(), "ENVPACK_STORE": store}
    if "key" in store:
        del variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]
    ran = team.ci("envs/beta.txt", "--dry-run", **variables)
    assert ran.code == 0, ran.err
    assert "everything counts as changed: no earlier build is known" in ran.err
    beta = team.environment("beta")
    assert beta["status"] == "would publish"
    (warning,) = (line for line in beta["warnings"] if "the store is left aside" in line)
    assert f"warning: {warning}" in ran.err
    assert team.ci("envs/beta.txt", **variables).code == 8


def test_a_renamed_file_is_built_under_its_new_name_and_a_deleted_one_is_told(team: Team) -> None:
    first = team.commit()
    team.repository.git("mv", "envs/alpha.txt", "envs/gamma.txt")
    team.repository.git("rm", "--quiet", "envs/beta.txt")
    team.commit()
    ran = team.ci("--since", first, "--dry-run")
    assert ran.code == 0
    assert team.statuses() == {"gamma": "would publish"}
    assert team.environment("gamma")["reason"] == "renamed from envs/alpha.txt"
    assert team.report()["deleted"] == ["envs/beta.txt"]
    assert "its releases stay in the store" in (team.home / "envpack-report" / "summary.md").read_text()


def test_a_file_that_was_named_and_is_gone_is_told_too(team: Team) -> None:
    first = team.commit()
    team.repository.git("rm", "--quiet", "envs/beta.txt")
    team.commit()
    assert team.ci("envs/beta.txt", "--since", first).code == 0
    assert team.report()["deleted"] == ["envs/beta.txt"]


@pytest.mark.acceptance
def test_refresh_solves_anew_what_has_not_changed(team: Team) -> None:
    assert team.ci().code == 0
    write_wheel(team.home / "wheels", "beta", "1.1")
    assert team.ci("--all").code == 0
    assert team.statuses() == {"alpha": "unchanged", "beta": "unchanged"}
    assert team.ci("--refresh").code == 0
    assert team.statuses() == {"alpha": "unchanged", "beta": "published"}
    assert team.report()["base"] == {"commit": None, "why": "--refresh solves everything again"}
    assert team.environment("beta")["changes"]["changed"][0]["after"]["version"] == "1.1"


def test_a_branch_publishes_under_its_own_tag_and_leaves_latest(team: Team) -> None:
    assert team.ci("envs/beta.txt").code == 0
    latest = (team.desk.store / "beta/tags/latest.json").read_bytes()
    write_wheel(team.home / "wheels", "beta", "1.1")
    assert team.ci("envs/beta.txt", "--refresh", "--tag", "feature", "--no-latest").code == 0
    assert (team.desk.store / "beta/tags/latest.json").read_bytes() == latest
    tag = json.loads((team.desk.store / "beta/tags/feature.json").read_text())
    assert tag["digest"] == team.environment("beta")["digest"]


# --- files, patterns, names ----------------------------------------------------------------------------------


def test_patterns_find_files_at_any_depth_and_leave_hidden_ones(team: Team) -> None:
    team.write("envs/deep/er/gamma.txt", "--no-index", "--find-links ../../../wheels", "shared")
    team.write("envs/.hidden/delta.txt", "nonsense !!")
    assert team.ci("envs/**/*.{txt,yml}", "--dry-run").code == 0
    assert set(team.statuses()) == {"alpha", "beta", "gamma"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("envs/none.txt",), "does not exist"),
        (("nowhere/*.txt",), "no requirements file matches nowhere/*.txt"),
    ],
)
def test_files_that_are_not_there_are_refused(arguments: tuple[str, ...], said: str, team: Team) -> None:
    ran = team.ci(*arguments)
    assert ran.code == 2
    assert said in ran.err


def test_two_files_of_one_name_are_refused_until_one_is_named(team: Team) -> None:
    team.write("more/beta.txt", "--no-index", "--find-links ../wheels", "beta")
    ran = team.ci("envs/beta.txt", "more/*.txt", "--dry-run")
    assert ran.code == 2
    assert "envs/beta.txt and more/beta.txt would both publish beta" in ran.err
    with (team.home / "envpack.yaml").open("a") as configuration:
        configuration.write("  names: {more/beta.txt: other-beta}\n")
    assert team.ci("envs/beta.txt", "more/*.txt", "--dry-run").code == 0
    assert set(team.statuses()) == {"beta", "other-beta"}


def test_without_files_the_next_step_is_told(team: Team) -> None:
    team.write("envpack.yaml", "store: a store")
    ran = team.ci()
    assert ran.code == 2
    assert "`requirements:` under `ci:` in envpack.yaml" in ran.err


# --- side by side --------------------------------------------------------------------------------------------


def with_cache(team: Team, cache: Path) -> Team:
    """Return the team with another cache."""
    environment = {**team.desk.environment, "ENVPACK_CACHE_DIR": str(cache)}
    return replace(team, desk=replace(team.desk, environment=environment))


@pytest.mark.acceptance
def test_builds_side_by_side_give_the_same_and_fetch_nothing_twice(team: Team, tmp_path: Path, seed: Path) -> None:
    names = ("one", "two", "three")
    for name in names:
        write_wheel(team.home / "wheels", name, "1.0")
    sent: list[str] = []
    with private_index(team.home / "wheels", sent, slow="shared") as host:
        for name in names:
            index = f"--index-url http://{USER}:{PASSWORD}@{host}/simple"
            team.write(f"more/{name}.txt", index, name, "shared")
        fresh = with_cache(team, copy_of(seed, tmp_path / "cache"))
        ran = fresh.ci("more/*.txt", "--jobs", "3")
    assert ran.code == 0, ran.err
    assert set(team.statuses().values()) == {"published"}
    counts = Counter(name.split("-")[0] for name in sent)
    # uv asks a server that knows no ranges twice: for the metadata inside a wheel, and for the wheel.
    assert counts == dict.fromkeys((*names, "shared"), counts["one"])
    logs = ran.err.split("\n== ")[1:]
    assert sorted(log.split(" ")[0] for log in logs) == sorted(names)
    assert all(log.count("link ") == 1 for log in logs)


def test_builders_that_have_nothing_left_to_do_end_by_themselves(tmp_path: Path) -> None:
    """One that is killed as it waits for work holds a lock that others may wait for, then for ever."""
    item = Item(file=tmp_path / "missing.txt", shown="missing.txt", name="missing", reason="it is new")
    builders: set[BaseProcess] = set()

    def say(_: str) -> None:
        builders.update(multiprocessing.active_children())

    outcomes = build_all(12 * [item], Config(), Options(), base=None, jobs=4, say=say)
    assert [outcome.status for outcome in outcomes] == 12 * ["failed"]
    assert builders
    assert {builder.exitcode for builder in builders} == {0}


def children_of(pid: int) -> set[int]:
    """Return the processes that a process has started, as /proc tells."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.add(int(stat.parent.name))
    return found


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def within(seconds: float, holds: Callable[[], object]) -> bool:
    """Wait until something holds; return whether it does."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(holds())


def builders_of(process: subprocess.Popen[str]) -> set[int]:
    """Wait for the processes that build, and return them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        found = {child for child in children_of(process.pid) if b"spawn_main" in command_of(child)}
        if found:
            return found
        time.sleep(0.02)
    pytest.fail(f"no builder was started: {process.communicate()}")


@pytest.mark.parametrize("swallowed", [True, False])
def test_a_builder_that_is_told_to_end_does_no_more_work(tmp_path: Path, swallowed: bool) -> None:
    program = f"""
import os, signal, sys, time
from contextlib import suppress
from pathlib import Path
from envpack.ci.processes import _to_end_or_exit
from envpack.files.workspace import room

def work(home):
    entered = room(home)  # as interrupted before its block
    entered.__enter__()
    with suppress({"KeyboardInterrupt" if swallowed else ""}):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

_to_end_or_exit(work, Path(sys.argv[1]))
print("takes another")
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.acceptance
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the builders in /proc")
def test_a_builder_that_is_killed_is_replaced(team: Team) -> None:
    with team.desk.start("ci", "--jobs", "2", **QUIET_CI) as process:
        os.kill(min(builders_of(process)), signal.SIGKILL)
        _, err = process.communicate()
    assert process.returncode == 0, err
    assert team.statuses() == {"alpha": "published", "beta": "published"}


@pytest.mark.acceptance
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the builders in /proc")
@pytest.mark.parametrize(
    ("number", "code"),
    quickly([(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)], (signal.SIGKILL, -signal.SIGKILL)),
)
def test_a_run_that_is_ended_leaves_nothing_behind(
    team: Team, tmp_path: Path, seed: Path, number: signal.Signals, code: int
) -> None:
    fresh = with_cache(team, copy_of(seed, tmp_path / "cache"))
    with fresh.desk.start("ci", "--jobs", "2", **QUIET_CI) as process:
        builders = builders_of(process)
        assert within(60, lambda: list(tmp_path.glob("cache/scratch/*/*")))
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == code
    assert within(10, lambda: not any(Path(f"/proc/{pid}").exists() for pid in builders))
    assert list(tmp_path.glob("cache/scratch/*")) == []
    assert fresh.ci().code == 0


# --- S3 ------------------------------------------------------------------------------------------------------


@pytest.mark.acceptance
@pytest.mark.parametrize("count", [12, pytest.param(50, marks=pytest.mark.acceptance)])
def test_many_unchanged_environments_write_nothing_and_one_change_builds_one(
    team: Team, moto_s3: S3Server, count: int
) -> None:
    store = f"s3://{moto_s3.new_bucket()}/envs"
    on_s3 = replace(
        team,
        desk=replace(
            team.desk, environment={**team.desk.environment, **moto_s3.variables(), "ENVPACK_STORE": store}
        ),
    )
    (team.home / "envs").rename(team.home / "old")
    for number in range(count):
        write_wheel(team.home / "wheels", f"part{number}", "1.0", files={f"part{number}.py": ""})
        team.write(f"envs/env{number:02}.txt", "--no-index", "--find-links ../wheels", f"part{number}")
    first = team.commit()
    assert on_s3.ci("envs/env0[01].txt").code == 0
    moto_s3.requests.clear()
    assert on_s3.ci("--since", first).code == 0
    assert set(team.statuses().values()) == {"unaffected"}
    assert len(team.statuses()) == count
    assert moto_s3.requests == []
    assert on_s3.ci("envs/env0[01].txt", "--all").code == 0
    assert set(team.statuses().values()) <= {"unchanged", "published"}
    moto_s3.requests.clear()
    assert on_s3.ci("envs/env0[01].txt", "--all").code == 0
    assert set(team.statuses().values()) == {"unchanged"}
    assert {request.split()[0] for request in moto_s3.requests} == {"GET", "HEAD"}
    first = team.commit()
    team.write("envs/env07.txt", "--no-index", "--find-links ../wheels", "part7", "shared")
    team.commit()
    assert on_s3.ci("--since", first).code == 0
    statuses = team.statuses()
    assert statuses.pop("env07") == "published"
    assert set(statuses.values()) == {"unaffected"}


@pytest.mark.acceptance
def test_what_was_published_is_shown_in_the_stores_catalog_if_the_configuration_wants_one(team: Team) -> None:
    configuration = team.home / "envpack.yaml"
    configuration.write_text(configuration.read_text() + "  catalog: true\n")
    index = team.desk.store / "_catalog" / "index.html"
    team.ci("--dry-run")
    assert not index.exists()
    ran = team.ci()
    assert ran.code == 0, ran.err
    assert "2 environments, 2 releases" in ran.err
    assert "alpha/index.html" in index.read_text()
    assert "beta/index.html" in index.read_text()
    again = team.ci("--all")
    assert again.code == 0
    assert "catalog" not in again.err
    team.ci("--all", "--tag", "prod")
    assert ">prod</a>" in index.read_text()


def test_a_catalog_that_cannot_be_written_leaves_the_build_a_success(team: Team) -> None:
    configuration = team.home / "envpack.yaml"
    configuration.write_text(configuration.read_text() + "  catalog: true\n")
    team.desk.store.mkdir()
    (team.desk.store / "_catalog").write_text("in the way")
    ran = team.ci()
    assert ran.code == 0, ran.err
    assert "warning: the catalog does not show it yet" in ran.err
    assert team.statuses() == {"alpha": "published", "beta": "published"}


# --- several agents ---------------------------------------------------------------------------------------------


def test_a_plan_is_a_matrix_for_ci_systems_and_builds_nothing(team: Team) -> None:
    team.ci()
    before = team.commit()
    team.write("envs/beta.txt", "--no-index", "--find-links ../wheels", "beta", "shared")
    team.commit()
    plan = team.ci("--plan", "--since", before).json()
    assert plan == {
        "include": [{"name": "beta", "file": "envs/beta.txt", "reason": "it changed"}],
        "environments": 2,
        "deleted": [],
    }
    assert len(team.desk.releases()) == 2


def test_agents_that_share_a_run_build_each_environment_once_and_their_reports_join(team: Team) -> None:
    (team.home / "wheels" / "alpha-1.0-py3-none-any.whl").unlink()
    assert team.ci("--shard", "1/2", "--report", "one").code != 0
    assert team.ci("--shard", "2/2", "--report", "two").code == 0
    parts = [json.loads((team.home / name / "report.json").read_text()) for name in ("one", "two")]
    assert [[entry["name"] for entry in part["environments"]] for part in parts] == [["alpha"], ["beta"]]

    ran = team.ci("--merge", "one", "--merge", "two")
    assert ran.code == parts[0]["environments"][0]["failure"]["code"]
    assert team.statuses() == {"alpha": "failed", "beta": "published"}
    folder = team.home / "envpack-report"
    assert (folder / "beta.submit.txt").read_text() == (team.home / "two" / "beta.submit.txt").read_text()
    cases = ET.parse(folder / "junit.xml").getroot().iter("testcase")  # noqa: S314 - our own
    assert {case.get("name"): [child.tag for child in case] for case in cases}["envs/alpha.txt"][0] == "failure"
    summary = (folder / "summary.md").read_text()
    assert summary.startswith("## envpack: 1 failed, 1 published\n")
    assert "### `alpha`" in summary
    assert "### `beta`" in summary


def test_a_report_without_all_shares_or_of_another_commit_is_refused(team: Team) -> None:
    assert team.ci("--shard", "1/2", "--report", "one", "--dry-run").code == 0
    ran = team.ci("--merge", "one")
    assert (ran.code, "the result of envs/beta.txt is missing" in ran.err) == (2, True)
    team.write("envs/alpha.txt", "--no-index", "--find-links ../wheels", "alpha", "shared")
    first, second = team.repository.commit(), None
    assert team.ci("--shard", "2/2", "--report", "two", "--dry-run").code == 0
    ran = team.ci("--merge", "one", "--merge", "two")
    assert (ran.code, "from different runs: a dry run of commit" in ran.err, str(first)[:10] in ran.err) == (
        2,
        True,
        True,
    )
    assert second is None
    assert not (team.home / "envpack-report" / "report.json").exists()
    assert team.ci("--only", "alpha", "--report", "one", "--dry-run").code == 0
    assert team.ci("--merge", "one").code == 0


def test_an_agent_builds_the_environments_that_it_is_given_by_name(team: Team) -> None:
    assert team.ci("--only", "beta").code == 0
    assert team.statuses() == {"beta": "published"}
    ran = team.ci("--only", "nosuch")
    assert (ran.code, "alpha, beta" in ran.err) == (2, True)


@pytest.mark.parametrize("share", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2"])
def test_a_share_that_is_none_is_refused(share: str, team: Team) -> None:
    ran = team.ci("--shard", share)
    assert (ran.code, share in ran.err) == (2, True)


def test_reports_that_do_not_belong_together_are_refused(team: Team) -> None:
    team.ci("--only", "beta", "--report", "one")
    ran = team.ci("--merge", "one", "--merge", "one")
    assert (ran.code, "envs/beta.txt" in ran.err) == (2, True)
    (team.home / "broken").mkdir()
    for text in ("", "[]", '{"schema": 1}', "[" * 100_000):
        (team.home / "broken" / "report.json").write_text(text)
        ran = team.ci("--merge", "broken")
        assert (ran.code, "report.json" in ran.err) == (2, True)
