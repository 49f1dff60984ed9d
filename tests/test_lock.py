from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rattler import LockFile

from envpack.config.target import Target
from envpack.errors import BadRequirements
from envpack.lock.file import dump, parse
from envpack.lock.lock import CondaPackage, Lock, Wheel
from envpack.requirements.names import CondaName, ProjectName

PYTHON = CondaPackage(
    name=CondaName("python"),
    version="3.10",
    build="12e3",
    build_number=0,
    subdir="linux-64",
    url="https://example.com/channel/linux-64/python-3.10-12e3.conda",
    sha256="1" * 64,
    size=100,
    depends=("__glibc >=2.17",),
    license="PSF-2.0",
)
SIX = Wheel(
    name=ProjectName("six"),
    version="1.10",
    url="https://example.com/six-1.10-py2.py3-none-any.whl",
    sha256="2" * 64,
    size=11,
)
LOCK = Lock(
    target=Target(glibc="2.17", spark="3.5"),
    channels=("https://example.com/channel",),
    indexes=("https://example.com/simple",),
    packages=(PYTHON,),
    wheels=(SIX,),
    requested=(ProjectName("six"),),
    variables={"A": "1"},
    request="r",
)


def test_a_lock_survives_being_written_and_read() -> None:
    assert parse(dump(LOCK), "x.lock") == LOCK


def test_rattler_reads_every_package_of_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    path.write_text(dump(LOCK), "utf-8")
    environment = LockFile.from_path(path).default_environment()
    assert environment is not None
    (packages,) = environment.packages_by_platform().values()
    assert {package.name for package in packages} == {"python", "six"}
    (record,) = environment.conda_repodata_records()["linux-64"]
    assert (str(record.version), str(record.build), record.sha256) == ("3.10", "12e3", bytes.fromhex("1" * 64))


def test_the_python_of_a_lock_is_known() -> None:
    assert (LOCK.python, replace(LOCK, packages=(replace(PYTHON, version="3.11.7"),)).python_minor) == (
        "3.10",
        "3.11",
    )


def test_the_identity_does_not_depend_on_where_a_local_channel_lies() -> None:
    def lying_in(directory: str) -> Lock:
        moved = replace(PYTHON, url=f"file://{directory}/channel/linux-64/python.conda")
        return replace(LOCK, channels=(f"file://{directory}/channel",), packages=(moved,))

    assert lying_in("/home/a").identity() == lying_in("/home/b").identity()


@pytest.mark.parametrize(
    "change",
    [
        {"wheels": (replace(SIX, sha256="3" * 64),)},
        {"packages": (replace(PYTHON, url="https://example.com/other/linux-64/python-3.10-12e3.conda"),)},
        {"target": Target(glibc="2.28")},
        {"variables": {"A": "2"}},
        {"requested": ("six", "python")},
    ],
)
def test_the_identity_changes_with_all_that_can_change_the_archive(change: dict[str, object]) -> None:
    assert replace(LOCK, **change).identity() != LOCK.identity()  # type: ignore[arg-type] # each change is typed above


@pytest.mark.parametrize("text", ["", "a: [", "version: 99\n", "version: 6\npackages: []\n", "- 1\n"])
def test_what_is_no_lock_of_ours_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadRequirements, match=r"x\.lock: envpack did not write this lock"):
        parse(text, "x.lock")


def test_a_lock_of_the_format_before_is_read() -> None:
    document = yaml.safe_load(dump(LOCK))
    del document["platforms"]
    document |= {"version": 6, "envpack": {**document["envpack"], "requested": ["six"]}}
    assert parse(yaml.safe_dump(document), "x.lock") == LOCK


def test_a_lock_keeps_both_kinds_of_names_apart() -> None:
    asked = (CondaName("under_score"), ProjectName("under.score"))
    requested = parse(dump(replace(LOCK, requested=asked)), "x.lock").requested
    assert [(type(name), name) for name in requested] == [(ProjectName, "under-score"), (CondaName, "under_score")]
