"""`envpack explain` on real logs in which one field or property at a time is something else than Spark writes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from envpack.errors import UsageError
from envpack.explain import explanation, logs, text
from envpack.explain.explanation import Explanation, explain
from envpack.explain.page import page
from tests.support.chosen import quickly
from tests.support.event_logs import events_of

OTHER: tuple[object, ...] = (
    *(None, True, -1, 0, 1.5, 1 << 63, 10**400),
    *("", "²", "4.²", "nan", "9" * 5000, "//[x"),
    *([], {}, ["x"], {"x": []}),
)
"""Values of other types, and some of the same that a number or an address may not have."""

STEERING = "\x1b[2J\n```\n# $(reboot)"
"""A text that steers terminals, Markdown and shells."""

LOGS = ("arrow-batch-4.0.2", "container-killed-4.0.2", "module-missing-4.0.2", "python-memory-tight-4.0.2")

PROPERTIES = sorted(
    {
        name
        for file in Path(explanation.__file__).parent.glob("*.py")
        for name in re.findall(r'"(spark\.[\w.]*\w)"', file.read_text("utf-8"))
    }
)
"""Those that a check may read."""

CLUSTER = {
    "spark.master": "yarn",
    "spark.submit.deployMode": "cluster",
    "spark.archives": "s3://bucket/x.tar.gz#env",
    "spark.app.submitTime": "1",
}


@pytest.fixture
def told(tmp_path: Path) -> Callable[[list[Any]], Explanation]:
    """Give a function that explains events, in every form in which it is printed."""

    def told(events: list[Any]) -> Explanation:
        log = tmp_path / "app-1"
        log.write_text("".join(f"{json.dumps(event)}\n" for event in events))
        found = explain(logs.find(str(log)))
        json.dumps(found.to_json(), allow_nan=False).encode()
        page(found).encode()
        for line in text.markdown(found):
            assert not line.startswith("# $(")
            assert "\n" not in line
        for finding in found.findings:
            assert all(line.isprintable() for line in finding.settings)
        return found

    return told


def places(value: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the ways to all fields in a value; all items of a list are one."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield (*before, name)
            yield from places(each, (*before, name))
    for each in value if isinstance(value, list) else ():
        yield from places(each, before)


def put(value: Any, way: tuple[str, ...], other: object) -> None:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict) and way[0] in each:
            if way[1:]:
                put(each[way[0]], way[1:], other)
            else:
                each[way[0]] = other


def changed(events: list[Any], kind: str, way: tuple[str, ...], other: object) -> list[Any]:
    made = [json.loads(json.dumps(event)) if event["Event"] == kind else event for event in events]
    for event in made:
        if event["Event"] == kind:
            put(event, way, other)
    return made


@pytest.mark.parametrize("name", quickly(LOGS, LOGS[0]))
def test_a_field_of_another_type_is_passed_over_or_explained(
    name: str, told: Callable[[list[Any]], Explanation]
) -> None:
    events = events_of(name)
    fields = {(event["Event"], way) for event in events for way in places(event) if way[0] != "Spark Properties"}
    assert len(fields) > 80
    for kind, way in sorted(fields):
        for other in (*OTHER, STEERING):
            told(changed(events, kind, way, other))


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_with_any_value_is_explained(name: str, told: Callable[[list[Any]], Explanation]) -> None:
    assert_explained(name, LOGS[:1], told)


@pytest.mark.acceptance
@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_with_any_value_is_explained_in_every_log(
    name: str, told: Callable[[list[Any]], Explanation]
) -> None:
    assert_explained(name, LOGS, told)


def assert_explained(name: str, among: Sequence[str], told: Callable[[list[Any]], Explanation]) -> None:
    for log in among:
        events = events_of(log)
        for properties in ({}, CLUSTER):
            for other in (*OTHER, STEERING):
                for event in events:
                    if event["Event"].endswith("EnvironmentUpdate"):
                        event["Spark Properties"] = {**properties, name: other}
                told(events)


def test_what_is_to_be_typed_is_one_word_of_a_shell(told: Callable[[list[Any]], Explanation]) -> None:
    value = "/opt/my python; $(reboot) 'x'"
    events = events_of("ignored-setting-4.0.2")
    for event in events:
        if event["Event"].endswith("EnvironmentUpdate"):
            event["Spark Properties"]["spark.executorEnv.PYSPARK_PYTHON"] = value
    (finding,) = told(events).findings
    assert [shlex.split(line) for line in finding.settings] == [["--conf", f"spark.pyspark.python={value}"]]


def test_a_function_whose_bytes_were_not_logged_is_no_error(told: Callable[[list[Any]], Explanation]) -> None:
    events = events_of("arrow-batch-4.0.2")
    sent = "data sent to Python workers"
    for event in events:
        info = event.get("Task Info", {})
        info["Accumulables"] = [each for each in info.get("Accumulables", []) if each.get("Name") != sent]
    found = told(events)
    assert found.run.nodes[0].rows
    assert not found.findings


def test_a_memory_limit_of_whole_gigabytes_is_raised_by_half(told: Callable[[list[Any]], Explanation]) -> None:
    events = events_of("python-limit-4.0.2")
    for event in events:
        if event["Event"].endswith("EnvironmentUpdate"):
            event["Spark Properties"]["spark.executor.pyspark.memory"] = "1g"
    (finding,) = told(events).findings
    assert finding.settings == ("--conf spark.executor.pyspark.memory=1536m",)


def test_steps_of_plans_and_properties_are_kept_up_to_a_bound(
    told: Callable[[list[Any]], Explanation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envpack.explain.reading.MOST", 40)
    monkeypatch.setattr("envpack.explain.secrets._MOST", 40)
    plan = {
        "Event": "org.apache.spark.sql.execution.ui.SparkListenerSQLAdaptiveExecutionUpdate",
        "sparkPlanInfo": {"nodeName": "ArrowEvalPython"},
    }
    properties = [
        {"Event": "SparkListenerEnvironmentUpdate", "Spark Properties": {f"spark.{number}": "1"}}
        for number in range(90)
    ]
    run = told([plan] * 90 + properties).run
    assert len(run.nodes) == 40
    assert len(run.properties) == 40
    assert any("beyond what is kept" in each for each in run.passed_over)


@pytest.mark.parametrize("given", ["//[x", "file://[x", "~nobody-of-this-name/log"])
def test_an_address_that_cannot_be_one_is_refused(given: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        logs.find(given, str(tmp_path))
