"""The distribution: its name, what it says of itself, and that no page tells anyone to install somebody else's."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from envpack.doctor import machine
from envpack.doctor.machine import DISTRIBUTION
from tests.support.wheels import write_wheel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

PINNED = re.compile(r"(?<![\w-])envpack\s*(?:==|>=|~=|@ )")


def files() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return [path for path in ROOT.glob("**/*") if path.suffix in {".md", ".yml", ".yaml", ".toml", ".py"}]
    return [ROOT / line for line in listed.splitlines()]


def wrong(text: str) -> list[str]:
    """Return the lines that install the project `envpack`, which is not ours."""
    found = []
    for line in text.splitlines():
        words = re.findall(r"[^\s\"'`]+", line)
        installs = any(a in ("install", "uvx", "pipx", "add") for a in words)
        if PINNED.search(line) or (installs and re.search(r"\b(?:pip3?|pipx|uvx?)\b", line) and "envpack" in words):
            after = words[words.index("envpack") - 1] if "envpack" in words else ""
            if PINNED.search(line) or after in ("install", "uvx", "pipx", "add", "-U", "--upgrade"):
                found.append(line)
    return found


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("pip install envpack", True),
        ("- run: pip install envpack", True),
        ('script: ["pip install envpack", "x"]', True),
        ("uv pip install envpack==1.0", True),
        ("such as envpack==1.0", True),
        ("uvx envpack build", True),
        ("pipx install envpack", True),
        ("pip install envpack-spark==0.1.0", False),
        ("uvx --from envpack-spark envpack build", False),
        ("pip install . && envpack build", False),
    ],
)
def test_the_old_form_is_recognised(line: str, bad: bool) -> None:
    assert bool(wrong(line)) is bad


def test_no_file_tells_anyone_to_install_the_other_project() -> None:
    found = []
    for path in files():
        if path == Path(__file__) or not path.is_file() or path.stat().st_size > 1_000_000:
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {line.strip()}" for line in wrong(text)]
    allowed = ("pip uninstall envpack",)
    assert [each for each in found if not any(word in each for word in allowed)] == []


def test_the_project_has_its_own_name_and_the_command_and_the_import_keep_theirs() -> None:
    assert PROJECT["name"] == DISTRIBUTION == "envpack-spark"
    assert PROJECT["scripts"] == {"envpack": "envpack.cli:main"}
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
    assert PROJECT["license"] == "Apache-2.0"


def test_doctor_says_when_another_projects_package_of_the_same_name_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(machine._name()) == []
    write_wheel(tmp_path, "envpack", "9.9")
    site = tmp_path / "site"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    (finding,) = machine._name()
    assert (finding.level, "another project called envpack (9.9)" in finding.text) == ("problem", True)
    assert "pip uninstall envpack" in str(finding.hint)


def test_no_file_has_the_marks_of_a_merge() -> None:
    marks = ("<" * 7 + " ", ">" * 7 + " ")
    for path in files():
        if path.suffix in {".md", ".py", ".toml", ".json", ".yml", ".yaml", ".css", ".js", ".html"}:
            lines = path.read_text("utf-8").splitlines()
            assert not any(line.startswith(marks) for line in lines), path
