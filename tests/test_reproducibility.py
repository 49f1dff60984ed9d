from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from envpack import digest
from tests.support.archives import first_difference
from tests.support.cache import shared
from tests.support.channel import Channel
from tests.support.command import Desk, desk_at
from tests.support.missing import missing
from tests.support.wheels import write_wheel


@dataclass(frozen=True, kw_only=True)
class Variation:
    """One thing that differs from the first build."""

    home: str = "a desk"
    cold_cache: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    """A command that runs envpack in another way."""
    umask: int = 0o022
    one_core: bool = False
    archive_format: str = "tar.gz"
    whole_python: bool = False
    """The same is built with every module of Python, for which there is a first build of its own."""
    alone: bool = True
    """One of many, so that a difference is known by its reason; it is slow to try them one by one."""


ANOTHER_DAY = {"FAKETIME": "+400d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
ANOTHER_PLACE = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "LANG": "C", "PYTHONHASHSEED": "12345"}
SOMEONE = {"USER": "someone", "LOGNAME": "someone", "HOME": "/nonexistent"}
FAR_AWAY = "elsewhere/with some spaces and a much longer name than before" + "-" * 60

VARIATIONS = {
    "all but the user": Variation(
        home=FAR_AWAY,
        cold_cache=True,
        variables={**ANOTHER_PLACE, **ANOTHER_DAY},
        umask=0o077,
        one_core=True,
        alone=False,
    ),
    "all but the user, as a zip": Variation(
        home=FAR_AWAY, variables=ANOTHER_PLACE, umask=0o077, one_core=True, archive_format="zip"
    ),
    "directory": Variation(home=FAR_AWAY),
    "cache": Variation(cold_cache=True, archive_format="zip"),
    "user": Variation(
        before=("unshare", "--user", "--map-user=1234", "--map-group=1234"),
        variables=SOMEONE,
    ),
    "umask": Variation(umask=0o077, cold_cache=True, archive_format="zip"),
    "time zone": Variation(variables={"TZ": "Asia/Kathmandu"}),
    "hash seed": Variation(variables={"PYTHONHASHSEED": "12345"}, archive_format="zip"),
    "number of cores": Variation(one_core=True),
    "language": Variation(variables={"LC_ALL": "C", "LANG": "C"}, archive_format="zip"),
    "day": Variation(variables=ANOTHER_DAY, cold_cache=True),
    "day, a whole Python": Variation(variables=ANOTHER_DAY, cold_cache=True, whole_python=True),
}


def build(directory: Path, channel: Channel, cache: Path, variation: Variation) -> Path:
    """Build the same environment in the way that the variation says, and return its archive."""
    desk = desk_at(directory / variation.home, channel, directory / "cold" if variation.cold_cache else cache)
    write_wheel(
        desk.home, "party", "1", requires=["greeter"], scripts={"party": "party:main"}, files={"party.py": SOURCE}
    )
    desk.write("r.yml", *REQUIREMENTS)
    command = [*variation.before, *desk.command("build", "r.yml", "--format", variation.archive_format)]
    done = subprocess.run(
        command,
        cwd=desk.home,
        env={**desk.environment, **variation.variables, **faked_time(variation)},
        preexec_fn=lambda: prepare(variation),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (archive,) = desk.store.glob(f"*/*/*.{variation.archive_format}")
    return archive


REQUIREMENTS = (
    "dependencies:",
    "- greeter",
    "- placed",
    "- linked",
    "- activated",
    "- pip: ['--no-index', '--find-links .', party]",
    "variables: {GREETING: hello}",
)
SOURCE = """
WORDS = {"a", "b", "c"}

def main(word: str = "x", *, flag: bool = False) -> bool:
    return word in {"d", "e"}
"""


def faked_time(variation: Variation) -> dict[str, str]:
    if "FAKETIME" not in variation.variables:
        return {}
    package = importlib.util.find_spec("libfaketime")
    assert package is not None
    assert package.origin is not None
    return {"LD_PRELOAD": str(Path(package.origin).parent / "vendor/libfaketime/src/libfaketime.so.1")}


def prepare(variation: Variation) -> None:
    os.umask(variation.umask)
    if variation.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.acceptance] if variation.alone and not variation.before else [])
        for name, variation in VARIATIONS.items()
    ],
)
def test_the_archive_is_the_same_byte_for_byte_from_another(
    name: str, desk: Desk, full_channel: Channel, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    variation = VARIATIONS[name]
    if "FAKETIME" in variation.variables and platform.machine() != "x86_64":
        pytest.skip("libfaketime's wheel is for x86_64 only")
    if variation.before and subprocess.run([*variation.before, "true"], check=False).returncode:
        missing("this machine lets nobody become another user: `unshare --user` is refused")
    used = full_channel if variation.whole_python else desk.channel
    first = Variation(archive_format=variation.archive_format)

    def build_first(home: Path) -> None:
        build(home, used, home / "cache", first)

    made = shared(tmp_path_factory, f"reference of {used.path.name} as {first.archive_format}", build_first)
    (expected,) = made.glob(f"a desk/a store/*/*/*.{first.archive_format}")
    archive = build(tmp_path / "again", used, desk.cache, variation)
    difference = first_difference(expected, archive)
    assert difference is None, difference
    assert archive.name == expected.name
    assert said(archive.parent) == said(expected.parent)


def said(release: Path) -> dict[str, Any]:
    """Return what lies beside an archive and says how it was built, without who did it, where and when."""
    there: dict[str, Any] = {path.name: path.read_bytes() for path in release.iterdir() if "tar" not in path.name}
    there |= {path.name: path.read_bytes() for path in (release.parent / "builds").iterdir()}
    for name, data in there.items():
        if name.endswith(".json") and isinstance(data, bytes):
            value = json.loads(data)
            there[name] = {key: value[key] for key in value if key not in {"created", "provenance"}}
    home = release.parent.parent.parent.as_uri().encode()  # a wheel in a local folder is locked where it lies
    there["r.lock"] = (release / "r.lock").read_bytes().replace(home, b"file:///home")
    assert there["manifest.json"]["beside"].pop("r.lock") == digest.of_file(release / "r.lock")
    assert {"files.json.gz", "manifest.json", "pieces.json", "sbom.cdx.json", "r.lock"} <= there.keys()
    assert "verification.json.gz" in there
    return there
