"""A job as a batch of a server: what is printed is what is posted, and its end is told in words and exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.batches import serving
from tests.support.submitting import Site, site_at

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
        ({"POST /batches": [(401, "<html>who are you</html>")]}, 14, "refused it (401)"),
        ({"POST /batches": [(200, "<html>hello</html>")]}, 14, "answered what is no JSON"),
        ({"POST /batches": [(200, {"hello": 1})]}, 14, "without the number of the batch"),
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
    assert (ran.code, "refused it (403): not you" in ran.err) == (14, True), ran.err
    assert "Zq7-wX9_kP2m" not in ran.err
