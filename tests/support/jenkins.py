"""A Jenkins job that runs a Jenkinsfile: Groovy reads it, its steps really happen (groovy/Jenkins.groovy)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.cache import kept
from tests.support.maven import jars
from tests.support.missing import missing

JENKINSFILE = Path(__file__).parent.parent.parent / "Jenkinsfile"

_GROOVY = "4.0.24"
_PROGRAM = Path(__file__).parent / "groovy/Jenkins.groovy"
_SECONDS = 500

_LINTER = "npm-groovy-lint@16.2.0"
"""The newest that runs on Node 20."""

_QUICK_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
"""A build lives for seconds: what Java's better compiler wins is lost on starting it."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A build that has ended."""

    record: dict[str, Any]
    archive: Path
    """What it archived."""
    log: str

    @property
    def result(self) -> str:
        return str(self.record["result"])

    @property
    def description(self) -> str:
        return str(self.record["description"])

    @property
    def ran(self) -> list[str]:
        """The stages that were not skipped."""
        return [stage["name"] for stage in self.record["stages"] if stage["status"] != "skipped"]

    def report(self) -> Any:
        return json.loads((self.archive / "envpack-report/report.json").read_text())

    def statuses(self) -> dict[str, str]:
        return {entry["name"]: entry["status"] for entry in self.report()["environments"]}


class Refused(Exception):
    """The Jenkinsfile has something that no Jenkins knows."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job with a workspace and a history of its own, as every branch of a multibranch project has."""

    home: Path
    scm: dict[str, Any]
    """Where the Jenkinsfile comes from: url, refspecs, ref."""
    agent: dict[str, str]
    """The environment variables of the machine that builds."""
    variables: dict[str, str] = field(default_factory=dict)
    """What the job itself sets: BRANCH_NAME, CHANGE_ID and the like."""
    parameters: dict[str, Any] = field(default_factory=dict)
    credentials: dict[str, dict[str, str]] = field(default_factory=dict)
    """Id to username and password."""
    jenkinsfile: Path = JENKINSFILE

    @property
    def workspace(self) -> Path:
        return self.home / "work space"

    def start(self, *, cause: str = "BranchEventCause", **parameters: Any) -> subprocess.Popen[str]:
        """Start a build; `cause` is what Jenkins calls it, such as TimerTrigger."""
        self.home.mkdir(parents=True, exist_ok=True)
        told = {
            "name": "envs",
            "home": str(self.home),
            "workspace": str(self.workspace),
            "cause": cause,
            "scm": self.scm,
            "agent": self.agent,
            "variables": self.variables,
            "parameters": {**self.parameters, **parameters},
            "credentials": self.credentials,
        }
        (self.home / "job.json").write_text(json.dumps(told))
        command = ["java", *_QUICK_START, "-cp", class_path(), "groovy.ui.GroovyMain", str(_PROGRAM)]
        return subprocess.Popen(
            [*command, str(self.jenkinsfile), str(self.home / "job.json")],
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> Finished:
        """Wait for a build. Raises Refused when it could not begin."""
        try:
            out, log = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        if process.returncode == 2:
            raise Refused(log.rpartition("refused: ")[2].strip())
        assert process.returncode == 0, log
        number = len(json.loads((self.home / "builds.json").read_text()))
        return Finished(record=json.loads(out), archive=self.home / str(number) / "archive", log=log)

    def build(self, *, cause: str = "BranchEventCause", **parameters: Any) -> Finished:
        return self.finish(self.start(cause=cause, **parameters))


@cache
def class_path() -> str:
    """Return where Groovy is."""
    artifacts = [f"org.apache.groovy:{part}:{_GROOVY}" for part in ("groovy", "groovy-json")]
    return os.pathsep.join(str(jar) for jar in sorted(jars("groovy", artifacts).glob("*.jar")))


def linter() -> Path:
    """Return a directory where npm has installed a linter that knows Jenkinsfiles."""

    def install(directory: Path) -> None:
        if not shutil.which("npm"):
            missing("no linter for Jenkinsfiles: there is no npm on PATH")
        command = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(directory), _LINTER]
        done = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)
        if done.returncode:
            missing(f"no linter for Jenkinsfiles: {_LINTER} cannot be installed: {done.stdout}{done.stderr}")

    return kept(_LINTER.replace("@", "-"), install)
