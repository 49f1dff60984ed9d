"""Jars from Maven Central, fetched by Maven and kept for later runs."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from envpack import digest
from tests.support.cache import kept
from tests.support.missing import missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FETCH_SECONDS = 540

_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{}</dependencies>
</project>
"""


def jars(name: str, artifacts: Sequence[str], *, without: Sequence[str] = ()) -> Path:
    """Return a directory with the jars of `group:artifact:version` and all they need, less `group:artifact`s."""
    key = digest.of_json([*artifacts, "without", *without])[: digest.SHORT]
    return kept(f"jars-{name}-{key}", lambda directory: _fetch(directory, artifacts, without))


def _fetch(directory: Path, artifacts: Sequence[str], without: Sequence[str]) -> None:
    left_out = "".join(f"<exclusion>{_coordinates(artifact)}</exclusion>" for artifact in without)
    dependencies = [
        f"<dependency>{_coordinates(artifact)}<exclusions>{left_out}</exclusions></dependency>"
        for artifact in artifacts
    ]
    pom = directory / "pom.xml"
    pom.write_text(_POM.format("".join(dependencies)))
    if not shutil.which("mvn"):
        missing("no jars from Maven Central: there is no mvn on PATH")
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(pom), _COPY, f"-DoutputDirectory={directory}"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False)
    if answer.returncode:
        missing(f"no jars from Maven Central: cannot fetch {' '.join(artifacts)}: {answer.stdout}{answer.stderr}")


def _coordinates(artifact: str) -> str:
    fields = zip(("groupId", "artifactId", "version"), artifact.split(":"), strict=False)
    return "".join(f"<{field}>{escape(value)}</{field}>" for field, value in fields)
