"""A real Livy server and sparkmagic's own kernel take what envpack prints, and a real YARN runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import sparkmagic
from tests.support.job import SPARK_3

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.job import JobDesk
    from tests.support.livy import Livy

pytestmark = [pytest.mark.yarn, pytest.mark.timeout(900)]

SHOW_CONFIGURATION = "import json; print(json.dumps(dict(spark.sparkContext.getConf().getAll())))"


@pytest.fixture(scope="module")
def livy(livy_of: Callable[[str], Livy]) -> Livy:
    return livy_of(SPARK_3)


def test_a_batch_runs_the_job(livy: Livy, yarn_job: JobDesk) -> None:
    built = yarn_job.build(None, "livy-batch")
    body = json.loads(yarn_job.built_text(None, "livy-batch"))
    batch = livy.post("/batches", json.dumps({**body, "file": (yarn_job.home / "job.py").as_uri()}))
    livy.wait(f"/batches/{batch['id']}", "success")
    answer = yarn_job.answer()
    for process in (answer.driver, *answer.executors):
        yarn_job.check_inside(process, built)


def test_a_session_runs_the_job_as_a_statement(livy: Livy, yarn_job: JobDesk) -> None:
    built = yarn_job.build(None, "livy-session")
    session = f"/sessions/{livy.post('/sessions', yarn_job.built_text(None, 'livy-session'))['id']}"
    livy.wait(session, "idle")
    statement = livy.post(f"{session}/statements", json.dumps({"code": yarn_job.program()}))
    told = livy.wait(f"{session}/statements/{statement['id']}", "available")
    livy.delete(session)
    assert told["output"]["status"] == "ok", told["output"]
    answer = yarn_job.answer()
    for process in (answer.driver, *answer.executors):
        yarn_job.check_inside(process, built)


def test_sparkmagic_runs_the_job_in_a_notebook(livy: Livy, yarn_job: JobDesk, tmp_path: Path) -> None:
    built = yarn_job.build(None, "sparkmagic")
    cells = [yarn_job.built_text(None, "sparkmagic"), yarn_job.program(), SHOW_CONFIGURATION]
    *_, configuration = sparkmagic.execute(cells, livy.url, tmp_path / "home")
    arrived = json.loads(configuration)
    assert arrived["spark.yarn.dist.archives"] == built["settings"]["archive"]
    assert {name: arrived.get(name) for name in built["settings"]["conf"]} == built["settings"]["conf"]
    answer = yarn_job.answer()
    for process in (answer.driver, *answer.executors):
        yarn_job.check_inside(process, built)


def test_every_session_of_a_configured_hub_starts_in_the_release(
    livy: Livy, yarn_job: JobDesk, tmp_path: Path
) -> None:
    built = yarn_job.build(None, "sparkmagic-config")
    fragment = json.loads(yarn_job.built_text(None, "sparkmagic-config"))
    cells = [yarn_job.program(), SHOW_CONFIGURATION]
    *_, configuration = sparkmagic.execute(cells, livy.url, tmp_path / "home", fragment)
    assert json.loads(configuration)["spark.yarn.dist.archives"] == built["settings"]["archive"]
    answer = yarn_job.answer()
    for process in (answer.driver, *answer.executors):
        yarn_job.check_inside(process, built)


@pytest.mark.parametrize(("launcher", "path"), [("livy-session", "/sessions"), ("livy-batch", "/batches")])
def test_the_server_would_refuse_a_field_that_it_does_not_know(
    launcher: str, path: str, livy: Livy, yarn_job: JobDesk
) -> None:
    body = json.loads(yarn_job.built_text(None, launcher))
    with pytest.raises(ValueError, match="Unrecognized field"):
        livy.post(path, json.dumps({**body, "archive": "none"}))
