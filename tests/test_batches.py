"""A job as a batch of a server: what is printed is what is posted, and its end is told in words and exit codes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from envpack.errors import LauncherFailed
from envpack.jobs import kyuubi as kyuubi_batches
from envpack.jobs import livy as livy_batches
from envpack.jobs import spark_operator
from envpack.jobs.watch import JobWatch
from tests.support.batches import serving
from tests.support.submitting import Site, planned_on_s3, site_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.batches import Answer

APPLICATION = "application_1769854500000_0007"
UI = "http://rm:8088/proxy/application_1769854500000_0007/"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return site_at(tmp_path / "work")


def livy(*states: str, lines: tuple[str, ...] = ()) -> dict[str, list[Answer]]:
    """Return the answers of a Livy whose batch goes through these states; the log grows by a line each time."""
    told = {"id": 4, "appId": APPLICATION, "appInfo": {"sparkUiUrl": UI}}
    logs = [(200, {"log": ["stdout: ", *lines[: count + 1]]}) for count in range(max(len(lines), 1))]
    return {
        "POST /batches": [(201, {"id": 4, "state": "starting"})],
        "GET /batches/4": [(200, {**told, "state": state}) for state in states],
        "GET /batches/4/log": logs,
        "DELETE /batches/4": [(200, {"msg": "deleted"})],
    }


def submitted(site: Site, answers: dict[str, list[Answer]], *options: str) -> tuple[Any, Any]:
    """Submit to a server with these answers; return how the command ended, and the server."""
    with serving(answers) as server:
        return site.run("submit", "--launcher", "livy-batch", "--server", server.url, *options), server


def test_the_body_that_is_printed_is_the_one_that_is_posted(site: Site) -> None:
    printed, server = submitted(site, livy("success"), "--dry-run")
    assert server.asked == []
    ran, server = submitted(site, livy("starting", "running", "success", lines=("one", "two", "three")))
    assert ran.code == 0, ran.err
    (body,) = server.bodies("POST /batches")
    assert body == json.loads(printed.out)
    assert body["args"][1:] == [
        f"udf@{site.manifest.short_digest}",
        "main",
        "--rows",
        "10",
        "--greeting",
        "hello",
        "two words",
    ]
    assert body["pyFiles"][0].endswith(f"/_code/{body['args'][0]}.zip")
    assert [line for line in ran.err.splitlines() if line in ("one", "two", "three")] == ["one", "two", "three"]
    assert f"application {APPLICATION}, {UI}" in ran.err
    assert site.history()[0]["state"] == "succeeded"


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        (livy("dead", lines=("diagnostics: User application exited with status 3",)), 3, "failed: Livy says dead"),
        (livy("dead"), 13, "failed: Livy says dead"),
        (livy("killed"), 13, "was killed"),
        ({**livy(), "GET /batches/4": [(404, {})]}, 13, "Livy has forgotten /batches/4"),
        (
            {"POST /batches": [(400, {"msg": "requirement failed: Local path not allowed"})]},
            14,
            "Local path not allowed",
        ),
        ({"POST /batches": [(401, "<html>who are you</html>")]}, 14, "refused the request (HTTP 401)"),
        ({"POST /batches": [(200, "<html>hello</html>")]}, 14, "is not JSON"),
        ({"POST /batches": [(200, {"hello": 1})]}, 14, "reply has no batch id"),
    ],
)
def test_how_a_batch_ends_is_told(answers: dict[str, list[Answer]], code: int, said: str, site: Site) -> None:
    ran, server = submitted(site, answers)
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert len(server.bodies("POST /batches")) == 1


def test_a_server_that_fails_for_a_moment_is_asked_again(site: Site) -> None:
    answers = livy("success")
    answers["GET /batches/4"] = [(503, "busy"), (503, "busy"), *answers["GET /batches/4"]]
    ran, _ = submitted(site, answers)
    assert ran.code == 0, ran.err


def test_a_batch_that_takes_too_long_is_deleted(site: Site) -> None:
    job = site.home / "job.yaml"
    job.write_text(job.read_text() + "timeout: 1s\n")
    ran, server = submitted(site, livy("running"))
    assert (ran.code, "longer than its timeout" in ran.err) == (13, True)
    assert server.bodies("DELETE /batches/4") == [None]


def test_an_address_without_a_server_is_said(site: Site) -> None:
    ran = site.run("submit", "--launcher", "livy-batch", "--server", "http://127.0.0.1:9")
    assert (ran.code, "does not answer" in ran.err) == (14, True), ran.err
    missing = site.run("submit", "--launcher", "livy-batch")
    assert (missing.code, "`server` is missing" in missing.err) == (2, True)


def test_a_login_of_the_address_is_sent_and_never_shown(site: Site) -> None:
    with serving({"POST /batches": [(403, {"msg": "not you"})]}) as server:
        address = server.url.replace("http://", "http://reader:Zq7-wX9_kP2m@")
        ran = site.run("submit", "--launcher", "livy-batch", "--server", address)
    assert (ran.code, "refused the request (HTTP 403): not you" in ran.err) == (14, True), ran.err
    assert "Zq7-wX9_kP2m" not in ran.err


# --- Kyuubi --------------------------------------------------------------------------------------------------

ID = "6f1c0a4e-0000-4000-8000-000000000000"


def kyuubi(*told: dict[str, str], log: tuple[str, ...] = ()) -> dict[str, list[Answer]]:
    """Return the answers of a Kyuubi whose batch is told of so."""
    where = f"/api/v1/batches/{ID}"
    return {
        "POST /api/v1/batches": [(200, {"id": ID, "state": "PENDING"})],
        f"GET {where}": [(200, {"id": ID, "appId": APPLICATION, "appUrl": UI, **each}) for each in told],
        f"GET {where}/localLog": [(200, {"logRowSet": list(log)}), (200, {"logRowSet": []})],
    }


def test_kyuubi_is_posted_what_is_printed_under_a_name_of_its_own(site: Site) -> None:
    answers = kyuubi({"state": "RUNNING"}, {"state": "FINISHED"}, log=("one", "two"))
    with serving(answers) as server:
        chosen = ("--launcher", "kyuubi", "--server", server.url)
        printed = json.loads(site.run("submit", *chosen, "--dry-run").out)
        ran = site.run("submit", *chosen)
    assert ran.code == 0, ran.err
    (body,) = server.bodies("POST /api/v1/batches")
    assert len(body["conf"].pop("kyuubi.batch.id")) == 36
    assert body == printed
    assert (body["batchType"], body["name"]) == ("PYSPARK", "daily-churn")
    assert body["conf"]["spark.submit.pyFiles"].endswith(f"/_code/{body['args'][0]}.zip")
    assert body["conf"]["spark.yarn.dist.archives"].endswith(".tar.gz#environment")
    assert [line for line in ran.err.splitlines() if line in ("one", "two")] == ["one", "two"]


@pytest.mark.parametrize(
    ("told", "code", "said"),
    [
        ({"state": "ERROR", "appState": "FAILED", "appDiagnostic": "it broke"}, 13, "failed: it broke"),
        ({"state": "ERROR", "appState": "FINISHED"}, 0, "succeeded"),
        ({"state": "ERROR", "appState": "UNKNOWN"}, 13, "ended with an unknown result"),
        ({"state": "CANCELED"}, 13, "was killed"),
    ],
)
def test_an_error_of_kyuubi_is_not_taken_for_one_of_the_job(
    told: dict[str, str], code: int, said: str, site: Site
) -> None:
    with serving(kyuubi(told)) as server:
        ran = site.run("submit", "--launcher", "kyuubi", "--server", server.url)
    assert (ran.code, said in ran.err) == (code, True), ran.err


# --- answers that are none -----------------------------------------------------------------------------------

NO_ANSWERS = ("null", "[]", "3", '"text"', "[" * 100_000, "\xff", "{}", '{"state": 3}', '{"state": null}')


@pytest.mark.parametrize(
    ("launcher", "way", "path", "answers"),
    [
        ("livy-batch", livy_batches, "/batches/4", (*NO_ANSWERS, '{"state": "running", "appInfo": []}')),
        ("livy-batch", livy_batches, "/batches/4/log", ("[]", '{"log": "text"}', '{"log": [1]}')),
        ("kyuubi", kyuubi_batches, f"/api/v1/batches/{ID}", (*NO_ANSWERS, '{"state": "RUNNING", "appId": 1}')),
        ("kyuubi", kyuubi_batches, f"/api/v1/batches/{ID}/localLog", ("3", '{"logRowSet": {}}')),
    ],
)
def test_an_answer_of_another_type_is_refused(
    site: Site, launcher: str, way: Any, path: str, answers: tuple[str, ...]
) -> None:
    planned = planned_on_s3(site, launcher)
    for answer in answers:
        told = {**livy("running"), **kyuubi({"state": "RUNNING"}), f"GET {path}": [(200, answer)]}
        with serving(told) as server:
            batch = way._Batch(replace(planned, job=replace(planned.job, server=server.url)))
            batch.post()
            with pytest.raises(LauncherFailed, match=r"^the reply of | did not answer "):
                batch.look(JobWatch(out=print, log=print, kill=lambda _: False))


@pytest.mark.parametrize(
    "answer", ["null", "[]", "3", "[" * 100_000, "\xff", '{"status": {"driverInfo": 1}}', '{"status": []}']
)
def test_an_answer_of_kubectl_of_another_type_is_refused(site: Site, answer: str) -> None:
    kubectl = site.home.parent / "bin" / "kubectl"
    site.stand_in()
    (kubectl.parent / "answer").write_text(answer)
    kubectl.write_text('#!/bin/sh\nexec cat "${0%/*}/answer"\n')
    kubectl.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{kubectl.parent}:{os.environ['PATH']}")
        application = spark_operator._Application({"metadata": {"name": "x"}})
        with pytest.raises(LauncherFailed, match=r"^the reply of | did not answer "):
            application.look(JobWatch(out=print, log=print, kill=lambda _: False))
        assert application._code_of("a pod") is None


# --- the Spark Operator --------------------------------------------------------------------------------------

KUBECTL = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import json, pathlib, sys
home = pathlib.Path({home!r})
if sys.argv[1] == "apply":
    (home / "applied.json").write_text(sys.stdin.read())
elif sys.argv[1:3] == ["get", "pod"]:
    ended = {{"terminated": {{"exitCode": {code}}}}}
    others = [{{"name": "sidecar", "state": {{"terminated": {{"exitCode": 0}}}}}}]
    driver = {{"name": "spark-kubernetes-driver", "state": ended}}
    print(json.dumps({{"status": {{"containerStatuses": others + [driver]}}}}))
elif sys.argv[1] == "get":
    state = {{"state": {state!r}, "errorMessage": "driver container failed"}}
    print(json.dumps({{"status": {{"applicationState": state, "driverInfo": {{"podName": "p"}}}}}}))
elif sys.argv[1] == "logs":
    print("a line of the driver")
"""


@pytest.mark.parametrize(("state", "code", "expected"), [("COMPLETED", 0, 0), ("FAILED", 7, 7)])
def test_the_operator_is_given_a_spark_application_and_the_exit_code_is_the_drivers(
    state: str, code: int, expected: int, site: Site
) -> None:
    job = site.home / "job.yaml"
    more = "spark: '3.5'\nresources: {executors: 3, driver-memory: 2g}\n"
    job.write_text(job.read_text() + more + "kubernetes: {namespace: jobs, image: spark:3.5}\n")
    site.stand_in()
    kubectl = site.home.parent / "bin" / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable, home=str(site.home), code=code, state=state))
    kubectl.chmod(0o755)
    # The store is a directory, which the operator's pods cannot read.
    refused = site.run("submit", "--launcher", "spark-operator", "--dry-run")
    assert (refused.code, "the operator's own pod" in refused.err) == (2, True), refused.err
    planned = planned_on_s3(site)
    made = yaml.safe_load(spark_operator.text(planned))
    assert made["metadata"] == {"name": "daily-churn", "namespace": "jobs"}
    assert made["spec"]["executor"] == {"instances": 3}
    assert made["spec"]["arguments"][2:] == ["main", "two words"]
    said: list[str] = []
    path = os.environ["PATH"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{kubectl.parent}:{path}")
        ended = spark_operator.run(planned, JobWatch(out=said.append, log=said.append, kill=lambda _: False))
    assert ended.exit_code == expected
    assert said == ["a line of the driver"]
    applied = json.loads((site.home / "applied.json").read_text())
    assert applied["metadata"].pop("name").startswith("daily-churn-")
    del made["metadata"]["name"]
    assert applied == made
