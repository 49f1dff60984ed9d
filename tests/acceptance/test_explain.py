"""Real Sparks: `envpack explain` finds in each log what was provoked, and nothing in a sound run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from envpack.explain import logs
from envpack.explain.explanation import explain
from tests.support.browser import Scheme, visit
from tests.support.event_logs import CONTROL, DATA, SCENARIOS, encode, run, trimmed
from tests.support.job import SPARK_3, SPARK_4, JobDesk
from tests.support.spark import LOCAL_CLUSTER, Spark

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

RUNS = [(name, spark) for name, scenario in SCENARIOS.items() for spark in scenario.sparks]


@pytest.mark.parametrize(("name", "spark"), RUNS)
def test_a_fresh_run_has_the_finding_that_it_provokes_and_no_other(name: str, spark: str, tmp_path: Path) -> None:
    log = logs.find(str(run(SCENARIOS[name], spark, tmp_path / "run")))
    found = explain(log)
    assert {finding.name for finding in found.findings} == (set() if name == CONTROL else {name})
    assert found.run.passed_over == []


@contextmanager
def serving(file: Path, slow_once: Callable[[], bool], seconds: float) -> Iterator[str]:
    """Serve a file to any request; once something holds, its bytes trickle for some seconds. Gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = file.read_bytes()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            parts = 40 if slow_once() else 1
            size = -(-len(data) // parts)
            for start in range(0, len(data), size):
                self.wfile.write(data[start : start + size])
                time.sleep(seconds / parts if parts > 1 else 0)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{file.name}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(("seconds", "found"), [(70, {"slow-fetch"}), (0, set())])
def test_executors_that_wait_for_a_slow_archive_are_found(seconds: float, found: set[str], tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(os.urandom(100_000))
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "data", "data")

    def executors_are_there() -> bool:
        """The driver fetches it, too, before any of them."""
        return any(b"SparkListenerExecutorAdded" in log.read_bytes() for log in tmp_path.glob("run/logs/*"))

    with serving(archive, executors_are_there, seconds) as address:
        conf = {"spark.archives": f"{address}#data", "spark.eventLog.compress": "false"}
        log = logs.find(str(run(SCENARIOS[CONTROL], SPARK_3, tmp_path / "run", conf)))
    assert {finding.name for finding in explain(log).findings} == found


def test_sparks_own_codecs_are_read(tmp_path: Path) -> None:
    log = run(SCENARIOS[CONTROL], SPARK_3, tmp_path / "run")
    plain = trimmed(log, str(tmp_path / "run"))
    expected = explain(logs.find(str(log))).to_json()
    for codec, data in encode(plain, tmp_path / "codecs").items():
        (tmp_path / codec).write_bytes(data)
        assert {**explain(logs.find(str(tmp_path / codec))).to_json(), "log": ""} == {**expected, "log": ""}


@pytest.mark.parametrize("codec", ["lz4", "snappy", "zstd"])
def test_a_log_is_read_as_spark_compresses_it(codec: str, tmp_path: Path) -> None:
    conf = {"spark.eventLog.compress": "true", "spark.eventLog.compression.codec": codec}
    log = run(SCENARIOS[CONTROL], SPARK_3, tmp_path / "run", conf)
    assert log.suffix == f".{codec}"
    found = explain(logs.find(str(log)))
    assert found.findings == ()
    assert found.run.ended


def test_what_workers_import_is_recorded_and_the_rest_is_told(
    spark_job: JobDesk, spark_of: Callable[[str], Spark], tmp_path: Path
) -> None:
    spark = spark_of(SPARK_4)
    built = spark_job.build(SPARK_4, "standalone")
    hook = spark_job.desk.run("explain", "--import-hook")
    spark_job.desk.write("envpack_imports.py", hook.out)
    given = hook.err.partition("submit the job with ")[2].splitlines()[0]
    logged = tmp_path / "logs"
    logged.mkdir()
    logging = f"--conf spark.eventLog.enabled=true --conf spark.eventLog.dir={logged.as_uri()}"
    text = built["settings"]["text"]
    spark_job.run(spark, f"spark-submit --master {LOCAL_CLUSTER} {given} {logging} \\\n{text}")
    (log,) = logged.iterdir()
    answered = spark_job.desk.run(
        "explain", str(log), "--imports", str(spark.home / "work"), "--output", "json"
    ).json()
    assert answered["application"]["release"] == built["reference"]
    record = "".join(path.read_text() for path in (spark.home / "work").rglob("stderr"))
    told = json.loads(record.rpartition("envpack-imports: ")[2].splitlines()[0])
    packed = {package["name"]: package["version"] for package in built["packages"]}
    assert {name: told["modules"][name] for name in ("pandas", "pyarrow", "numpy")}.items() <= packed.items()
    assert "unused-packages" not in {each["name"] for each in answered["unevaluated"]}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with findings of several severities."""
    folder = tmp_path_factory.mktemp("report")
    command = [sys.executable, "-m", "envpack", "explain", str(DATA / f"container-killed-{SPARK_4}.jsonl.zst")]
    done = subprocess.run([*command, "--output", "html"], capture_output=True, check=True)
    (folder / "report.html").write_bytes(done.stdout)
    return folder


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")])
def test_everybody_can_read_the_report(width: int, scheme: Scheme, chromium: Browser, page: Path) -> None:
    with visit(chromium, f"{page.as_uri()}/", width=width, color_scheme=scheme) as there:
        there.open("report.html")
        background = there.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")
        assert there.page.evaluate("document.documentElement.scrollWidth") == width
        assert there.shown("h3")
        found = Axe().run(there.page)
        assert found.violations_count == 0, found.generate_report()
        assert there.asked == [f"{page.as_uri()}/report.html"] or not there.foreign()


def test_a_name_that_is_markup_is_shown_as_text(chromium: Browser, tmp_path: Path) -> None:
    start = {"Event": "SparkListenerApplicationStart", "App Name": "<img src=x onerror=alert(1)>", "Timestamp": 5}
    (tmp_path / "app-1").write_text(json.dumps(start) + "\n")
    command = shlex.join([sys.executable, "-m", "envpack", "explain", str(tmp_path / "app-1"), "--output", "html"])
    subprocess.run(f"{command} > {shlex.quote(str(tmp_path / 'report.html'))}", shell=True, check=True)
    with visit(chromium, f"{tmp_path.as_uri()}/") as there:
        there.open("report.html")
        assert there.shown("h1") == ["<img src=x onerror=alert(1)>"]
        assert there.complaints == []
