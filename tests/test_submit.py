"""A job is submitted exactly as it is printed, followed, recorded, and ends with its own exit code."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from envpack.errors import StoreRefused
from envpack.files.cache import Cache
from envpack.jobs import code, job_file, plan
from envpack.releases import keys, submissions
from envpack.spark.launchers import launcher_named
from envpack.stores.local import LocalStore
from tests.support import command
from tests.support.schemas import check
from tests.support.submitting import JOB, Site, site_at, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpack.jobs.plan import Planned
    from envpack.releases.submissions import Record
    from envpack.stores.base import Store

YARN_LOG = (
    "26/01/31 10:15:00 INFO YarnClientImpl: Submitted application application_1769854500000_0007",
    "26/01/31 10:15:01 INFO Client: Application report for application_1769854500000_0007 (state: ACCEPTED)",
    "\t tracking URL: http://rm:8088/proxy/application_1769854500000_0007/",
    "26/01/31 10:15:09 INFO Client: Application report for application_1769854500000_0007 (state: RUNNING)",
)
FINISHED = "26/01/31 10:16:00 INFO Client: Application report for application_1769854500000_0007 (state: FINISHED)"
FAILED = (
    FINISHED,
    "\t diagnostics: User application exited with status 3",
    "\t final status: FAILED",
    'Exception in thread "main" org.apache.spark.SparkException: Application finished with failed status',
)
POD_FAILED = (
    "26/01/31 10:15:09 INFO LoggingPodStatusWatcherImpl: Application status for spark-0f (phase: Running)",
    "26/01/31 10:16:00 INFO LoggingPodStatusWatcherImpl: Application status for spark-0f (phase: Failed)",
    "\t container name: spark-kubernetes-driver",
    "\t exit code: 3",
    "INFO LoggingPodStatusWatcherImpl: Application daily-churn with submission ID jobs:churn-driver finished",
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return site_at(tmp_path / "work")


def test_what_is_printed_is_what_is_run_and_only_the_second_changes_anything(site: Site) -> None:
    site.stand_in(*YARN_LOG, FINISHED, "\t final status: SUCCEEDED")
    before = sorted(site.store.rglob("*"))
    printed = site.run("submit", "--set", "greeting=it's $HOME", "--dry-run")
    assert (printed.code, sorted(site.store.rglob("*"))) == (0, before), printed.err
    assert "envpack job code job.yaml" in printed.err
    ran = site.run("submit", "--set", "greeting=it's $HOME")
    assert (ran.code, ran.out) == (0, "the job's own output\n"), ran.err
    direct = site.recorded()
    subprocess.run(["bash", "-c", printed.out], env=site.environment, check=True, capture_output=True)
    assert site.recorded()["words"] == direct["words"]
    options = direct["words"][1:]
    assert options[:4] == ["--master", "yarn", "--deploy-mode", "cluster"]
    code = next(word.partition("=")[2] for word in options if word.startswith("spark.envpack.code="))
    assert f"spark.envpack.environment=udf@{site.manifest.short_digest}" in options
    assert options[options.index("--py-files") + 1].endswith(f"/_code/{code}.zip")
    assert options[-7:] == [
        f"udf@{site.manifest.short_digest}",
        "main",
        "--rows",
        "10",
        "--greeting",
        "it's $HOME",
        "two words",
    ]


def test_the_record_says_what_ran_in_what_and_how_it_ended(site: Site) -> None:
    site.stand_in(*YARN_LOG, *FAILED, code=1)
    ran = site.run("submit")
    assert ran.code == 3, ran.err
    assert "error: the job application_1769854500000_0007 failed: exit code 3" in ran.err
    told = site.run("job", "history", "--output", "json").json()
    (record,) = check(told, "job-history")["jobs"]
    assert (record["job"], record["release"], record["digest"]) == ("daily-churn", "udf", site.manifest.digest)
    assert (record["state"], record["exit_code"]) == ("failed", 3)
    assert record["application"] == "application_1769854500000_0007"
    assert record["address"] == "http://rm:8088/proxy/application_1769854500000_0007/"
    assert record["parameters"] == {"rows": "10", "greeting": "hello"}
    table = site.run("job", "history", "udf").out
    other = site.run("job", "history", "udff")
    assert (other.code, other.out) == (2, "")
    assert "has no releases of udff" in other.err
    assert "udf" in other.err.splitlines()[-1]
    assert "failed 3" in table
    assert record["code"][:16] in table


CASES: dict[str, tuple[str, tuple[str, ...], int, int, str]] = {
    "a driver here": ("local-cluster", (), 3, 3, "failed: exit code 3"),
    "no id": (
        "yarn-cluster",
        ("ERROR Client: unknown queue: none",),
        1,
        1,
        "it was not accepted: ERROR Client: unknown queue",
    ),
    "a killed application": ("yarn-cluster", (*YARN_LOG, "\t final status: KILLED"), 1, 1, "was killed"),
    "a pod": ("k8s-cluster", POD_FAILED, 0, 3, "the driver's pod failed"),
    "a pod of which nothing is known": (
        "k8s-cluster",
        POD_FAILED[:1],
        0,
        13,
        "did not say how the driver's pod ended",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_exit_code_is_the_jobs_wherever_the_launcher_tells_it(case: str, site: Site) -> None:
    launcher, log, code, expected, said = CASES[case]
    site.stand_in(*log, code=code)
    master = {"local-cluster": "spark://h:7077", "k8s-cluster": "k8s://https://h:6443"}.get(launcher)
    chosen = ("--launcher", "standalone" if launcher == "local-cluster" else launcher)
    ran = site.run("submit", *chosen, *(("--master", master) if master else ()))
    assert ran.code == expected, ran.err
    assert said in ran.err


def test_pinned_refuses_all_that_floats_and_takes_digests(site: Site) -> None:
    site.stand_in(*YARN_LOG, FINISHED)
    refused = site.run("submit", "--pinned")
    assert refused.code == 2
    assert "the code would come from the working tree" in refused.err
    assert "udf follows its tag" in refused.err
    code = site.run("job", "code").out.strip()
    (site.home / "main.py").unlink()
    write(site.home, "main.py", "changed")
    pinned = ("--pinned", "--code", code[:12], "--env", f"udf@{site.manifest.short_digest}")
    assert site.run("submit", *pinned).code == 0
    assert site.history()[0]["code"] == code


def test_code_is_sent_once_and_its_command_says_so(site: Site) -> None:
    first, second = (check(site.run("job", "code", "--output", "json").json(), "job-code") for _ in range(2))
    assert (first["sent"], second["sent"]) == (True, False)
    assert first["digest"] == second["digest"]
    assert first["files"] == ["churn/__init__.py", "churn/features.py", "main.py", "plain/helper.py"]


def test_resources_variables_and_conf_become_properties(site: Site) -> None:
    more = "conf: {spark.x: 'a b'}\nenv: {STAGE: 'it$s'}\n"
    write(site.home, "job.yaml", JOB + more + "resources: {executor-memory: 4g, executors: 3, queue: q.a}\n")
    site.stand_in(*YARN_LOG, FINISHED)
    assert site.run("submit").code == 0
    words = site.recorded()["words"]
    for word in (
        "spark.x=a b", "spark.executor.memory=4g", "spark.executor.instances=3", "spark.yarn.queue=q.a",
        "spark.executorEnv.STAGE=it$s", r"spark.yarn.appMasterEnv.STAGE=it\$s",
    ):  # fmt: skip
        assert word in words, word


def test_a_python_of_the_submitting_shell_does_not_reach_the_job(site: Site) -> None:
    site.stand_in(*YARN_LOG, FINISHED)
    variables = {**site.environment, "PYSPARK_PYTHON": "/x", "PYSPARK_DRIVER_PYTHON": "/y"}
    ran = command.run("submit", cwd=site.home, environment=variables)
    assert ran.code == 0
    assert not {"PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"} & site.recorded()["env"].keys()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--launcher", "standalone"), 2, "`master` is missing"),
        (("--launcher", "sparkmagic"), 2, "cannot submit with sparkmagic"),
        (("--set", "row=1"), 2, "did you mean rows?"),
        (("--set", "zzzz=1"), 2, "its parameters are rows, greeting"),
        (("--set", "rows"), 2, "is not NAME=VALUE"),
        (("--env", "udv"), 2, "has no udv:latest"),
        (("--env", ""), 2, "'' is not a release reference"),
        (("--env", "more.txt"), 2, "is a file, not a release"),
        (("--code", "ffff"), 2, "has no code base ffff"),
        (("--code", ""), 2, "'' is not the digest of a code base"),
        (("--code", "f"), 2, "'f' is not the digest of a code base"),
        ((), 14, "spark-submit is not on PATH"),
    ],
)
def test_what_cannot_be_submitted_is_said_in_a_line(
    arguments: tuple[str, ...], code: int, said: str, site: Site
) -> None:
    ran = site.run("submit", *arguments)
    assert ran.code == code
    assert said in ran.err
    assert "Traceback" not in ran.err


@contextmanager
def started(site: Site, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start envpack, and give it once it knows the application."""
    with subprocess.Popen(
        [str(command.ENVPACK), "submit", *arguments],
        cwd=site.home,
        env=site.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("application "):
                break
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("arguments", "number", "code", "state"),
    [
        ((), signal.SIGINT, 130, "submitted"),
        ((), signal.SIGTERM, 143, "submitted"),
        (("--kill-on-interrupt",), signal.SIGINT, 130, "killed"),
    ],
)
def test_an_application_of_the_cluster_goes_on_when_its_client_is_interrupted_unless_it_is_to_be_killed(
    arguments: tuple[str, ...], number: signal.Signals, code: int, state: str, site: Site
) -> None:
    site.stand_in(*YARN_LOG, seconds=60)
    killed = stand_in_for_yarn(site)
    with started(site, *arguments) as process:
        process.send_signal(number)
        assert process.wait(30) == code
    assert site.history()[0]["state"] == state
    assert killed.exists() == (state == "killed")
    if killed.exists():
        assert killed.read_text() == "application -kill application_1769854500000_0007\n"


class Interrupted(LocalStore):
    """A store during whose next replacement Ctrl-C arrives: after the object was written."""

    due = False

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        done = super().replace(key, data, version)
        if self.due:
            self.due = False
            raise KeyboardInterrupt
        return done


def a_record(store: Store) -> Record:
    facts = {
        "job": "j",
        "release": "r",
        "digest": "a" * 64,
        "code": "b" * 64,
        "entrypoint": "m",
        "launcher": "local",
    }
    record = submissions.new(store, parameters={}, by="me", **facts)
    record.write()
    return record


def test_how_a_job_ended_is_recorded_also_after_a_write_that_ctrl_c_ended(tmp_path: Path) -> None:
    store = Interrupted(str(tmp_path / "store"))
    record = a_record(store)
    store.due = True
    with pytest.raises(KeyboardInterrupt):
        record.update(state="submitted", application="a")
    record.update(state="killed")
    assert [each.state for each in submissions.of_store(store)] == ["killed"]


def test_every_value_that_a_job_can_be_given_is_in_the_history(tmp_path: Path) -> None:
    facts = {"job": "j", "release": "udf", "digest": "d" * 64, "code": "c" * 64, "entrypoint": "m"}
    store = LocalStore(tmp_path)
    values = {"red": "\x1b[31m", "bytes": "\udcff", "long": "x" * 9000, "arrow": "a\u2028b\u202ec"}
    many = {f"p{number}": "\u2603" * 5000 for number in range(1500)}
    for parameters in (values, many):
        shown = submissions.masked(parameters)
        record = submissions.new(store, parameters=shown, by="CI \x1b job", launcher="local", **facts)
        record.write()
        record.update(state="failed", said="\x1b[31m no\nway")
    assert sorted(len(each.parameters) for each in submissions.of_store(store)) == [len(values), 1000]
    assert {each.said for each in submissions.of_store(store)} == {"\\x1b[31m no way"}


class ReadOnly(LocalStore):
    """A store that this user may only read."""

    def create(self, key: str, data: bytes) -> bool:  # noqa: ARG002 - the store's own
        raise StoreRefused(f"{key} cannot be written", hint="ask for the right to")


def test_code_for_this_machine_needs_no_store_that_can_be_written(site: Site, tmp_path: Path) -> None:
    bundle = code.pack(job_file.read(site.home / "job.yaml"))
    planned = SimpleNamespace(store=ReadOnly(tmp_path / "ro"), bundle=bundle, code=bundle.digest)
    planned.launcher = launcher_named("local")
    assert not plan.deliver(cast("Planned", planned), Cache(tmp_path / "here"))
    assert (tmp_path / "here" / keys.code(bundle.digest)).read_bytes() == bundle.data
    planned.launcher = launcher_named("yarn-cluster")
    with pytest.raises(StoreRefused):
        plan.deliver(cast("Planned", planned), Cache(tmp_path / "here"))


def test_what_somebody_else_recorded_of_a_job_stays(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path / "store"))
    record = a_record(store)
    there = store.read(record.key)
    assert there
    assert store.replace(record.key, there.data.replace(b"submitting", b"killed"), there.version)
    record.update(state="failed")
    assert [each.state for each in submissions.of_store(store)] == ["killed"]


def test_a_client_that_is_killed_leaves_a_record_that_names_the_application(site: Site) -> None:
    site.stand_in(*YARN_LOG, seconds=5)
    with started(site):
        deadline = time.monotonic() + 20
        while "http://rm:8088/proxy/" not in the_record(site) and time.monotonic() < deadline:
            time.sleep(0.1)
    (record,) = site.history()
    assert (record["state"], record["application"]) == ("submitted", "application_1769854500000_0007")
    refused = site.run("job", "kill", record["id"])
    assert refused.code == 14
    assert "has no record of a job ''" in site.run("job", "kill", "").err
    assert "application_1769854500000_0007 was not killed: the ResourceManager at http://rm:8088" in refused.err
    killed = stand_in_for_yarn(site)
    assert site.run("job", "kill", record["application"]).out == "application_1769854500000_0007\n"
    assert killed.read_text() == "application -kill application_1769854500000_0007\n"
    (record,) = site.history()
    assert record["state"] == "killed"
    assert record["ended"]
    assert "has already ended: killed" in site.run("job", "kill", record["id"]).err
    assert site.run("job", "kill", "application_1_0001").code == 2


def stand_in_for_yarn(site: Site) -> Path:
    """Put a `yarn` on PATH that writes its arguments into a file; return the file."""
    killed = site.home.parent / "killed"
    killer = site.home.parent / "bin" / "yarn"
    killer.write_text(f'#!/bin/sh\necho "$@" > {shlex.quote(str(killed))}\n')
    killer.chmod(0o755)
    return killed


def the_record(site: Site) -> str:
    """Return the text of the only record; a log names an application before it says where its interface is."""
    (path,) = (site.store / "udf" / "jobs").glob("*.json")
    return path.read_text()


def test_a_job_that_takes_too_long_is_killed(site: Site) -> None:
    write(site.home, "job.yaml", JOB + "timeout: 1s\nlauncher: standalone\nmaster: spark://h:7077\n")
    site.stand_in("INFO: Connected to Spark cluster with app ID app-20260131101500-0000", seconds=60)
    ran = site.run("submit")
    assert ran.code == 13
    assert "it took longer than its timeout" in ran.err


def test_a_secret_among_the_parameters_is_in_no_record(site: Site) -> None:
    site.stand_in(*YARN_LOG, FINISHED)
    secret = "https://reader:Zq7-wX9_kP2m@host.example/x"
    ran = site.run("submit", "--set", f"greeting={secret}")
    assert ran.code == 0
    assert "Zq7-wX9_kP2m" not in ran.err + json.dumps(site.history())
    assert f"{secret}" in site.recorded()["words"]


SECRETS = """
name: daily-churn
code: .
entrypoint: main.py
environment: udf
parameters: {password: hunter-two, max_tokens: 10, token: "${TOKEN}"}
arguments: [--db-secret, hunter-two, --api-key=hunter-two, plain]
conf: {spark.hadoop.fs.s3a.secret.key: hunter-two}
env: {DB_PASSWORD: hunter-two}
"""


@pytest.mark.parametrize(
    "launcher",
    [
        ("yarn-cluster",),
        ("livy-batch", "--server", "http://localhost:1"),
        ("kyuubi", "--server", "http://localhost:1"),
    ],
)
def test_a_secret_that_only_its_name_tells_is_handed_over_and_neither_printed_nor_recorded(
    launcher: tuple[str, ...], site: Site
) -> None:
    write(site.home, "job.yaml", SECRETS)
    printed = site.run("submit", "--dry-run", "--launcher", *launcher)
    assert (printed.code, "hunter-two" in printed.out + printed.err) == (0, False), printed.err
    assert "*** is printed for each secret" in printed.err
    assert "max_tokens" in printed.out
    assert "10" in printed.out
    assert "${TOKEN}" in printed.out
    if launcher == ("yarn-cluster",):
        site.stand_in(
            *YARN_LOG, FINISHED, "\t diagnostics: lost password=hunter-two-2", "\t final status: FAILED", code=1
        )
        ran = site.run("submit")
        assert sum("hunter-two" in word for word in site.recorded()["words"]) == 6
        record = the_record(site)
        assert "hunter-two" not in ran.err + record
