"""Count what was tried against envpack and what held, and write the tables into the documentation, with the commit.

`python -m tests.support.attacks` runs the tests that attack, for docs/security.md; `python -m tests.support.attacks
operations` those of a machine's and a server's faults, the long ones too, for docs/operations.md. Either takes half
an hour and more; words of rows' names behind it count these rows alone: `attacks operations kill`. `python -m
tests.support.attacks s3` writes how commands end under faults of S3, in no time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import junitparser

from tests.support import s3_faults

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- made by `python -m tests.support.attacks{}` -->\n", "<!-- end of what it made -->\n"

KINDS = {
    "packaged code leaves its cage": ("test_cage.py", "test_hostile.py"),
    "a secret reaches an output, a file or another program": (
        "test_redact.py",
        "test_credentials.py",
        "test_every_command.py",
    ),
    "a store lies to its readers": ("test_untrusted_store.py", "test_codec.py", "test_index.py", "test_pull.py"),
    "a conda package is not what it says": ("test_conda_packages.py", "test_sample_packages.py"),
    "a wheel is not what it says": (
        "test_wheel_files.py",
        "test_irregular_wheels.py",
        "test_bombs.py",
        "test_clobber.py",
    ),
    "a server is no S3, or has no keys for us": ("test_s3_answers.py", "test_s3_credentials.py"),
}
"""What an attack is after, and the quick tests that try it."""

FAULTS = {
    "`kill -9` at 200 random moments of `build`, `gc --apply`, `tag`, `pull`, `catalog --publish`": (
        "acceptance/test_kills.py",
    ),
    "50 builders of one lock; 50 of different names beside a `gc --apply` that never stops": (
        "acceptance/test_many_builders.py",
    ),
    "faults of an S3 server, over HTTP and HTTPS (the table below)": ("test_s3_faults.py", "test_s3_answers.py"),
    "a full disk at each step, a read-only place, no descriptors, no home, another century": (
        "acceptance/test_machine_faults.py",
    ),
    "10,000 generated files, command lines and calls, and 60 that other readers stumble over": (
        "test_generated_input.py",
    ),
    "every end without a result, and keys that cannot be had": ("test_endings.py", "test_s3_credentials.py"),
}
"""What goes wrong, and the tests that let it."""


def counted(files: tuple[str, ...], environment: Mapping[str, str]) -> tuple[int, int, int]:
    """Run tests, tell what failed, and return how many were tried, held and skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "junit.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-rfEs", "-n", "2", f"--junitxml={report}"]
        command += [f"--basetemp={Path(folder, 'tests')}"]
        subprocess.run([*command, *(f"tests/{file}" for file in files)], cwd=ROOT, env=environment, check=False)
        suites = junitparser.JUnitXml.fromfile(str(report))
        failed, tried, skipped = suites.failures + suites.errors, suites.tests, suites.skipped
    return tried - skipped, tried - skipped - failed, skipped


HEAD = ("| what is tried | tried | held | skipped here | at commit | by |", "|---|---|---|---|---|---|")


def count(
    page: Path,
    begin: str,
    kinds: Mapping[str, tuple[str, ...]],
    words: Sequence[str],
    environment: Mapping[str, str],
) -> None:
    """Count the rows whose names have one of the words, or all, and write each into its page's table at once."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    for kind, files in kinds.items():
        if words and not any(word in kind for word in words):
            continue
        tried, held, skipped = counted(files, environment)
        names = ", ".join(f"`tests/{file}`" for file in files)
        row = f"| {kind} | {tried} | {held} | {skipped} | {commit.stdout.strip()} | {names} |"
        known = {line.split(" | ")[0]: line for line in written(page, begin).splitlines()[len(HEAD) :]}
        known[f"| {kind}"] = row
        rows = [known[f"| {each}"] for each in kinds if f"| {each}" in known]
        put(page, begin, "\n".join([*HEAD, *rows]) + "\n")


def main(arguments: Sequence[str]) -> None:
    """Write the table of attacks into its page; with `operations` that of faults, with `s3` that of S3's."""
    operations, security = ROOT / "docs/operations.md", ROOT / "docs/security.md"
    if list(arguments) == ["s3"]:
        put(operations, BEGIN.format(" s3"), s3_faults.table())
    elif arguments and arguments[0] == "operations":
        long = {**os.environ, "ENVPACK_ACCEPTANCE": "1"}
        count(operations, BEGIN.format(" operations"), FAULTS, arguments[1:], long)
    else:
        count(security, BEGIN.format(""), KINDS, arguments, os.environ)


def written(page: Path, begin: str) -> str:
    """Return what stands between two marks of a page."""
    return page.read_text("utf-8").partition(begin)[2].partition(END)[0]


def put(page: Path, begin: str, made: str) -> None:
    """Write between two marks of a page."""
    before, _, rest = page.read_text("utf-8").partition(begin)
    page.write_text(before + begin + made + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
