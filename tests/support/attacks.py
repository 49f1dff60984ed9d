"""Count what was tried against envpack and what held, and write the tables into the documentation, with the commit.

`python -m tests.support.attacks` runs the tests that attack, for docs/security.md; `python -m tests.support.attacks
operations` those of a machine's and a server's faults, the long ones too, for docs/operations.md. Either takes half
an hour and more. Words of rows' names behind it count these rows alone: `attacks operations kill`.

Reports of runs of the whole suite take the place of running its tests again:
`PYTEST_ADDOPTS=--junitxml=$PWD/quick.xml make test`, the same with `slow.xml` and `make acceptance`, then `attacks
--report quick.xml --report slow.xml`. `python -m tests.support.attacks s3` writes how commands end under faults of
S3, in no time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import junitparser

from tests.support import s3_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- made by `python -m tests.support.attacks{}` -->\n", "<!-- end of what it made -->\n"

KINDS = {
    "code of a package tries to leave the cage": ("test_cage.py", "test_hostile.py"),
    "a secret could reach an output, a file or another program": (
        "test_redact.py",
        "test_credentials.py",
        "test_every_command.py",
    ),
    "a store contains manipulated data": (
        "test_untrusted_store.py",
        "test_codec.py",
        "test_index.py",
        "test_pull.py",
    ),
    "a conda package is malformed, or does not match its metadata": (
        "test_conda_packages.py",
        "test_sample_packages.py",
    ),
    "a wheel is malformed, or does not match its metadata": (
        "test_wheel_files.py",
        "test_irregular_wheels.py",
        "test_bombs.py",
        "test_clobber.py",
    ),
    "the endpoint is not an S3 server, or gives no credentials": ("test_s3_answers.py", "test_s3_credentials.py"),
}
"""What an attack is after, and the quick tests that try it."""

FAULTS = {
    "`kill -9` at 200 random moments of `build`, `gc --apply`, `tag`, `pull`, `catalog --publish`": (
        "acceptance/test_kills.py",
    ),
    "50 builds of one lock in parallel; 50 builds of different names in parallel with `gc --apply` in a loop": (
        "acceptance/test_many_builders.py",
    ),
    "faults of an S3 server, over HTTP and HTTPS (the table below)": ("test_s3_faults.py", "test_s3_answers.py"),
    "a full disk at each step, a read-only directory, no free file descriptors, no home, a wrong system date": (
        "acceptance/test_machine_faults.py",
    ),
    "10,000 generated files, command lines and API calls, and 60 files that are known to break parsers": (
        "test_generated_input.py",
    ),
    "every way in which a command can end without a result; S3 credentials that cannot be obtained": (
        "test_endings.py",
        "test_s3_credentials.py",
    ),
}
"""What goes wrong, and the tests that let it."""


@dataclass(frozen=True)
class Counts:
    """How many attacks were tried, how many of these were held off, and how many tests were skipped."""

    tried: int
    held: int
    skipped: int


def counted_by_running(files: Sequence[str], environment: Mapping[str, str]) -> Counts:
    """Run tests, tell what failed, and count."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "junit.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-rfEs", "-n", "2", f"--junitxml={report}"]
        command += [f"--basetemp={Path(folder, 'tests')}"]
        subprocess.run([*command, *(f"tests/{file}" for file in files)], cwd=ROOT, env=environment, check=False)
        return counted_in([report], files)


def counted_in(reports: Sequence[Path], files: Sequence[str]) -> Counts:
    """Count the tests of some files in pytest's JUnit reports.

    A test that one run skipped and another ran has run; one that failed in any of them did not hold.
    """
    modules = [f"tests.{file.removesuffix('.py').replace('/', '.')}" for file in files]
    failed, held, skipped = set[tuple[str, str]](), set[tuple[str, str]](), set[tuple[str, str]]()
    for report in reports:
        for suite in junitparser.JUnitXml.fromfile(str(report)):
            for case in suite:
                # A file that cannot be imported has no class name; its name is the module's.
                module = case.classname or case.name
                if not any(f"{module}.".startswith(f"{each}.") for each in modules):
                    continue
                test = (module, case.name)
                if case.is_failure or case.is_error:
                    failed.add(test)
                elif case.is_skipped:
                    skipped.add(test)
                else:
                    held.add(test)
    held -= failed
    return Counts(len(held | failed), len(held), len(skipped - held - failed))


HEAD = ("| what is tried | tried | held | skipped here | at commit | by |", "|---|---|---|---|---|---|")


def count(
    page: Path,
    begin: str,
    kinds: Mapping[str, tuple[str, ...]],
    words: Sequence[str],
    counted: Callable[[Sequence[str]], Counts],
) -> None:
    """Count the rows whose names have one of the words, or all, and write each into its page's table at once."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    for kind, files in kinds.items():
        if words and not any(word in kind for word in words):
            continue
        counts = counted(files)
        names = ", ".join(f"`tests/{file}`" for file in files)
        row = f"| {kind} | {counts.tried} | {counts.held} | {counts.skipped} | {commit.stdout.strip()} | {names} |"
        known = {line.split(" | ")[0]: line for line in written(page, begin).splitlines()[len(HEAD) :]}
        known[f"| {kind}"] = row
        rows = [known[f"| {each}"] for each in kinds if f"| {each}" in known]
        put(page, begin, "\n".join([*HEAD, *rows]) + "\n")


def main(arguments: Sequence[str]) -> None:
    """Write the table of attacks into its page; with `operations` that of faults, with `s3` that of S3's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument(
        "--report", type=Path, action="append", default=[], help="a JUnit report of the whole suite"
    )
    given = parser.parse_args(arguments)
    operations, security = ROOT / "docs/operations.md", ROOT / "docs/security.md"
    if given.words == ["s3"]:
        put(operations, BEGIN.format(" s3"), s3_faults.table())
    elif given.report:
        counted = partial(counted_in, given.report)
        count(security, BEGIN.format(""), KINDS, given.words, counted)
        count(operations, BEGIN.format(" operations"), FAULTS, given.words, counted)
    elif given.words[:1] == ["operations"]:
        long = {**os.environ, "ENVPACK_ACCEPTANCE": "1"}
        counted = partial(counted_by_running, environment=long)
        count(operations, BEGIN.format(" operations"), FAULTS, given.words[1:], counted)
    else:
        count(security, BEGIN.format(""), KINDS, given.words, partial(counted_by_running, environment=os.environ))


def written(page: Path, begin: str) -> str:
    """Return what stands between two marks of a page."""
    return page.read_text("utf-8").partition(begin)[2].partition(END)[0]


def put(page: Path, begin: str, made: str) -> None:
    """Write between two marks of a page."""
    before, _, rest = page.read_text("utf-8").partition(begin)
    page.write_text(before + begin + made + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
