"""Real Spark Connect servers on the loopback, and the jar that PyPI's Spark 3 lacks."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.job import SPARK_3
from tests.support.maven import jars
from tests.support.spark import LOCAL_CLUSTER, spark_at, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.spark import Spark

START = "start-connect-server.sh"

# PyPI's Spark has spark-daemon.sh and lacks this, which does no more in Spark's own distribution.
_START = """\
#!/usr/bin/env bash
service=org.apache.spark.sql.connect.service.SparkConnectServer
exec "$SPARK_HOME/sbin/spark-daemon.sh" submit "$service" 1 --name "Spark Connect server" "$@"
"""


@dataclass(frozen=True, kw_only=True)
class ConnectServer:
    """A running server, and a Spark of its version for clients."""

    spark: Spark
    url: str
    """Its address, as clients take it."""

    @property
    def client(self) -> str:
        """Shell text that runs a program as a client; the program's file follows it."""
        return f"SPARK_REMOTE={self.url} python3"


@contextmanager
def connect_server(
    directory: Path, version: str, command: str = START, *, standalone: bool = False
) -> Iterator[ConnectServer]:
    """Run a shell command that starts a Spark Connect server, completed with a master and a free port.

    The master is a local cluster or, if `standalone`, one with a process of its own.
    """
    spark = spark_at(directory / "spark", version)
    script = spark.home / "commands" / START
    script.parent.mkdir()
    script.write_text(_START)
    script.chmod(0o755)
    variables = {
        **spark.environment,
        "PATH": f"{script.parent}:{spark.environment['PATH']}",
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_PID_DIR": str(directory),
    }
    log = directory / "connect.log"
    with ExitStack() as running:
        running.callback(shutil.rmtree, spark.home, ignore_errors=True)
        master = running.enter_context(spark.standalone(directory)) if standalone else LOCAL_CLUSTER
        process = running.enter_context(
            subprocess.Popen(
                ["bash", "-c", f"{command} \\\n{shlex.join(_options(version, master))}"],
                cwd=directory,
                env=variables,
                stdout=running.enter_context(log.open("w")),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )
        running.callback(os.killpg, process.pid, signal.SIGTERM)
        port = wait_for(log, r"Spark Connect server started at: .*:([0-9]+)")
        yield ConnectServer(spark=spark, url=f"sc://127.0.0.1:{port}")


def _options(version: str, master: str) -> list[str]:
    """Return what a server takes of its site: where it computes, where it listens, what it loads."""
    options = ["--master", master, "--conf", "spark.connect.grpc.binding.port=0"]
    if version == SPARK_3:
        options += ["--jars", ",".join(map(str, sorted(connect_jars().glob("*.jar"))))]
    return options


def connect_jars() -> Path:
    """Return what makes a Spark 3 a Connect server."""
    return jars(f"connect-{SPARK_3}", (f"org.apache.spark:spark-connect_2.12:{SPARK_3}",))
