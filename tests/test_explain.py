"""`envpack explain` on small logs of real runs: each finding where it was provoked, and nowhere else."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envpack import cli
from envpack.errors import UsageError
from envpack.explain import codecs, imports, logs, memory
from envpack.explain.explanation import Explanation, explain
from envpack.explain.limits import LIMITS
from envpack.explain.run import Spread
from envpack.explain.secrets import shown
from envpack.packages.package import PackedPackage
from envpack.releases import file_list
from envpack.releases.file_list import File
from envpack.releases.publish import publish as publish_archive
from envpack.stores import open_store
from tests.support.event_logs import CONTROL, DATA, QUICK, SCENARIOS, lines_of
from tests.support.releases import publish
from tests.support.schemas import check
from tests.support.spark_codecs import CODECS
from tests.support.write_limits import PAGE, renewed

KEPT = [f"{name}-{spark}" for name in QUICK for spark in SCENARIOS[name].sparks]

SECRET = "hunter2-Zq7wX9"


def explained(path: Path, **options: Any) -> Explanation:
    return explain(logs.find(str(path)), **options)


def names(explanation: Explanation) -> set[str]:
    return {finding.name for finding in explanation.findings}


@pytest.fixture(autouse=True)
def no_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin where no envpack.yaml is, neither here nor above."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes events into a log."""

    def write(*lines: bytes, name: str = "app-1") -> Path:
        (tmp_path / name).write_bytes(b"\n".join(lines) + b"\n")
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", KEPT)
def test_a_real_run_has_the_finding_that_it_provokes_and_no_other(name: str) -> None:
    provoked = name.rpartition("-")[0]
    found = explained(DATA / f"{name}.jsonl.zst")
    assert names(found) == (set() if provoked == CONTROL else {provoked})
    for finding in found.findings:
        limit = LIMITS[finding.name]
        assert finding.value >= finding.limit == limit.reached(finding.value)
        assert finding.places or limit.unit == "settings"
        assert finding.quote
        assert finding.advice
    assert found.run.passed_over == []


def test_every_finding_has_a_run_that_provokes_it_or_a_test_of_its_own() -> None:
    of_its_own = {"slow-fetch", "archive-staged", "slow-submission", "unknown-release", "other-spark", "tag-moved"}
    of_its_own |= {"versions-differ", "unused-packages", "vulnerable", "small-arrow-batches"}
    assert {*SCENARIOS} - {CONTROL} | of_its_own == {*LIMITS}


def test_what_a_spark_does_not_log_is_said_as_not_evaluated() -> None:
    old, new = (explained(DATA / f"{CONTROL}-{spark}.jsonl.zst") for spark in SCENARIOS[CONTROL].sparks)
    assert {each.name: each.reason for each in old.unevaluated}["slow-worker-start"].startswith(
        "Spark 3.5.7 does not"
    )
    assert "slow-worker-start" not in {each.name for each in new.unevaluated}


def two_gzips(data: bytes) -> bytes:
    return gzip.compress(data[:999]) + gzip.compress(data[999:])


WAYS: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": gzip.compress, "two": two_gzips, **CODECS}


def packed(way: str) -> bytes:
    return WAYS[way](b"\n".join(lines_of(f"{CONTROL}-3.5.7")) + b"\n")


@pytest.mark.parametrize("way", WAYS)
def test_every_codec_gives_the_same_run(way: str, tmp_path: Path) -> None:
    (tmp_path / "app-1").write_bytes(packed(way))
    found, expected = explained(tmp_path / "app-1"), explained(DATA / f"{CONTROL}-3.5.7.jsonl.zst")
    assert {**found.to_json(), "log": ""} == {**expected.to_json(), "log": ""}
    assert found.run.ended


def test_a_codec_that_is_not_read_is_said(write: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="lzf, which envpack cannot read"):
        explained(write(b"ZV\x01\x00\x10"))


@pytest.mark.parametrize("way", WAYS)
def test_a_log_that_was_cut_off_anywhere_is_read_as_far_as_it_goes(way: str, tmp_path: Path) -> None:
    whole, log = packed(way), tmp_path / "app-1.inprogress"
    for end in range(0, len(whole), max(len(whole) // 40, 1)):
        log.write_bytes(whole[:end])
        if len(list(logs.lines(logs.find(str(log)), []))) < 2:
            with suppress(UsageError):  # perhaps not even the first event is whole
                explained(log)
            continue
        found = explained(log)
        assert found.findings == ()
        assert found.run.ended is None or end > len(whole) // 2


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_log_is_no_traceback(way: str, tmp_path: Path) -> None:
    whole, chance = packed(way), random.Random(7)
    for _ in range(30):
        spoilt = bytearray(whole)
        for _ in range(3):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        (tmp_path / "app-1").write_bytes(spoilt)
        with suppress(UsageError):
            explained(tmp_path / "app-1")


@pytest.mark.parametrize("events", [("Start",), ("Start", "ExecutorAdded"), ("Start", "ExecutorAdded", "Stage")])
def test_a_log_without_times_of_its_beginning_lasts_no_longer(
    events: tuple[str, ...], write: Callable[..., Path]
) -> None:
    lines = [json.loads(line) for line in lines_of(f"{CONTROL}-4.0.2")]
    whole = explained(write(*(json.dumps(line).encode() for line in lines))).run
    for line in lines:
        if any(word in line["Event"] for word in events):
            line.pop("Timestamp", None)
            line.get("Stage Info", {}).pop("Submission Time", None)
    run = explained(write(*(json.dumps(line).encode() for line in lines))).run
    assert run.end - run.begin <= whole.end - whole.begin


@pytest.mark.parametrize("way", ["gzip", *CODECS])
def test_a_bomb_is_read_in_pieces(way: str, tmp_path: Path) -> None:
    (tmp_path / "app-1").write_bytes(WAYS[way](bytes(24 << 20)))
    with (tmp_path / "app-1").open("rb") as file:
        assert max(map(len, codecs.pieces(file, "app-1"))) <= 1 << 20


HOSTILE = {
    "depth": b'{"Event":"org.apache.spark.sql.execution.ui.SparkListenerSQLExecutionStart","sparkPlanInfo":'
    + b'{"children":[' * 20_000
    + b"]}" * 20_000
    + b"}",
    "other types": b'{"Event":"SparkListenerTaskEnd","Stage ID":"x","Task Info":[]}',
    "large numbers": b'{"Event":"SparkListenerTaskEnd","Stage ID":9223372036854775807,"Task Info":'
    b'{"Launch Time":-9223372036854775808,"Finish Time":9223372036854775807,"Executor ID":"1"},"Task Metrics":{}}',
    "a large time": b'{"Event":"SparkListenerApplicationStart","Timestamp":9223372036854775807}',
    "no object": b"[1, 2]",
    "no JSON": b"\x00\xff\xfe",
    "escapes": b'{"Event":"SparkListenerApplicationStart","App Name":"\\u001b[2J<script>alert(1)</script>"}',
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_events_are_passed_over_or_shown_as_text(
    kind: str, write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(HOSTILE[kind], *lines_of(f"{CONTROL}-4.0.2"), HOSTILE[kind])
    for output in ("text", "json", "markdown", "html"):
        assert cli.run(["explain", str(log), "--output", output, "--quiet"]) == 0
        said = capsys.readouterr()
        assert "\x1b[2J" not in said.out
        assert "<script" not in said.out or output in ("text", "json")


def test_a_byte_that_is_not_utf_8_costs_no_event(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    event = b'{"Event":"SparkListenerApplicationStart","App Name":"caf\xe9","App ID":"app-7","Timestamp":1}'
    assert cli.run(["explain", str(write(event, *lines_of(f"{CONTROL}-4.0.2")[:1]))]) == 0
    said = capsys.readouterr()
    assert "caf\ufffd: app-7" in said.out
    assert "could not be read" not in said.err


def test_a_line_without_an_end_takes_no_memory(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LONGEST_LINE", 4096)
    long = b'{"Event":"SparkListenerLogStart","Spark Version":"' + b"9" * 3_000_000 + b'"}'
    passed_over: list[str] = []
    log = logs.find(str(write(long, b"{}")))
    assert list(logs.lines(log, passed_over)) == [b"{}", b""]
    assert passed_over == ["an event of more than 64 MB"]


def with_properties(name: str, **properties: str) -> Iterator[bytes]:
    """Yield the lines of a kept log with other properties of Spark."""
    return altered(name, "EnvironmentUpdate", lambda event: event["Spark Properties"].update(properties))


def test_no_secret_of_a_log_comes_out(write: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    told = {
        "spark.hadoop.fs.s3a.secret.key": SECRET,
        "spark.service.password": SECRET,
        "spark.executorEnv.API_KEY": SECRET,
        "spark.executorEnv.PYSPARK_PYTHON": f"https://me:{SECRET}@host/python",
        "spark.archives": f"https://me:{SECRET}@host/envs/udf/{'0' * 16}/udf-{'0' * 16}.tar.gz#environment",
        "spark.app.name": f"job --token={SECRET}",
    }
    lines = [*with_properties(f"{CONTROL}-3.5.7", **told)]
    start = {"Event": "SparkListenerApplicationStart", "App Name": f"job --password={SECRET}", "Timestamp": 1}
    failed = {
        "Event": "SparkListenerTaskEnd",
        "Task End Reason": {
            "Reason": "ExceptionFailure",
            "Class Name": "x",
            "Description": f"No module named 'a'\nOSError: https://me:{SECRET}@host/ token={SECRET}",
        },
        "Task Info": {"Executor ID": "0"},
    }
    system = {"Event": "SparkListenerEnvironmentUpdate", "System Properties": {"sun.java.command": SECRET}}
    log = write(*lines, *(json.dumps(each).encode() for each in (start, failed, failed, failed, failed, system)))
    for output in ("text", "json", "markdown", "html"):
        assert cli.run(["explain", str(log), "--output", output]) == 0
        said = capsys.readouterr()
        assert "module-missing" in said.out or output in ("text", "markdown")
        assert SECRET not in said.out + said.err


def test_no_secret_of_a_command_line_in_a_log_comes_out(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    python = "./environment/bin/python --password hunter-two --port 80"
    lines = [*with_properties(f"{CONTROL}-3.5.7", **{"spark.executorEnv.PYSPARK_PYTHON": python})]
    start = {"Event": "SparkListenerApplicationStart", "App Name": "job --api-key hunter-two", "Timestamp": 1}
    removed = {
        "Event": "SparkListenerExecutorRemoved",
        "Timestamp": 2,
        "Executor ID": "0",
        "Removed Reason": "Command exited with code 137: java -Djavax.net.ssl.keyStorePassword=hunter-two",
    }
    log = write(*lines, *(json.dumps(each).encode() for each in (start, removed)))
    for output in ("text", "json", "markdown", "html"):
        assert cli.run(["explain", str(log), "--output", output]) == 0
        said = capsys.readouterr()
        assert "--port 80" in said.out
        assert "hunter-two" not in said.out + said.err


@pytest.mark.parametrize(
    "text",
    [
        "--password hunter-two",
        "curl -u me:hunter-two http://a",
        "curl --user=me:hunter-two http://a",
        "mysql -p hunter-two",
        "password: hunter-two",
        '{"api_key": "hunter-two"}',
        "secret_key=hunter-two",
        "-Dx.trustStorePassword=hunter-two",
    ],
)
def test_every_way_to_write_a_secret_in_a_command_line_is_masked(text: str) -> None:
    assert "hunter-two" not in shown(text)
    assert "***" in shown(text)


@pytest.mark.parametrize(
    "text", ["ssh -p 22 host", "mkdir -p /opt/envs", "--port 80", "tokens: 5 rows", "skew of 3: 40 s"]
)
def test_other_options_stay(text: str) -> None:
    assert shown(text) == text


def test_a_rolling_log_is_read_in_its_order_and_a_compacted_file_stands_for_those_before(tmp_path: Path) -> None:
    lines = lines_of(f"{CONTROL}-4.0.2")
    folder = tmp_path / "eventlog_v2_app-1"
    folder.mkdir()
    thirds = [lines[:20], lines[20:30], lines[30:]]
    for number, part in zip((2, 9, 10), thirds, strict=True):
        (folder / f"events_{number}_app-1").write_bytes(b"\n".join(part) + b"\n")
    (folder / "appstatus_app-1").touch()
    expected = explained(DATA / f"{CONTROL}-4.0.2.jsonl.zst").to_json()
    assert {**explained(folder).to_json(), "log": ""} == {**expected, "log": ""}
    (folder / "events_1_app-1").write_bytes(b"not to be read\n")
    (folder / "events_2_app-1").rename(folder / "events_2_app-1.compact")
    assert {**explained(folder).to_json(), "log": ""} == {**expected, "log": ""}


def test_an_application_is_found_by_its_id_and_of_several_logs_the_newest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(
        ["application_1_0001_1", "application_1_0001_2.inprogress", "application_1_0002"]
    ):
        (tmp_path / name).write_bytes(b"\n".join(lines_of(f"{CONTROL}-4.0.2")))
        os.utime(tmp_path / name, (number, number))
    assert cli.run(["explain", "application_1_0001", "--log-dir", tmp_path.as_uri(), "--output", "json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["log"].endswith("application_1_0001_2.inprogress")
    assert "the newest of 2 logs" in said.err
    assert logs.find(str(tmp_path)).path.name == "application_1_0002"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("no/such/file", "the event log no/such/file does not exist"),
        ("application_9", "has no event log of application_9"),
        ("s3a://bucket/logs/app-1", "reads only event logs on this machine"),
        (".", "has no event logs"),
    ],
)
def test_what_is_no_log_is_refused(given: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        logs.find(given, str(tmp_path))


@pytest.mark.parametrize("name", ["worker-crashed-4.0.2", f"{CONTROL}-3.5.7", "slow-worker-start-4.0.2"])
def test_the_json_is_that_of_its_schema(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(DATA / f"{name}.jsonl.zst"), "--output", "json"]) == 0
    check(json.loads(capsys.readouterr().out), "explain")


@pytest.mark.parametrize(("severity", "code"), [("critical", 0), ("high", 11), ("info", 11)])
def test_a_run_may_be_failed_for_its_findings(severity: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    log = str(DATA / "slow-worker-start-4.0.2.jsonl.zst")
    assert cli.run(["explain", log, "--fail-on", severity]) == code
    assert cli.run(["explain", log]) == 0
    assert capsys.readouterr().out.count("slow imports") == 2


def test_the_page_needs_no_other_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(DATA / "container-killed-4.0.2.jsonl.zst"), "--output", "html"]) == 0
    text = capsys.readouterr().out
    assert not re.search(r"<script|src=|url\(", text)
    assert re.findall(r'href="([^"]*)"', text.replace('rel="icon" href="data:', "")) == ["#main"] * 3
    assert "spark.executor.memoryOverhead" in text


STAGED = {
    "another file system": ("s3a://bucket/x.tar.gz#environment", "", True),
    "the same bucket": ("s3a://bucket/x.tar.gz#environment", "s3://bucket/staging", False),
    "another bucket": ("s3a://bucket/x.tar.gz#environment", "s3a://other/staging", True),
    "a web server": ("https://host.example/x.tar.gz#environment", "", True),
    "this machine's disk": ("file:///x.tar.gz#environment", "", True),
    "the cluster's file system": ("hdfs:///x.tar.gz#environment", "", False),
    "the nodes' disks": ("local:///x.tar.gz#environment", "", False),
}


@pytest.mark.parametrize("place", STAGED)
def test_an_archive_that_every_submission_copies_is_found(place: str, write: Callable[..., Path]) -> None:
    archive, staging, found = STAGED[place]
    properties = {"spark.master": "yarn", "spark.yarn.dist.archives": archive, "spark.yarn.stagingDir": staging}
    log = write(*with_properties(f"{CONTROL}-3.5.7", **{k: v for k, v in properties.items() if v}))
    explanation = explained(log)
    assert names(explanation) == ({"archive-staged"} if found else set())
    assert "https://host.example/staging" not in repr(explanation)
    assert ("fetched and sent to the cluster by every submission" in repr(explanation)) is (place == "a web server")


def test_a_mixture_of_settings_that_misses_the_archive_is_found(write: Callable[..., Path]) -> None:
    properties = {"spark.archives": "hdfs:///x.tar.gz#env", "spark.pyspark.python": "./environment/bin/python"}
    (finding,) = explained(write(*with_properties(f"{CONTROL}-3.5.7", **properties))).findings
    assert finding.name == "ignored-setting"
    assert "looks in ./environment, the archive is in env" in finding.text


def test_the_release_is_held_against_the_store(write: Callable[..., Path], tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    old = publish(store, "first", tag="latest")
    new = publish(store, "second", tag="latest")

    def ran_in(digest: str, **options: Any) -> Explanation:
        archive = f"file:///store/udf/{digest}/udf-{digest}.tar.gz#environment"
        return explained(write(*with_properties(f"{CONTROL}-3.5.7", **{"spark.archives": archive})), **options)

    assert names(ran_in(new.short_digest, store=store)) == set()
    assert ran_in(new.short_digest, store=store).reference == new.reference
    assert names(ran_in(old.short_digest, store=store)) == {"tag-moved"}
    assert names(ran_in("0" * 16, store=store)) == {"unknown-release"}
    reasons = {each.name: each.reason for each in ran_in(new.short_digest).unevaluated}
    assert reasons["unknown-release"].startswith("no store was named")
    other = replace(new, target=replace(new.target, spark="4.0"), name="other")
    archive = tmp_path / "archive"
    archive.write_text("second")
    facts = replace(other.archive, file=other.archive.file.replace("udf-", "other-"))
    publish_archive(store, replace(other, archive=facts), archive, {"other.lock": b"lock"})
    address = f"file:///store/other/{new.short_digest}/other-{new.short_digest}.tar.gz#environment"
    log = write(*with_properties(f"{CONTROL}-3.5.7", **{"spark.archives": address}))
    assert names(explained(log, store=store)) == {"other-spark"}


def test_known_vulnerabilities_of_the_release_are_told_where_advisories_are_named(
    write: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(str(tmp_path / "store"))
    new = publish(store, "first", tag="latest", packages=(package("pandas"),))
    archive = f"file:///store/udf/{new.short_digest}/udf-{new.short_digest}.tar.gz#environment"
    log = write(*with_properties(f"{CONTROL}-3.5.7", **{"spark.archives": archive}))
    (unevaluated,) = (each for each in explained(log, store=store).unevaluated if each.name == "vulnerable")
    assert "--advisories PATH" in unevaluated.reason
    affected = {"package": {"ecosystem": "PyPI", "name": "pandas"}, "versions": ["1"]}
    (tmp_path / "one.json").write_text(json.dumps({"id": "PYSEC-1", "summary": "bad", "affected": [affected]}))
    place = ["--store", str(tmp_path / "store"), "--advisories", str(tmp_path / "one.json")]
    assert cli.run(["explain", str(log), *place, "--output", "json"]) == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["finding"], finding["severity"], finding["value"]) == ("vulnerable", "high", 1)
    assert "pandas 1 PYSEC-1" in finding["text"]
    affected["versions"] = ["2"]
    (tmp_path / "one.json").write_text(json.dumps({"id": "PYSEC-1", "summary": "bad", "affected": [affected]}))
    assert cli.run(["explain", str(log), *place, "--fail-on", "info"]) == 0


@pytest.mark.parametrize(
    ("module", "packages", "advice"),
    [
        ("sklearn", (), "scikit-learn brings the module sklearn: add the line scikit-learn"),
        ("sklearn", ("scikit-learn",), "has scikit-learn, which brings it: the workers do not run in that release"),
        ("numpy", ("numpy",), "has numpy, which brings it"),
        ("not_packed", ("numpy",), "if it is your own code, send it: --py-files"),
        ("py4j", (), "Spark itself sends py4j"),
    ],
)
def test_a_missing_module_is_told_with_the_project_that_brings_it(
    module: str, packages: tuple[str, ...], advice: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    store = open_store(str(tmp_path / "store"))
    made = publish(store, "first", tag="latest", packages=tuple(map(package, packages)))
    archive = f"file:///store/udf/{made.short_digest}/udf-{made.short_digest}.tar.gz#environment"
    lines = with_properties("module-missing-4.0.2", **{"spark.archives": archive})
    log = write(*(line.replace(b"not_packed", module.encode()) for line in lines))
    (finding,) = (f for f in explained(log, store=store).findings if f.name == "module-missing")
    assert f"no module {module}" in finding.text
    assert advice in finding.advice


def test_a_module_is_that_of_the_package_whose_file_it_is(write: Callable[..., Path], tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    files = [File("lib/python3.11/site-packages/oddly/__init__.py", 1, "", "pypi/named-odd")]
    beside = {file_list.FILE: file_list.dumps(files)}
    made = publish(store, "first", tag="latest", packages=(package("named-odd"),), beside=beside)
    archive = f"file:///store/udf/{made.short_digest}/udf-{made.short_digest}.tar.gz#environment"
    lines = with_properties("module-missing-4.0.2", **{"spark.archives": archive})
    log = write(*(line.replace(b"not_packed", b"oddly") for line in lines))
    (finding,) = explained(log, store=store).findings
    assert "has named-odd, which brings it" in finding.advice


@pytest.mark.parametrize(
    ("records", "sent", "found"),
    [
        ("10", 2_000_000_000, {"small-arrow-batches"}),
        ("10", 900_000_000, set()),
        ("100", 2_000_000_000, set()),
        ("0", 2_000_000_000, {"arrow-batch"}),
    ],
)
def test_many_small_arrow_batches_are_found(
    records: str, sent: int, found: set[str], write: Callable[..., Path]
) -> None:
    """A row has 2 or 0.9 kB."""
    lines = [json.loads(line) for line in lines_of("arrow-batch-4.0.2")]
    for event in lines:
        for each in event.get("Task Info", {}).get("Accumulables", ()):
            if each["Name"] == "data sent to Python workers":
                each["Update"] = str(sent)
            if each["Name"] == "number of output rows":
                each["Update"] = "1000000"
        if "Spark Properties" in event:
            event["Spark Properties"]["spark.sql.execution.arrow.maxRecordsPerBatch"] = records
    assert names(explained(write(*(json.dumps(line).encode() for line in lines)))) == found


def test_a_long_wait_before_the_start_is_found(write: Callable[..., Path]) -> None:
    start = next(json.loads(line) for line in lines_of(f"{CONTROL}-4.0.2") if b"ApplicationStart" in line)
    waited = {
        "spark.app.submitTime": str(start["Timestamp"] - 200_000),
        "spark.archives": "hdfs:///x.tar.gz#environment",
    }
    (finding,) = explained(write(*with_properties(f"{CONTROL}-4.0.2", **waited))).findings
    assert (finding.name, finding.severity, finding.value) == ("slow-submission", "high", 200)


def altered(name: str, event: str, change: Callable[[Any], object]) -> Iterator[bytes]:
    """Yield the lines of a kept log, with all events of a kind changed."""
    for line in lines_of(name):
        value = json.loads(line)
        if value["Event"].endswith(event):
            change(value)
        yield json.dumps(value).encode()


@pytest.mark.parametrize(
    ("number", "properties", "advice"),
    [
        ("2, No such file or directory", {}, "no archive was sent"),
        ("2, No such file or directory", {"spark.archives": "hdfs:///x.tar.gz#env"}, "is unpacked to env"),
        (
            "2, No such file or directory",
            {"spark.archives": "hdfs:///x.tar.gz#environment"},
            "has no Python at that",
        ),
        ("13, Permission denied", {}, "lost its permissions"),
    ],
)
def test_workers_without_a_python_are_told_why(
    number: str, properties: dict[str, str], advice: str, write: Callable[..., Path]
) -> None:
    said = f'Cannot run program "./environment/bin/python": error={number}'

    def fail(task: Any) -> None:
        task["Task End Reason"] |= {"Class Name": "java.io.IOException", "Description": said}

    lines = [json.loads(line) for line in altered("module-missing-4.0.2", "TaskEnd", fail)]
    for line in lines:
        if line["Event"].endswith("EnvironmentUpdate"):
            line["Spark Properties"] |= properties
    (finding,) = explained(write(*(json.dumps(line).encode() for line in lines))).findings
    assert (finding.name, finding.severity) == ("no-interpreter", "critical")
    assert finding.quote == said
    assert advice in finding.advice


def test_executors_that_fetch_slowly_are_found(write: Callable[..., Path]) -> None:
    def later(event: Any) -> None:
        info = event["Task Info"]
        info |= {name: info[name] + 70_000 for name in ("Launch Time", "Finish Time") if name in info}

    def archive(event: Any) -> None:
        event["Spark Properties"]["spark.archives"] = "http://host/x.tar.gz#environment"

    lines = [json.loads(line) for line in lines_of("no-worker-reuse-4.0.2")]
    for event in lines:
        if "Task Info" in event:
            later(event)
        if event["Event"].endswith("EnvironmentUpdate"):
            archive(event)
    found = explained(write(*(json.dumps(line).encode() for line in lines)))
    (finding,) = (finding for finding in found.findings if finding.name == "slow-fetch")
    assert finding.severity == "moderate"
    assert 70 <= finding.value < 80
    assert finding.places[0].executor == "0"


def test_executors_that_collect_garbage_are_found(write: Callable[..., Path]) -> None:
    def collecting(event: Any) -> None:
        event["Task Metrics"] |= {"Executor Run Time": 10_000, "JVM GC Time": 2_500}

    found = explained(write(*altered(f"{CONTROL}-4.0.2", "TaskEnd", collecting)))
    (finding,) = (finding for finding in found.findings if finding.name == "garbage-collection")
    assert (finding.severity, finding.value) == ("high", 0.25)
    assert finding.settings == ("--conf spark.executor.memory=1536m",)


def package(name: str, *requires: str, size: int = 0) -> PackedPackage:
    return PackedPackage(
        name=name, version="1", source="pypi", sha256="0" * 64, url="", requires=requires, unpacked_size=size
    )


def test_packages_that_nothing_imported_needs_are_told(tmp_path: Path) -> None:
    packages = [package("python"), package("pandas", "numpy", "six"), package("numpy"), package("six")]
    packages += [package("scikit-learn", "numpy", "joblib", size=9), package("joblib", size=1)]
    files = [
        File(f"lib/python3.11/site-packages/{path}", 1, "", f"pypi/{owner}")
        for path, owner in [
            ("pandas/__init__.py", "pandas"),
            ("numpy/__init__.py", "numpy"),
            ("six.py", "six"),
            ("sklearn/__init__.py", "scikit-learn"),
            ("joblib/__init__.py", "joblib"),
            ("scikit_learn-1.dist-info/RECORD", "scikit-learn"),
        ]
    ]
    owners = imports.modules_of(files)
    assert owners["sklearn"] == "scikit-learn"
    said = record_of("worker", pandas="2.2.3", numpy="1.26")
    (tmp_path / "stderr").write_text(f"noise\n26/01/01 {said}envpack-imports: {{\n")
    (record,) = imports.read([tmp_path])
    unused = imports.not_needed(packages, owners, record.modules)
    assert [each.name for each in unused] == ["scikit-learn", "joblib"]


def test_the_hook_says_once_what_a_worker_has_imported(tmp_path: Path) -> None:
    (tmp_path / "pyspark").mkdir()
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages/scaling.py").touch()
    (tmp_path / "pyspark/__init__.py").touch()
    daemon = """
def worker_main(number):
    import scaling
def manager():
    for number in range(3):
        worker_main(number)
"""
    (tmp_path / "pyspark/daemon.py").write_text(daemon)
    (tmp_path / "envpack_imports.py").write_text(imports.hook() + "\n")
    path = f"{tmp_path}:{tmp_path}/site-packages"
    command = [sys.executable, "-S", "-m", imports.MODULE, "pyspark.worker"]
    done = subprocess.run(command, env={"PYTHONPATH": path}, capture_output=True, text=True)
    python = sys.version.split()[0]
    assert done.stderr == record_of("worker", python, scaling="")
    (tmp_path / "stderr").write_text(done.stderr)
    assert imports.read([tmp_path / "stderr"])[0].modules == {"scaling": ""}
    driver = [sys.executable, "-S", "-c", f"import {imports.MODULE}, scaling"]
    done = subprocess.run(driver, env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.stderr == record_of("driver", python, scaling="")


def record_of(process: str, python: str = "3.11.7", **modules: str) -> str:
    return f"envpack-imports: {json.dumps({'process': process, 'python': python, 'modules': modules})}\n"


def test_versions_of_driver_and_workers_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "driver").write_text(record_of("driver", pandas="1.5.3", numpy="1.26.1", dateutil="2.9"))
    (tmp_path / "stderr").write_text(record_of("worker", pandas="2.2.3") + record_of("worker", numpy="1.26.4"))
    log = DATA / f"{CONTROL}-4.0.2.jsonl.zst"
    (finding,) = explained(log, records=imports.read([tmp_path])).findings
    assert (finding.name, finding.severity, finding.value) == ("versions-differ", "high", 1)
    assert "pandas 1.5.3 and 2.2.3" in finding.text
    assert finding.settings == ("pip install pandas==2.2.3",)
    monkeypatch.setattr(imports, "owners_in_release", lambda _: {"pandas": "pandas-of-ours"})
    (finding,) = explained(log, records=imports.read([tmp_path])).findings
    assert finding.settings == ("pip install pandas-of-ours==2.2.3",)
    workers = imports.read([tmp_path / "stderr"])
    reasons = {each.name: each.reason for each in explained(log, records=workers).unevaluated}
    assert "`import envpack_imports` there" in reasons["versions-differ"]


def test_output_without_a_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stderr").write_text("nothing\n")
    with pytest.raises(UsageError, match="no record of imports"):
        imports.read([tmp_path])


def test_the_median_of_many_values_is_near_and_takes_little(tmp_path: Path) -> None:
    spread = Spread()
    values = [round(1.001**power) for power in range(12_000)]
    for value in values:
        spread.add(value)
    assert spread.median == pytest.approx(sorted(values)[len(values) // 2], rel=0.03)
    assert len(spread._counts) < 300


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 512 << 20), ("1g", 1 << 30), ("384", 384 << 20), ("2048k", 2 << 20), ("lots", None)]
)
def test_sizes_are_read_as_spark_writes_them(text: str, size: int | None) -> None:
    assert memory.size_of(text) == size


def test_many_small_tasks_are_found_and_the_run_does_not_grow_with_them(write: Callable[..., Path]) -> None:
    lines = lines_of("no-worker-reuse-4.0.2")
    task = next(json.loads(line) for line in lines if b"TaskEnd" in line)
    task["Task Info"]["Finish Time"] = task["Task Info"]["Launch Time"] + 40
    many = [json.dumps(task).encode()] * 6_000
    found = explained(write(*lines, *many))
    assert "small-tasks" in names(found)
    assert len(found.run.stages) == 1


def test_the_page_of_the_documentation_has_every_limit() -> None:
    text = PAGE.read_text("utf-8")
    assert renewed(text) == text, "run `make reference`"


def test_the_page_of_the_documentation_submits_with_the_hook() -> None:
    assert all(setting in PAGE.read_text("utf-8") for setting in imports.SETTINGS)


NO_LOGS = {
    "empty": b"",
    "an empty line": b"\n",
    "text": b"# A page\n",
    "other JSON": b'{"name": "x"}\n',
    "unknown events": b'{"Event":"Unknown"}\n',
}


@pytest.mark.parametrize("kind", NO_LOGS)
def test_what_has_no_event_is_refused_and_not_called_a_run_without_findings(
    kind: str, write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["explain", str(write(NO_LOGS[kind])), "--fail-on", "info"]) == UsageError.exit_code
    said = capsys.readouterr()
    assert "no readable Spark event" in said.err
    assert said.out == ""


def test_a_run_with_nothing_to_find_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(DATA / f"{CONTROL}-4.0.2.jsonl.zst"), "--quiet"]) == 0
    assert "no findings" in capsys.readouterr().out.splitlines()


def test_an_application_is_looked_for_where_spark_is_configured_to_write(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(*lines_of(f"{CONTROL}-4.0.2"))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/spark-defaults.conf").write_text(f"spark.eventLog.dir {tmp_path.as_uri()}\n")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path / "conf"))
    assert cli.run(["explain", log.name, "--quiet"]) == 0
