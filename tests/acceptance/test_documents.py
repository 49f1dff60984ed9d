"""Every command of README and docs, in the order in which a person reads them, in one directory."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.channel import Channel
from tests.support.command import ENVPACK, Desk, desk_at
from tests.support.event_logs import DATA
from tests.support.repository import Repository, new_repository

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    *(f"docs/{name}.md" for name in ("notebooks", "jobs", "explain", "catalog", "operations", "spark")),
)
"""The pages with commands to type; the others show none, which a test below keeps true."""

NO_COMMANDS = {"cli", "concepts", "decisions", "glossary", "security", "speed", "troubleshooting"}

ELSEWHERE = {
    r"make (demo|test)\b": "they set up a checkout: acceptance/test_fresh_roots.py, acceptance/test_demo.py",
    r"make |pip install|python -m bench": "minutes each, and CI runs the Makefile's own targets",
    r"\$ ": "what `make demo` prints: acceptance/test_demo.py",
    r"docker build": "there is no Docker: a linter reads the file in test_packaging.py",
    r"rattler-build": "its channel is conda-forge: acceptance/test_packaging.py builds it from another one",
    r"debootstrap|for package in ROOT|envpack channel init ./channel --root|QEMU_LD_PREFIX": (
        "they fetch a Debian of another processor: acceptance/test_other_processor.py"
    ),
    r"envpack build .* --platform linux-aarch64": "it needs a channel for it: acceptance/test_other_processor.py",
    r"envpack job kill": "it needs a job that runs: test_submit.py, acceptance/test_jobs.py",
    r"jupyter kernelspec|envpack kernel": "they need a release with ipykernel: acceptance/test_kernel.py",
    r"spark-submit --files|--conf spark.python.daemon|yarn logs|.*--imports output": (
        "they need a Spark or its output: acceptance/test_explain.py"
    ),
}
"""What is not typed here: why, and the tests that run it."""

BEFORE = {
    "envpack tag REF prod --move": ["envpack build features.txt --format tar"],
    "envpack ci --merge part-1 --merge part-2": [
        "envpack ci --all --shard 1/2 --report part-1",
        "envpack ci --all --shard 2/2 --report part-2",
    ],
}
"""What is typed before a command, since the page supposes that a team has done it."""

CODES = {"envpack explain LOG --fail-on high": 11, "envpack audit REF": 11}
"""Commands that are to end with another code than 0, by their beginning."""

PLACES = {
    "/var/log/spark": "logs",
    "s3://bucket/envs": "a store",
    "osv/all.zip": "osv",
    "origin/main": "main",
}
"""Absolute and remote places, and what is here in their place."""

PROGRAMS = (
    "envpack", "make", "pip", "printf", "git", "spark-submit", "docker", "rattler-build", "debootstrap", "for",
    "jupyter", "yarn", "python", "tar", "cd",
)  # fmt: skip
"""What a line of a page begins with if it is a command."""

EARLIER = "application_1700000000000_0042"


def commands(page: str) -> list[str]:
    """Return the lines of a page that are commands, without their remarks."""
    found, fenced = [], ""
    for line in (ROOT / page).read_text("utf-8").splitlines():
        if line.strip().startswith("```"):
            fenced = "" if fenced else line.strip()
        elif (re.match(r"(?: {4}| {8})\S", line) and not fenced) or (
            fenced == "```console" and line.startswith("$ ")
        ):
            found.append(re.split(r"\s+#\s", line.strip())[0])
    begins = re.compile(rf"(\$ |\w+=\w+ )?({'|'.join(PROGRAMS)})\b|--conf")
    return [line for line in found if begins.match(line)]


class Reader:
    """A person with a repository, who types what the pages show, with names of their own."""

    def __init__(self, desk: Desk, repository: Repository) -> None:
        self.desk = desk
        self.repository = repository

    def typed(self, line: str) -> str:
        """Return a line with what stands for the person's own things filled in."""
        for there, here in PLACES.items():
            line = line.replace(there, f"'{self.desk.home / here}'" if " " in here else here)
        line = re.sub(r" \[[^\]]*\]( ?\.\.\.)?", "", line)
        line = line.replace("EVENTLOG|DIR|APPLICATION", "LOG").replace("envs/NAME.txt", "features.txt")
        if line.startswith("envpack diff A B"):
            line = line.replace("A B", "REF features.txt")
        words = {
            "FILE": "packed.tar.gz" if line.startswith("envpack pack ") else "features.txt",
            "REF": "features",
            "NAME": "features",
            "DIGEST": self.digest() if "DIGEST" in line else "",
            "DIR": "pulled" if line.startswith("envpack pull") else "made",
            "PREFIX": "pulled",
            "COMMAND": "python -c 'import six, sys; print(sys.prefix)'",
            "LOG": "logs/app",
            "APPLICATION": EARLIER,
            "COMMIT": "HEAD",
        }
        line = re.sub(r"(?<![\w-])(" + "|".join(words) + r")(?![\w-])", lambda found: words[found[1]], line)
        if "@3f2a9c1b4d5e6f70" in line:
            line = line.replace("pandas-udf@3f2a9c1b4d5e6f70", f"features@{self.digest()}")
        return re.sub(r"--code 3f2a9c1b", f"--code {self.code()}", line) if "--code " in line else line

    def digest(self) -> str:
        return str(self.asked("show", "features", "--output", "json")["manifest"]["archive"]["sha256"])[:16]

    def code(self) -> str:
        return str(self.asked("job", "code", "job.yaml", "--output", "json")["digest"])[:8]

    def asked(self, *words: str) -> Any:
        ran = self.desk.run(*words)
        assert ran.code == 0, ran.err
        return ran.json()

    def types(self, line: str) -> str | None:
        """Type a line; return what is wrong with its end, if anything is."""
        ran = subprocess.run(
            ["bash", "-c", self.typed(line)],
            cwd=self.desk.home,
            env=self.desk.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=600,
        )
        code = next((code for begin, code in CODES.items() if line.startswith(begin)), 0)
        if ran.returncode == code and "Traceback" not in ran.stderr:
            return None
        return f"{line}\n-> {self.typed(line)}\n   ended with {ran.returncode}, not {code}: {ran.stderr[-1500:]}"


@pytest.fixture
def reader(tmp_path: Path, full_channel: Channel) -> Reader:
    desk = desk_at(tmp_path / "team", full_channel, tmp_path / "cache")
    programs = tmp_path / "programs"
    programs.mkdir()
    submit = programs / "spark-submit"
    submit.write_text("#!/bin/sh\nfor word; do case $word in *'#environment'*) exit 0;; esac; done\nexit 64\n")
    submit.chmod(0o755)
    desk.environment.update(
        PATH=f"{programs}:{ENVPACK.parent}:{os.environ['PATH']}",
        HOME=str(tmp_path),
        ENVPACK_PYTHON=full_channel.python,
    )
    home = desk.home
    desk.write(
        "envpack.yaml", (home / "envpack.yaml").read_text(), "spark: '3.5'", "ci: {requirements: ['envs/*.txt']}"
    )
    desk.write(".gitignore", "*", "!*.txt", "!envpack.yaml", "!envs/", "!*.py")
    desk.write("features.txt", "six", "numpy<2", "urllib3==2.2.1")
    (home / "envs").mkdir()
    desk.write("envs/udf.txt", "six")
    desk.write("udf.txt", "six")
    desk.write("main.py", "print('done')")
    desk.write("app.py", "print('done')")
    (home / "osv").mkdir()
    package = {"ecosystem": "PyPI", "name": "urllib3"}
    events = [{"introduced": "0"}, {"fixed": "2.2.2"}]
    affected = [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]
    desk.write("osv/a.json", json.dumps({"id": "GHSA-1", "affected": affected}))
    (home / "logs").mkdir()
    for place in ("logs/app", f"logs/{EARLIER}", "app-20260101000000-0000"):
        shutil.copy(DATA / "module-missing-4.0.2.jsonl.zst", home / place)
    return Reader(desk, new_repository(home))


def test_every_command_can_be_typed_in_the_order_of_the_pages(reader: Reader) -> None:
    reader.repository.commit()
    wrong, typed = [], 0
    for page in PAGES:
        if page == "docs/operations.md":
            reader.desk.write("envs/udf.txt", "six", "greeter")
        if page == "docs/jobs.md":
            (job,) = re.findall(r"```yaml\n(name: daily.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
            reader.desk.write("job.yaml", job.replace("pandas-udf:prod", "features:prod"))
        for line in [each for shown in commands(page) for each in (*BEFORE.get(shown, ()), shown)]:
            if any(re.match(known, line) for known in ELSEWHERE):
                continue
            typed += 1
            if problem := reader.types(line):
                wrong.append(f"{page}: {problem}")
            if line == "envpack build pandas-udf.txt":
                assert reader.types("envpack build features.txt") is None
    assert wrong == [], "\n\n".join(wrong)
    assert typed > 70


def test_pages_that_are_not_read_have_no_commands() -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages == NO_COMMANDS | {Path(page).stem for page in PAGES} - {"README"}
    for name in NO_COMMANDS - {"cli", "troubleshooting"}:
        left = [
            line for line in commands(f"docs/{name}.md") if not any(re.match(known, line) for known in ELSEWHERE)
        ]
        assert left == [], name


def test_every_python_that_is_shown_runs(reader: Reader) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert blocks
    assert reader.types("printf 'six\\n' > pandas-udf.txt") is None
    for text in blocks:
        program = text.replace("s3://bucket/envs", str(reader.desk.store))
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=reader.desk.home,
            env=reader.desk.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
