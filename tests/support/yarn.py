"""A real YARN: a ResourceManager and a NodeManager in one Java process, and Sparks that submit to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from xml.sax.saxutils import escape

import pytest

from envpack.files.remove import remove
from tests.support.maven import jars
from tests.support.missing import missing
from tests.support.s3 import ACCESS_KEY, REGION, SECRET_KEY
from tests.support.spark import SHORT_LIVED, installed, spark_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.support.s3 import S3Server
    from tests.support.spark import Spark

_PROGRAMS = Path(__file__).parent / "java"

OPENED = ("--add-opens", "java.base/java.lang=ALL-UNNAMED")
"""What Hadoop's web servers need of Java 17: Guice defines classes."""


@dataclass(frozen=True, kw_only=True)
class Hadoop:
    """A version of Hadoop and what its jars on Maven Central do not bring along."""

    version: str
    crypto: str
    """Bouncy Castle, for the ResourceManager's certificates."""
    aws: tuple[str, ...]
    """The parts of AWS's library that hadoop-aws uses; the whole is 280 to 600 MB."""
    aws_whole: str
    """The whole, which hadoop-aws asks for."""

    def cluster(self) -> Path:
        """Return the jars of ResourceManager and NodeManager."""
        return jars(
            f"yarn-{self.version}",
            (
                f"org.apache.hadoop:hadoop-client-minicluster:{self.version}",
                "org.slf4j:slf4j-reload4j:1.7.36",
                "javax.xml.bind:jaxb-api:2.3.1",
                self.crypto,
            ),
        )

    def s3a(self) -> Path:
        """Return the jars of the s3a file system."""
        return jars(
            f"s3a-{self.version}",
            (f"org.apache.hadoop:hadoop-aws:{self.version}", "org.apache.commons:commons-lang3:3.12.0", *self.aws),
            without=(self.aws_whole,),
        )


_SDK_1 = "1.12.262"
_SDK_2 = "2.24.5"

HADOOPS = {
    "3.5": Hadoop(
        version="3.3.4",
        crypto="org.bouncycastle:bcpkix-jdk15on:1.68",
        aws=tuple(f"com.amazonaws:aws-java-sdk-{part}:{_SDK_1}" for part in ("s3", "dynamodb", "sts")),
        aws_whole="com.amazonaws:aws-java-sdk-bundle",
    ),
    "4.0": Hadoop(
        version="3.4.1",
        crypto="org.bouncycastle:bcpkix-jdk18on:1.78.1",
        aws=tuple(
            f"software.amazon.awssdk:{part}:{_SDK_2}"
            for part in ("s3", "s3-transfer-manager", "sts", "apache-client", "netty-nio-client")
        ),
        aws_whole="software.amazon.awssdk:bundle",
    ),
}
"""The Hadoop inside PyPI's pyspark, by Spark version."""

_END_SECONDS = 60

LOGGING = """\
log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %c{1}: %m%n
"""

_QUEUE = "yarn.scheduler.capacity.root.default"

_YARN_SITE = {
    # Starting chmod for every file of an environment takes longer than all the rest.
    "fs.AbstractFileSystem.file.impl": "LocalFiles",
    "yarn.resourcemanager.hostname": "127.0.0.1",
    "yarn.resourcemanager.am.max-attempts": "1",
    # The shaded jar leaves capacity-scheduler.xml out.
    "yarn.scheduler.capacity.root.queues": "default",
    f"{_QUEUE}.capacity": "100",
    f"{_QUEUE}.maximum-capacity": "100",
    f"{_QUEUE}.state": "RUNNING",
    f"{_QUEUE}.acl_submit_applications": "*",
    # By default application masters get a tenth of the node's memory, which is too little for one.
    "yarn.scheduler.capacity.maximum-am-resource-percent": "1.0",
    "yarn.minicluster.yarn.nodemanager.resource.memory-mb": "4096",
    "yarn.scheduler.minimum-allocation-mb": "256",
    "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": "100",
    "yarn.nodemanager.process-kill-wait.ms": "100",
    "yarn.nodemanager.vmem-check-enabled": "false",
    "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "100.0",
}
"""What the ResourceManager and the NodeManager need. Source: Spark's BaseYarnClusterSuite."""


@dataclass(frozen=True, kw_only=True)
class Yarn:
    """A running YARN with one node."""

    directory: Path
    """All its files, the node's local directories and the containers' logs included."""
    configuration: Path
    """HADOOP_CONF_DIR of its clients."""
    s3a: Path
    """The jars of s3a, which an administrator puts beside Spark's own."""

    def joined_by(self, spark: Spark) -> Spark:
        """Return a Spark whose spark-submit knows this YARN, as an administrator would set it up."""
        conf = spark.home / "conf"
        conf.mkdir(exist_ok=True)
        defaults = {
            "spark.yarn.jars": f"local:{spark.home}/jars/*,local:{self.s3a}/*",
            "spark.yarn.stagingDir": (self.directory / "staging").as_uri(),
            "spark.driver.memory": "512m",
            "spark.executor.memory": "512m",
            "spark.executor.instances": "1",
            "spark.ui.enabled": "false",
            **{
                f"spark.{role}.extraJavaOptions": " ".join(SHORT_LIVED)
                for role in ("driver", "executor", "yarn.am")
            },
        }
        (conf / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in defaults.items()))
        added = {
            "HADOOP_CONF_DIR": str(self.configuration),
            "SPARK_DIST_CLASSPATH": f"{self.s3a}/*",
        }
        return replace(spark, environment={**spark.environment, **added})

    def logs(self) -> str:
        """Return the ends of all containers' logs."""
        logs = sorted(self.directory.glob("**/container_*/std*"))
        return "\n".join(f"--- {log}\n{log.read_text(errors='replace')[-8000:]}" for log in logs)


@pytest.fixture(scope="session")
def yarn_of(tmp_path_factory: pytest.TempPathFactory, moto_s3: S3Server) -> Iterator[Callable[[str], Yarn]]:
    """Give a function that returns the YARN for a Spark version, started when first asked for."""
    with ExitStack() as running:

        @cache
        def of_line(line: str) -> Yarn:
            return running.enter_context(_running(HADOOPS[line], tmp_path_factory.mktemp("nodes"), moto_s3))

        yield lambda spark: of_line(".".join(spark.split(".")[:2]))


@pytest.fixture(scope="session")
def spark_on_yarn(
    tmp_path_factory: pytest.TempPathFactory, yarn_of: Callable[[str], Yarn]
) -> Callable[[str], Spark]:
    """Give a function that returns a Spark of a version that submits to its YARN."""
    return cache(
        lambda version: yarn_of(version).joined_by(spark_at(tmp_path_factory.mktemp("submit") / "spark", version))
    )


@contextmanager
def _running(hadoop: Hadoop, directory: Path, s3: S3Server) -> Iterator[Yarn]:
    if not shutil.which("javac"):
        missing("no real YARN: there is no javac on PATH")
    nodes, clients = directory / "nodes-conf", directory / "clients-conf"
    yarn = Yarn(directory=directory, configuration=clients, s3a=hadoop.s3a())
    jars_of_nodes = [f"{hadoop.cluster()}/*", f"{yarn.s3a}/*"]
    for configuration in (nodes, clients):
        configuration.mkdir()
        _write_site(configuration / "core-site.xml", {"fs.defaultFS": "file:///", **s3a_site(s3)})
    _write_site(nodes / "yarn-site.xml", _YARN_SITE)
    (nodes / "log4j.properties").write_text(LOGGING)
    classes = ["-cp", os.pathsep.join([str(nodes), *jars_of_nodes])]
    subprocess.run(["javac", *classes, "-d", nodes, *_PROGRAMS.glob("*.java")], check=True)
    options = ["-Xmx512m", *SHORT_LIVED, *OPENED, *classes]
    command = ["java", *options, "Yarn", str(clients / "yarn-site.xml")]
    variables = {"PATH": os.environ["PATH"], "JAVA_HOME": str(_java_home()), "LANG": "C.UTF-8"}
    with (
        (directory / "log").open("w") as log,
        _conversing(command, cwd=directory, env=variables, stderr=log) as process,
    ):
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            pytest.fail(f"YARN did not start: {(directory / 'log').read_text()[-8000:]}", pytrace=False)
        yield yarn
    remove(directory / "target")  # what its node unpacked


def _java_home() -> Path:
    """Return where Java is installed; a container starts `$JAVA_HOME/bin/java`."""
    java = shutil.which("java")
    assert java
    return Path(os.environ.get("JAVA_HOME") or Path(java).resolve().parent.parent)


def s3a_site(s3: S3Server) -> dict[str, str]:
    """Return the configuration of s3a; nodes read public resources with their own, never with a job's."""
    return {
        "fs.s3a.endpoint": s3.endpoint,
        "fs.s3a.endpoint.region": REGION,
        "fs.s3a.path.style.access": "true",
        "fs.s3a.access.key": ACCESS_KEY,
        "fs.s3a.secret.key": SECRET_KEY,
        "fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    }


def _write_site(path: Path, properties: Mapping[str, str]) -> None:
    lines = [
        f"<property><name>{name}</name><value>{escape(value)}</value></property>\n"
        for name, value in properties.items()
    ]
    path.write_text(f"<configuration>\n{''.join(lines)}</configuration>\n")


@dataclass(frozen=True, kw_only=True)
class Localizer:
    """The part of a NodeManager that unpacks archives, out of the Hadoop inside PyPI's pyspark."""

    directory: Path
    """A directory that all may read: YARN shares no archive that others could not read themselves."""
    process: subprocess.Popen[str]

    def unpack(self, archive: Path, visibility: Literal["PUBLIC", "PRIVATE"]) -> Path:
        """Return the new directory into which an archive is unpacked; raises ValueError when it cannot be."""
        assert self.process.stdin
        assert self.process.stdout
        new = self.directory / uuid.uuid4().hex
        print(visibility, archive, new, sep="\t", file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().rstrip("\n")
        if not answer.startswith("/"):
            raise ValueError(answer)
        return Path(answer)


@pytest.fixture(scope="session")
def localizer_of() -> Iterator[Callable[[str], Localizer]]:
    """Give a function that returns the localizer of the Hadoop in a Spark version, started when first asked for."""
    with ExitStack() as running:
        yield cache(lambda spark: running.enter_context(_localizer(installed(spark))))


@contextmanager
def _localizer(spark: Path) -> Iterator[Localizer]:
    (jars_of_spark,) = spark.glob("lib/python*/site-packages/pyspark/jars")
    command = ["java", "-cp", f"{jars_of_spark}/*", str(_PROGRAMS / "Localize.java")]
    with tempfile.TemporaryDirectory() as directory, _conversing(command) as process:
        Path(directory).chmod(0o755)
        yield Localizer(directory=Path(directory), process=process)


@contextmanager
def _conversing(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a program that reads and answers, and that ends when there is nothing more to read."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options) as process:
        assert process.stdin
        try:
            yield process
            process.stdin.close()
            process.wait(_END_SECONDS)
        finally:
            process.kill()
