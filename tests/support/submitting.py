"""A code base of several modules with a job file, and a program that stands in for spark-submit."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpack.jobs import job_file
from envpack.jobs.plan import Planned
from envpack.releases import lookup
from envpack.releases.manifest import Manifest
from envpack.spark.launchers import launcher_named
from envpack.spark.settings import settings_for
from envpack.stores import open_store
from tests.support import command
from tests.support.releases import publish
from tests.support.repository import Repository, new_repository

if TYPE_CHECKING:
    from tests.support.command import Ran

JOB = """\
name: daily-churn
code: .
entrypoint: main.py
parameters: {rows: 10, greeting: hello}
arguments: ["two words"]
environment: udf
"""

MAIN = """\
import argparse, sys
from churn.features import shout
from plain import helper

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int)
parser.add_argument("--greeting")
parser.add_argument("rest", nargs="*")
asked = parser.parse_args()
print(shout(asked.greeting), asked.rows, asked.rest, helper.NAME, sys.argv[0].endswith("main.py"))
"""

STAND_IN = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import json, os, sys, time
facts = {{"words": sys.argv, "env": dict(os.environ)}}
with open(os.environ["RECORDED"], "w") as file:
    json.dump(facts, file)
for line in {log!r}:
    print(line, file=sys.stderr, flush=True)
print("the job's own output", flush=True)
time.sleep({seconds})
sys.exit({code})
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A person's directory with a job, and a store with a release."""

    home: Path
    repository: Repository
    manifest: Manifest

    @property
    def store(self) -> Path:
        return self.home.parent / "store"

    @property
    def environment(self) -> dict[str, str]:
        found = command.environment(self.home.parent / "cache")
        path = f"{self.home.parent / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin"
        return {**found, "ENVPACK_STORE": str(self.store), "RECORDED": str(self._recorded), "PATH": path}

    @property
    def _recorded(self) -> Path:
        return self.home.parent / "recorded.json"

    def run(self, *arguments: str) -> Ran:
        """Run envpack there."""
        return command.run(*arguments, cwd=self.home, environment=self.environment)

    def stand_in(self, *log: str, code: int = 0, seconds: float = 0) -> None:
        """Put a spark-submit on PATH that prints these lines and ends with an exit code."""
        program = self.home.parent / "bin" / "spark-submit"
        program.parent.mkdir(exist_ok=True)
        program.write_text(STAND_IN.format(python=sys.executable, log=list(log), code=code, seconds=seconds))
        program.chmod(0o755)

    def recorded(self) -> Any:
        """Return the words and the variables that the spark-submit got."""
        return json.loads(self._recorded.read_text())

    def history(self) -> list[dict[str, Any]]:
        """Return what `envpack job history` tells."""
        told: list[dict[str, Any]] = self.run("job", "history", "--output", "json").json()["jobs"]
        return told


def site_at(home: Path, job: str = JOB) -> Site:
    """Make a code base with a job file in a git repository, and a store with the release `udf`."""
    repository = new_repository(home)
    write(home, "main.py", MAIN)
    write(home, "plain/helper.py", 'NAME = "plain"\n')
    write(home, "churn/__init__.py", "")
    write(home, "churn/features.py", "def shout(text):\n    return text.upper()\n")
    write(home, "job.yaml", job)
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "code")
    manifest = publish(open_store(str(home.parent / "store")), "one", tag="latest")
    return Site(home=home, repository=repository, manifest=manifest)


def write(home: Path, name: str, text: str) -> None:
    """Write a file below a directory."""
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(text)


def planned_on_s3(site: Site, launcher: str = "spark-operator") -> Planned:
    """Plan the job for a launcher and a release that is on S3."""
    job = job_file.read(site.home / "job.yaml")
    release = lookup.at(open_store(str(site.store)), "udf", site.manifest.digest)
    assert release is not None
    address = "s3://bucket/envs"
    settings = settings_for(site.manifest, f"{address}/udf/0123456789abcdef/udf-0.tar.gz", launcher=launcher)
    return Planned(
        job=job,
        launcher=launcher_named(launcher),
        store=open_store(str(site.store)),
        release=release,
        code="0" * 64,
        bundle=None,
        module="main",
        parameters={},
        settings=settings,
        conf=settings.conf,
        env={},
        program=f"{address}/_code/run.py",
        zip=f"{address}/_code/{'0' * 64}.zip",
        master=None,
    )
