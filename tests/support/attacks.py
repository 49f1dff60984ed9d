"""Count what was tried against envpack and what held, and write the table into docs/security.md, with the commit.

`python -m tests.support.attacks` runs the tests that attack; it takes about five minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import junitparser

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/security.md"
BEGIN, END = "<!-- made by `python -m tests.support.attacks` -->\n", "<!-- end of what it made -->\n"

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
"""What an attack or a fault is after, and the quick tests that try it."""


def counted(files: tuple[str, ...]) -> tuple[int, int, int]:
    """Run tests; return how many were tried, held and skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "junit.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junitxml={report}"]
        subprocess.run([*command, *(f"tests/{file}" for file in files)], cwd=ROOT, check=False, capture_output=True)
        suites = junitparser.JUnitXml.fromfile(str(report))
        failed, tried, skipped = suites.failures + suites.errors, suites.tests, suites.skipped
    return tried - skipped, tried - skipped - failed, skipped


def table() -> str:
    """Return the counts as Markdown."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    rows = []
    for kind, files in KINDS.items():
        tried, held, skipped = counted(files)
        names = ", ".join(f"`tests/{file}`" for file in files)
        rows.append(f"| {kind} | {tried} | {held} | {skipped} | {names} |")
    head = ["| what is tried | tried | held | skipped here | by |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, "", f"Counted at commit {commit.stdout.strip()}."]) + "\n"


def main() -> None:
    """Write the table into the page."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
