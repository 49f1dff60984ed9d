"""A request that cannot be fulfilled: whose line, what there is instead, and what would help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from envpack.config.target import Target
from envpack.errors import Unsatisfiable
from envpack.files.cache import Cache
from envpack.requirements import read
from envpack.resolve import solver_text
from envpack.resolve.request import Limit, Request
from envpack.resolve.solve import resolve
from tests.support.small_channel import write_channel
from tests.support.wheels import write_wheel

PACKAGES = {
    "package 1.5": ["python"],
    "package 1.7": ["python"],
    "package 1.8": ["python"],
    "base-lib 1.0": [],
    "base-lib 2.0": [],
    "left 1.0": ["base-lib <2"],
    "right 1.0": ["base-lib >=2"],
    "right 0.9": ["base-lib >=1"],
    "for-old 1.0": ["python >=3.10,<3.12"],
}

Fail = Callable[..., Unsatisfiable]


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_channel(tmp_path_factory.mktemp("explained") / "channel", PACKAGES)


@pytest.fixture
def fail(tmp_path: Path, channel: Path) -> Fail:
    """Solve what cannot be solved and return the error."""

    def run(*lines: str, suffix: str = ".txt", **changes: object) -> Unsatisfiable:
        file = tmp_path / f"requirements{suffix}"
        head = ["--no-index", f"--find-links {tmp_path}"] if suffix == ".txt" else ["dependencies:"]
        file.write_text("\n".join([*head, *lines, ""]), "utf-8")
        given: dict[str, object] = {"target": Target(), "channels": (str(channel),), **changes}
        cache = Cache(tmp_path / "cache")
        request = Request(requirements=read(file), **given)  # type: ignore[arg-type] # a test's own values
        with cache.scratch() as scratch, pytest.raises(Unsatisfiable) as caught:
            resolve(request, cache=cache, scratch=scratch)
        return caught.value

    return run


def test_a_project_that_channels_have_in_other_versions_is_not_called_unknown(fail: Fail) -> None:
    error = fail("package>1.7,<1.8")
    assert "requirements.txt:3: no version of package fits" in error.message
    assert "the channels carry 1.5, 1.7, 1.8" in error.message
    assert "no channel" not in f"{error.message}{error.hint}"
    assert "loosen" in str(error.hint)
    assert "requirements.txt:3" in str(error.hint)


def test_an_environment_files_spec_that_no_version_fits_is_told_with_those_there_are(fail: Fail) -> None:
    error = fail("- package >1.7,<1.8", suffix=".yml")
    assert (
        "requirements.yml:2: no version fits package >1.7,<1.8: the channels carry 1.5, 1.7, 1.8" in error.message
    )


def test_a_project_that_an_index_has_in_other_versions_is_told_so(fail: Fail, tmp_path: Path) -> None:
    write_wheel(tmp_path, "wheeled", "1")
    write_wheel(tmp_path, "wheeled", "2")
    error = fail("wheeled>=3")
    assert (
        "requirements.txt:3: no version of wheeled fits >=3: the index has 2 as its newest wheel" in error.message
    )


def test_a_project_that_nobody_has_is_told_so(fail: Fail) -> None:
    error = fail("nobody-has-this==1")
    assert "requirements.txt:3: no channel and no index has nobody-has-this" in error.message


def test_wheels_for_another_python_are_not_called_unusable(fail: Fail, tmp_path: Path) -> None:
    for tag in ("cp312-cp312", "cp313-cp313"):
        write_wheel(tmp_path, "native", "2.5", tag=f"{tag}-manylinux_2_17_x86_64")
    write_wheel(tmp_path, "native", "2.4", tag="cp311-cp311-manylinux_2_17_x86_64")
    error = fail("native>=2.5", python="3.11")
    assert "requirements.txt:3: native>=2.5 is not for Python 3.11" in error.message
    assert "for Python 3.12, 3.13" in error.message
    assert "--python 3.12" in str(error.hint)


def test_wheels_for_a_newer_glibc_are_told_as_such(fail: Fail, tmp_path: Path) -> None:
    write_wheel(tmp_path, "native", "1", tag="cp311-cp311-manylinux_2_35_x86_64")
    error = fail("native", python="3.11")
    assert "needs a newer glibc than 2.28" in error.message
    assert "--glibc" in str(error.hint)


def test_lines_that_exclude_each_other_come_first_and_no_others(fail: Fail) -> None:
    error = fail("- package", "- left", "- base-lib >=2", suffix=".yml")
    first, *lines = error.message.splitlines()
    assert "no set of packages" in first
    assert lines[:2] == [line for line in lines if line.endswith((":3: left", ":4: base-lib >=2"))]
    assert not any(": package" in line for line in lines)
    assert "requirements.yml:4 (base-lib >=2)" in str(error.hint)
    assert "requirements.yml:3" not in str(error.hint)


def test_the_line_to_loosen_is_one_that_helps(fail: Fail) -> None:
    error = fail("- left", "- right >=1", suffix=".yml")
    assert "loosen" in str(error.hint)
    assert "requirements.yml:3 (right >=1)" in str(error.hint)
    assert ":2" not in str(error.hint)


def test_a_constraint_that_takes_part_is_named_with_its_file(fail: Fail, tmp_path: Path) -> None:
    (tmp_path / "limits.txt").write_text("# ours\nbase-lib<2\n", "utf-8")
    error = fail("-c limits.txt", "right>=1", from_conda=frozenset({"base-lib", "right"}))
    assert "limits.txt:2: base-lib<2" in error.message
    assert "requirements.txt:4: right>=1" in error.message


def test_a_python_that_no_line_is_for_is_told_as_the_reason(fail: Fail) -> None:
    error = fail("for-old", python="3.13")
    assert "requirements.txt:3: for-old" in error.message
    assert "--python" in str(error.hint)


def test_nothing_is_said_twice(fail: Fail) -> None:
    limit = Limit(bounds={"python": "<4,>=3.12"}, reason="Spark needs it")
    for given in ({"python": "3.13"}, {"limits": (limit,)}):
        error = fail("for-old", **given)
        lines = error.message.splitlines()
        assert len(lines) == len(set(lines))
        assert "requirements.txt:3: for-old" in lines[1]
    assert error.hint == "Spark needs it"


def test_rattlers_tree_becomes_a_list_with_each_thing_once() -> None:
    text = """Cannot solve the request because of: The following packages are incompatible
├─ a * can be installed with any of the following options:
│  └─ a 1 | 2
├─ b * cannot be installed because there are no viable options:
│  ├─ b 1 would require
│  │  └─ python >=3.8, which cannot be installed because there are no viable options:
│  │     ├─ python 3.8.1, which conflicts with the versions reported above.
│  │     ├─ python 3.8.2, which conflicts with the versions reported above.
│  │     └─ python 3.8.2, which conflicts with the versions reported above.
│  └─ b 1 would require
│     └─ python >=3.8, which cannot be installed because there are no viable options:
│        └─ python 3.8.1 | 3.8.2, which conflicts with the versions reported above.
├─ the constraint python <3 cannot be fulfilled
├─ the constraint python <3 cannot be fulfilled
└─ the constraint python <3 cannot be fulfilled"""
    assert solver_text.of_rattler(text).splitlines() == [
        "The following packages are incompatible",
        "  a * can be installed with any of the following options:",
        "    a 1 | 2",
        "  b * cannot be installed because there are no viable options:",
        "    b 1 would require",
        "      python >=3.8, which cannot be installed because there are no viable options:",
        "        python 3.8.1 | 3.8.2, which conflicts with the versions reported above.",
        "  the constraint python <3 cannot be fulfilled",
    ]


def test_hints_about_options_of_uv_are_not_passed_on() -> None:
    text = (
        "error: No solution found when resolving dependencies\n  cause: Because a was not found and you require a."
        "\n\n"
        "hint: `a` was found on another index (try: `--index-strategy unsafe-best-match`)\n\nhint: Only for `win32`"
    )
    assert solver_text.of_uv(text) == "Because a was not found and you require a.\nOnly for `win32`"


def test_a_project_that_must_come_from_conda_is_told_with_what_channels_have(fail: Fail) -> None:
    error = fail("package>=9", from_conda=frozenset({"package"}))
    assert "requirements.txt:3: no version of package fits >=9: the channels carry 1.5, 1.7, 1.8" in error.message
    assert "--from-conda" in str(error.hint)


def test_a_hash_that_no_wheel_has_is_told_with_its_line(fail: Fail, tmp_path: Path) -> None:
    write_wheel(tmp_path, "wheeled", "1")
    error = fail(f"wheeled==1 --hash=sha256:{'0' * 64}")
    assert "requirements.txt:3: no wheel of wheeled" in error.message
