"""A real Livy server, which starts Spark applications on a YARN for whoever sends it a request."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest

from tests.support.maven import jars
from tests.support.spark import spark_at
from tests.support.yarn import LOGGING, OPENED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.support.spark import Spark
    from tests.support.yarn import Yarn

VERSION = "0.7.1-incubating"
"""The newest on Maven Central."""

_PROGRAMS = Path(__file__).parent / "java/livy"

_SESSION_PARTS = ("livy-api", "livy-rsc", "netty-all")
"""What a session's driver needs of Livy's jars."""

_SERIALIZES = tuple(
    word
    for package in ("java.util", "java.util.concurrent.atomic", "java.nio", "sun.nio.ch")
    for word in ("--add-opens", f"java.base/{package}=ALL-UNNAMED")
)
"""What Livy's serializer needs of Java 17."""

_FAILED = frozenset({"dead", "error", "killed"})
"""States of sessions and batches that nothing follows. Source: Livy's SessionState."""

_START_SECONDS = 60
_ANSWER_SECONDS = 60
_JOB_SECONDS = 300
_POLL_SECONDS = 0.5

_LIVY_CONF = {
    "livy.server.host": "127.0.0.1",
    "livy.server.port": "0",
    "livy.spark.master": "yarn",
    "livy.spark.deploy-mode": "cluster",
    "livy.file.local-dir-whitelist": "/",
    "livy.server.yarn.poll-interval": "500ms",
}


@dataclass(frozen=True, kw_only=True)
class Livy:
    """A running server."""

    address: str
    """Host and port."""
    yarn: Yarn
    log: Path
    """What the server writes."""

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def post(self, path: str, body: str) -> Any:
        """Send a request's body as a person would with curl; return the answer. Raises ValueError when refused."""
        return self._ask("POST", path, body)

    def delete(self, path: str) -> None:
        """End a session."""
        self._ask("DELETE", path)

    def wait(self, path: str, state: str) -> Any:
        """Return a session, a batch or a statement once it is in a state; fail when it never will be."""
        told: Any = {}
        deadline = time.monotonic() + _JOB_SECONDS
        while time.monotonic() < deadline and told.get("state") not in _FAILED:
            told = self._ask("GET", path)
            if told["state"] == state:
                return told
            time.sleep(_POLL_SECONDS)
        log = self.log.read_text(errors="replace")[-8000:]
        pytest.fail(f"{path} is {told['state']}, not {state}:\n{log}\n{self.yarn.logs()}", pytrace=False)

    def _ask(self, method: str, path: str, body: str | None = None) -> Any:
        connection = HTTPConnection(self.address, timeout=_ANSWER_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise ValueError(text)
        return json.loads(text)


@pytest.fixture(scope="session")
def livy_of(
    tmp_path_factory: pytest.TempPathFactory, yarn_of: Callable[[str], Yarn]
) -> Iterator[Callable[[str], Livy]]:
    """Give a function that returns the server for a Spark version, started when first asked for."""
    with ExitStack() as running:

        @cache
        def livy_of(version: str) -> Livy:
            yarn = yarn_of(version)
            home = tmp_path_factory.mktemp("livy")
            return running.enter_context(_serving(home, yarn, yarn.joined_by(spark_at(home / "spark", version))))

        yield livy_of


def server_jars() -> Path:
    """Return the jars of the server."""
    return jars("livy", (f"org.apache.livy:livy-server:{VERSION}",))


@contextmanager
def _serving(home: Path, yarn: Yarn, spark: Spark) -> Iterator[Livy]:
    library = server_jars()
    (home / "logs").mkdir()
    (home / "conf").mkdir()
    (home / "conf/log4j.properties").write_text(LOGGING)
    parts = [path for part in _SESSION_PARTS for path in library.glob(f"{part}-*.jar")]
    settings = {
        **_LIVY_CONF,
        "livy.rsc.jars": ",".join(map(str, parts)),
        "livy.repl.jars": str(_repl(home / "repl.jar", [*parts, f"{spark.home}/jars/*"])),
    }
    (home / "conf/livy.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    classes = os.pathsep.join([f"{home}/conf", str(yarn.configuration), f"{library}/*"])
    command = [
        "java",
        "-Xmx256m",
        *OPENED,
        *_SERIALIZES,
        "-cp",
        classes,
        "org.apache.livy.server.LivyServer",
    ]
    environment = {**spark.environment, "LIVY_HOME": str(home)}
    log = home / "log"
    with log.open("w") as output, _stopping(command, environment, output) as process:
        yield Livy(address=_address(log, process), yarn=yarn, log=log)


def _repl(jar: Path, classes: Sequence[Path | str]) -> Path:
    """Make the jar of what stands in for Livy's REPL."""
    with tempfile.TemporaryDirectory() as directory:
        class_path = os.pathsep.join(map(str, classes))
        subprocess.run(["javac", "-cp", class_path, "-d", directory, _PROGRAMS / "ReplDriver.java"], check=True)
        with ZipFile(jar, "w") as made:
            for path in Path(directory).rglob("*.class"):
                made.write(path, path.relative_to(directory))
            made.write(_PROGRAMS / "statements.py", "org/apache/livy/repl/statements.py")
    return jar


@contextmanager
def _stopping(command: list[str], environment: Mapping[str, str], output: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.terminate()


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"Starting server on http://(\S+)", log.read_text()):
            return found[1]
        time.sleep(0.2)
    pytest.fail(f"Livy did not start:\n{log.read_text()[-8000:]}", pytrace=False)
