"""The main commands where what macOS lacks is taken away: calls that only Linux has, /proc, the cage, qemu."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import macos
from tests.support.channel import Channel
from tests.support.command import Desk, desk_at

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(sys.platform != "linux", reason="a macOS needs nothing taken away"),
]

PROGRAMS = ("sh", "env", "git", "tar", "gzip")
"""What is on PATH."""


@pytest.fixture
def mac(tmp_path: Path, channel: Channel) -> Desk:
    """A desk on such a machine, with a cache that nothing has filled."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).symlink_to(str(shutil.which(name)))
    desk = desk_at(tmp_path / "a desk", channel, tmp_path / "cache")
    like = {"PYTHONPATH": str(Path(*macos.__path__)), "PATH": str(programs)}
    return replace(desk, environment={**desk.environment, **like})


def test_an_environment_is_built_published_and_found_again(mac: Desk, tmp_path: Path) -> None:
    mac.write("r.txt", "greeter")
    built = mac.build("r.txt")
    assert "not run: made for" in " ".join(built["notes"])
    assert mac.build("r.txt")["digest"] == built["digest"]
    assert built["digest"][:16] in mac.run("list").out
    verified = mac.run("verify", "r")
    assert (verified.code, "is sound" in verified.out + verified.err) == (0, True)
    assert "pyspark.python" in mac.run("settings", "r").out
    there = tmp_path / "there"
    assert mac.run("pull", "r", str(there)).code == 0
    assert (there / "bin/python").exists()


def test_doctor_says_what_this_machine_cannot_confine(mac: Desk) -> None:
    ran = mac.run("doctor")
    assert ran.code == 0, ran.out + ran.err
    assert "on Darwin" in ran.out
    assert "packaged code is not confined" in ran.out


def test_the_archive_is_that_of_linux(mac: Desk, desk: Desk) -> None:
    for each in (mac, desk):
        each.write("r.txt", "greeter")
    assert mac.build("r.txt")["digest"] == desk.build("r.txt")["digest"]
