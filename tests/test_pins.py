"""What `make` installs is the same on every machine and every day."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from uv import find_uv_bin

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
GROUPS: dict[str, list[str]] = {
    "project": PROJECT["project"]["dependencies"],
    "build system": PROJECT["build-system"]["requires"],
    **PROJECT["dependency-groups"],
}
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def pinned(name: str, python: str) -> list[Requirement]:
    """Return the pins of a project that hold for a Python on 64-bit Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }
    return [
        pin
        for pin in PINS
        if canonicalize_name(pin.name) == canonicalize_name(name)
        and (pin.marker is None or pin.marker.evaluate({**environment}))
    ]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("group", GROUPS)
def test_every_dependency_has_one_pin_that_its_range_admits(group: str, python: str) -> None:
    for wanted in map(Requirement, GROUPS[group]):
        if wanted.marker and not wanted.marker.evaluate(
            {"python_version": python, "sys_platform": "linux", "platform_machine": "x86_64"}
        ):
            continue
        (pin,) = pinned(wanted.name, python)
        (exact,) = pin.specifier
        assert exact.operator == "==", pin
        assert exact.version in wanted.specifier, f"{pin} is not {wanted}; `make pins` renews the pins"


@pytest.mark.acceptance
@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_can_have_all_that_is_pinned(python: str) -> None:
    groups = [word for name in PROJECT["dependency-groups"] for word in ("--group", name)]
    arguments = ["--python-version", python, "--constraint", "constraints.txt", "--no-emit-index-url", "--quiet"]
    command = [find_uv_bin(), "pip", "compile", *arguments, *groups, "pyproject.toml"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_pins_name_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text("utf-8")
    assert not re.search(r"://|^\s*-|@", text, re.MULTILINE)


def test_what_builds_envpack_is_the_same_for_make_and_for_pip() -> None:
    assert set(PROJECT["build-system"]["requires"]) <= set(GROUPS["build"])


def test_an_upper_bound_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    section = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert section
    bounded = [line for line in section[1].splitlines() if "<" in line.partition(";")[0].partition("#")[0]]
    assert bounded
    assert [line for line in bounded if "#" not in line] == []
