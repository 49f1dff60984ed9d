"""Whether a line applies is decided once, for the target, whoever carries the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from envpack.config.target import Target
from envpack.errors import Unsatisfiable
from envpack.files.cache import Cache
from envpack.lock.lock import Lock
from envpack.requirements import markers, read
from envpack.resolve.request import Limit, Request
from envpack.resolve.solve import Resolved, resolve
from tests.support.small_channel import write_channel
from tests.support.wheels import write_wheel

PACKAGES = {
    "compat 2.2": ["python"],
    "compat 3.0": ["python"],
    "old-only 1.0": ["python >=3.10,<3.12"],
    "prer 1.0": ["python"],
    "prer 2.0rc1": ["python"],
    "user 1.0": ["python", "compat"],
}

Solve = Callable[..., Resolved]


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_channel(tmp_path_factory.mktemp("markers") / "channel", PACKAGES)


@pytest.fixture
def solve(tmp_path: Path, channel: Path) -> Solve:
    def run(*lines: str, constraints: tuple[str, ...] = (), **changes: object) -> Resolved:
        (tmp_path / "constraints.txt").write_text("".join(f"{line}\n" for line in constraints), "utf-8")
        file = tmp_path / "requirements.txt"
        head = ["--no-index", f"--find-links {tmp_path}", *(["-c constraints.txt"] if constraints else [])]
        file.write_text("\n".join([*head, *lines, ""]), "utf-8")
        given: dict[str, object] = {"target": Target(), "channels": (str(channel),), **changes}
        cache = Cache(tmp_path / "cache")
        with cache.scratch() as scratch:
            request = Request(requirements=read(file), **given)  # type: ignore[arg-type] # a test's own values
            return resolve(request, cache=cache, scratch=scratch)

    return run


def versions(lock: Lock) -> dict[str, str]:
    return {**{p.name: p.version for p in lock.packages}, **{w.name: w.version for w in lock.wheels}}


@pytest.mark.parametrize(
    ("marker", "applies"),
    [
        ('sys_platform == "linux"', True),
        ('sys_platform == "win32"', False),
        ('os_name == "nt"', False),
        ('platform_system != "Windows"', True),
        ('platform_machine == "aarch64"', False),
        ('implementation_name == "pypy"', False),
        ('platform_python_implementation == "CPython"', True),
        ('platform_release >= "5.0"', False),
        ('platform_version == "1"', False),
        ('extra == "x"', False),
        ('"x" in extras', False),
        ('"g" in dependency_groups', False),
        ('extra == "x" or sys_platform == "linux"', True),
        ('python_version >= "3.11"', True),
        ('python_full_version < "3.11.7"', False),
        ('sys_platform == "win32" and python_version < "3.8"', False),
    ],
)
def test_a_marker_is_held_against_the_target(marker: str, applies: bool, tmp_path: Path) -> None:
    file = tmp_path / "r.txt"
    file.write_text(f"six ; {marker}\n", "utf-8")
    (line,) = read(file).pypi
    assert markers.applies(line, Target().marker_environment("3.11.7")) is applies


def test_lines_for_other_platforms_are_left_to_them_by_channels_and_indexes_alike(
    solve: Solve, tmp_path: Path
) -> None:
    write_wheel(tmp_path, "wheeled", "1")
    write_wheel(tmp_path, "wheeled", "2")
    for name, (old, new) in {"compat": ("2.2", "3.0"), "wheeled": ("1", "2")}.items():
        for other in ('sys_platform == "win32"', 'platform_release >= "5"', 'extra == "x"', 'os_name == "nt"'):
            lock = solve(f"{name}=={old}; {other}", "prer").lock
            assert name not in versions(lock)
            assert lock.requested == ("prer",)
        lines = (f'{name}=={new}; sys_platform == "linux"', f'{name}=={old}; sys_platform == "darwin"')
        assert versions(solve(*lines).lock)[name] == new


def test_the_targets_machine_decides_not_this_one(solve: Solve) -> None:
    lines = ('compat==2.2; platform_machine == "aarch64"', 'compat==3.0; platform_machine == "x86_64"')
    for platform, version in (("linux-64", "3.0"), ("linux-aarch64", "2.2")):
        assert versions(solve(*lines, target=Target(platform=platform)).lock)["compat"] == version


def test_constraints_apply_where_their_markers_do(solve: Solve, tmp_path: Path) -> None:
    write_wheel(tmp_path, "wheeled", "1")
    write_wheel(tmp_path, "wheeled", "2")
    constraints = (
        'compat<3; sys_platform == "win32"',
        'wheeled<2; sys_platform == "win32"',
        'prer<1; python_version < "3"',
    )
    found = versions(solve("compat", "wheeled", "prer", constraints=constraints).lock)
    assert found.items() >= {("compat", "3.0"), ("wheeled", "2"), ("prer", "1.0")}
    here = tuple(line.replace("win32", "linux") for line in constraints[:2])
    found = versions(solve("compat", "wheeled", constraints=here).lock)
    assert (found["compat"], found["wheeled"]) == ("2.2", "1")
    assert versions(solve("user", constraints=here).lock)["compat"] == "2.2"


def test_a_constraint_that_no_version_fits_is_not_passed_over(solve: Solve) -> None:
    with pytest.raises(Unsatisfiable):
        solve("user", constraints=("compat>=9",))


def test_a_marker_about_python_is_answered_by_the_python_that_is_chosen(solve: Solve) -> None:
    lines = ('compat==2.2; python_version < "3.12"', 'compat==3.0; python_version >= "3.12"')
    for python, version in (("3.11", "2.2"), ("3.13", "3.0"), (None, "3.0")):
        assert versions(solve(*lines, python=python).lock)["compat"] == version
    assert versions(solve(*lines, "old-only").lock).items() >= {("compat", "2.2"), ("python", "3.11.9")}


def test_lines_that_all_bear_a_marker_choose_a_python_they_can_be_had_with(solve: Solve) -> None:
    # As exported files have it: no line without a marker tells which Python is fit.
    lines = ('old-only==1.0; python_version >= "3.8" and python_version < "4.0"',)
    assert versions(solve(*lines).lock)["python"] == "3.11.9"
    lines = ('old-only==1.0; python_version != "3.12"',)
    assert versions(solve(*lines).lock)["python"] in ("3.12.9", "3.11.9", "3.10.9")
    limit = Limit(bounds={"python": "<3.11"}, reason="old")
    assert versions(solve(*lines, limits=(limit,)).lock)["python"] == "3.10.9"


def test_a_line_about_the_kernel_is_told_as_unknown(solve: Solve) -> None:
    notes = solve('compat; platform_release >= "5"', "prer").notes
    assert any("requirements.txt:3: the kernel of the nodes is not known; compat is left out" in n for n in notes)


def test_pre_releases_come_only_where_pip_takes_them(solve: Solve, tmp_path: Path) -> None:
    assert versions(solve("prer>=1.0").lock)["prer"] == "1.0"
    assert versions(solve("prer").lock)["prer"] == "1.0"
    assert versions(solve("prer>=2.0rc1").lock)["prer"] == "2.0rc1"
    assert versions(solve("prer>1.0").lock)["prer"] == "2.0rc1"  # nothing else fits
    assert versions(solve("prer>=1.0rc1", constraints=("prer<3",)).lock)["prer"] == "2.0rc1"
    assert versions(solve("prer>=0.1", "prer<3,!=0.2").lock)["prer"] == "1.0"


def test_the_versions_at_hand_are_those_of_the_first_channel_that_has_the_project(
    solve: Solve, tmp_path: Path
) -> None:
    first = write_channel(tmp_path / "first", {"layered 1.0": ["python"], "layered 2.0rc1": ["python"]})
    second = write_channel(tmp_path / "second", {"layered 3.0": ["python"]})
    write_wheel(tmp_path, "layered", "3.5")
    channels = (str(first), str(second))
    assert versions(solve("layered", channels=channels).lock)["layered"] == "1.0"
    assert versions(solve("layered>=1.0.1", channels=channels).lock)["layered"] == "2.0rc1"
    resolved = solve("layered>=3", channels=channels)
    assert versions(resolved.lock)["layered"] == "3.5"
    assert "layered: conda carries 1.0, 2.0rc1, none fits >=3; taken from PyPI" in resolved.notes
    assert versions(solve("layered>=3", channels=channels[::-1]).lock)["layered"] == "3.0"


def test_no_line_is_left_out_to_get_an_answer(solve: Solve) -> None:
    # On Python 3.10 the line would not apply, and an environment without it could be had.
    with pytest.raises(Unsatisfiable) as caught:
        solve('user==1.0; python_version >= "3.11"', "compat<1")
    assert "requirements.txt:4: " in str(caught.value)
    found = versions(solve('old-only<2; python_version >= "3.12"', 'old-only; python_version < "3.12"').lock)
    assert (found["old-only"], found["python"]) == ("1.0", "3.11.9")
