from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from envpack.stores import open_store
from tests.support.command import Desk, Ran
from tests.support.private import TOKEN, private_channel
from tests.support.releases import publish
from tests.support.s3 import SECRET_KEY, S3Server, Wire

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SCHEMA = json.loads((Path(__file__).parent.parent / "docs/doctor.schema.json").read_text("utf-8"))

Answer = Callable[["WSGIEnvironment", "StartResponse"], "Iterable[bytes] | None"]
"""Answers a request itself, changes it, or leaves it alone."""


def diagnosis(desk: Desk, *arguments: str, **variables: str) -> tuple[Ran, Any]:
    """Run doctor and return what it says; what holds of every diagnosis is checked."""
    ran = desk.run("doctor", *arguments, "--output", "json", **variables)
    value = ran.json()
    jsonschema.validate(value, SCHEMA)
    assert ran.code == (0 if value["works"] else 12), ran.err
    assert all(finding["hint"] for finding in value["findings"] if finding["level"] in ("warning", "problem"))
    return ran, value


def found(value: Any, check: str, level: str) -> list[str]:
    return [each["text"] for each in value["findings"] if (each["check"], each["level"]) == (check, level)]


@pytest.fixture
def odd_s3() -> Iterator[Callable[[Answer], S3Server]]:
    """Give S3 servers that differ from moto in the answers to some requests."""
    servers = []

    def start(answer: Answer, clock: float = 0.0) -> S3Server:
        moto = DomainDispatcherApplication(create_backend_app)

        def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            own = answer(environ, start_response)
            return moto(environ, start_response) if own is None else own

        class Handler(WSGIRequestHandler):
            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string((timestamp or time.time()) + clock)

        server = make_server("127.0.0.1", 0, serve, threaded=True, request_handler=Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return S3Server(endpoint=f"http://127.0.0.1:{server.server_port}", owner="123456789012")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def on(server: S3Server, desk: Desk) -> Desk:
    variables = {**server.variables(), "ENVPACK_STORE": f"s3://{server.new_bucket()}/envs"}
    return replace(desk, environment={**desk.environment, **variables})


def refusal(start_response: StartResponse) -> list[bytes]:
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def test_a_desk_that_is_set_up_has_no_problem_and_every_value_has_its_origin(desk: Desk) -> None:
    _, value = diagnosis(desk, "--spark", "3.5", ENVPACK_LAUNCHER="k8s-cluster")
    assert value["works"] is True
    origins = {each["name"]: (each["value"], each["origin"]) for each in value["configuration"]}
    assert origins["spark"] == ("3.5", "--spark")
    assert origins["launcher"] == ("k8s-cluster", "ENVPACK_LAUNCHER")
    assert origins["store"] == (str(desk.store), f"{desk.home / 'envpack.yaml'}:1")
    assert origins["format"] == ("tar.gz", "default")
    for check in ("python", "target", "cache", "store", "channel", "index"):
        assert found(value, check, "ok"), check
    assert not desk.store.exists()


def test_as_text_it_shows_problems_with_their_next_step_and_says_so_at_the_end(desk: Desk) -> None:
    ran = desk.run("doctor", "--channel", "./nowhere")
    assert ran.code == 12
    assert "PROBLEM  channel        the directory " in ran.out
    assert "-> make one with `envpack channel init DIR`" in ran.out
    assert "a build would not work" in ran.err


def test_on_s3_it_tries_all_that_a_build_does_and_leaves_nothing(desk: Desk, moto_s3: S3Server) -> None:
    on_s3 = on(moto_s3, desk)
    _, value = diagnosis(on_s3, AWS_ENDPOINT_URL_STS=moto_s3.endpoint)
    told = "\n".join(found(value, "store", "ok"))
    for what in (
        "access key ...-key",
        "arn:aws:",
        "listed",
        "read",
        "written",
        "If-None-Match",
        "If-Match",
        "deleted",
    ):
        assert what in told
    assert SECRET_KEY not in json.dumps(value)
    assert found(value, "store", "problem") == []
    store = on_s3.environment["ENVPACK_STORE"]
    assert moto_s3.client().list_objects_v2(Bucket=store.split("/")[2])["KeyCount"] == 0


@pytest.mark.acceptance
@pytest.mark.parametrize("condition", ["If-None-Match", "If-Match"])
def test_a_server_that_passes_a_condition_over_is_a_problem(
    desk: Desk, odd_s3: Callable[[Answer], S3Server], condition: str
) -> None:
    def forget(environ: WSGIEnvironment, _: StartResponse) -> None:
        environ.pop(f"HTTP_{condition.upper().replace('-', '_')}", None)

    _, value = diagnosis(on(odd_s3(forget), desk))
    assert found(value, "store", "problem") == [f"the server does not honour {condition}"]


def test_who_may_not_delete_can_build_and_who_may_not_write_cannot(
    desk: Desk, odd_s3: Callable[[Answer], S3Server]
) -> None:
    refused = ["DELETE"]

    def refuse(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes] | None:
        is_object = environ["PATH_INFO"].count("/") > 1
        return refusal(start_response) if is_object and environ["REQUEST_METHOD"] in refused else None

    on_s3 = on(odd_s3(refuse), desk)
    _, value = diagnosis(on_s3)
    assert value["works"]
    assert "cannot be deleted" in found(value, "store", "note")[0]
    refused.append("PUT")
    _, value = diagnosis(on_s3)
    assert "AccessDenied" in found(value, "store", "problem")[0]
    (problem,) = [each for each in value["findings"] if each["level"] == "problem"]
    assert "s3:PutObject" in problem["hint"]


@pytest.mark.acceptance
@pytest.mark.parametrize(("seconds", "level"), [(-1000, "problem"), (200, "warning"), (20, "ok")])
def test_clocks_that_differ_are_told(desk: Desk, odd_s3: Any, seconds: float, level: str) -> None:
    _, value = diagnosis(on(odd_s3(lambda *_: None, seconds), desk))
    told = [each["level"] for each in value["findings"] if "differ by" in each["text"]]
    assert told == ([] if level == "ok" else [level])


@pytest.mark.acceptance
def test_a_store_that_never_answers_is_left_behind(desk: Desk, moto_s3: S3Server) -> None:
    wire = Wire(moto_s3)
    wire.cut.set()
    try:
        _, value = diagnosis(on(moto_s3, desk), "--timeout", "4", AWS_ENDPOINT_URL_S3=wire.endpoint)
    finally:
        wire.close()
    assert "had not ended after 4 s" in found(value, "store", "problem")[0]
    assert found(value, "channel", "ok"), "the others are looked at all the same"


def test_no_token_is_shown(desk: Desk) -> None:
    with private_channel(desk.channel.path) as host:
        right = f"http://{host}/t/{TOKEN}/channel"
        wrong = f"http://user:hidden@{host}/t/{TOKEN}/no-channel"
        ran, value = diagnosis(desk, "--channel", right, "--channel", wrong)
    assert f"http://{host}/channel answered" in found(value, "channel", "ok")[0]
    assert "has no index" in found(value, "channel", "problem")[0]
    for secret in (TOKEN, "hidden"):
        assert secret not in ran.out + ran.err


def test_what_cannot_work_together_is_a_problem(desk: Desk) -> None:
    _, value = diagnosis(desk, "--spark", "3.5", "--launcher", "standalone", "--format", "zip")
    assert "loses a zip's permissions" in found(value, "target", "problem")[0]
    _, value = diagnosis(desk, "--spark", "3.2", "--python", "3.11")
    assert "3.11" in found(value, "target", "problem")[0]


def test_a_release_is_looked_at_with_the_launcher_and_the_spark_that_are_given(desk: Desk) -> None:
    publish(open_store(str(desk.store)), "one", tag="latest")
    _, value = diagnosis(desk, "udf", "--spark", "3.5")
    assert "runs under yarn-cluster of Spark 3.5" in found(value, "release", "ok")[0]
    _, value = diagnosis(desk, "udf", "--spark", "3.2")
    assert found(value, "release", "problem")
    _, value = diagnosis(desk, "nobody")
    assert "has no nobody:latest" in found(value, "release", "problem")[0]


def test_a_cache_that_cannot_be_made_and_rules_that_cannot_be_read_are_problems(desk: Desk) -> None:
    (desk.home / "taken").write_text("a file")
    _, value = diagnosis(desk, "--cache-dir", "taken/cache", ENVPACK_GC_GRACE="soon")
    assert "taken" in found(value, "cache", "problem")[0]
    problems = found(value, "configuration", "problem")
    assert any("ENVPACK_GC_GRACE: must be a time" in problem for problem in problems)
    assert any("--cache-dir: " in problem for problem in problems)
