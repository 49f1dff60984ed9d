"""What the cluster's Spark asks of an environment, and what a pyspark line in the requirements means."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import envpack
from envpack.config.target import Target
from envpack.errors import BadRequirements, UsageError
from envpack.requirements import read
from envpack.spark import compatibility
from envpack.spark.cluster import EXTRAS, Understood, understand
from envpack.spark.compatibility import ROWS, rows_of
from envpack.spark.versions import LINES, Minor, minor
from tests.support.command import Desk, Ran
from tests.support.small_channel import write_channel
from tests.support.wheels import write_wheel

LEFT_OUT = "pyspark is left out: the cluster's own is used (--with-pyspark keeps it)"

WHEELS = {
    "numpy": ("1.23.5", "1.26.4", "2.1.0"),
    "pandas": ("1.5.3", "2.3.3", "3.0.0"),
    "pyarrow": ("10.0.0", "25.0.0", "26.0.0"),
}

CONDA = {
    "numpy 1.26.4": ["python"],
    "numpy 2.1.0": ["python"],
    "pandas 2.3.3": ["python", "numpy"],
    "pandas 3.0.0": ["python", "numpy"],
    "pyarrow 25.0.0": ["python", "pyarrow-core 25.0.0"],
    "pyarrow 26.0.0": ["python", "pyarrow-core 26.0.0"],
    "pyarrow-core 25.0.0": ["python"],
    "pyarrow-core 26.0.0": ["python"],
    "setuptools 80.0.0": ["python"],
    "py4j 0.10.9.7": ["python"],
    "pyspark 3.5.6": ["python", "py4j", "numpy", "pandas", "pyarrow"],
    "pyspark 4.0.2": ["python", "py4j", "numpy", "pandas", "pyarrow"],
    "lake 1.0": ["python", "pyspark >=3.5.1,<3.6"],
}


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """A desk with a shelf of empty wheels: what Spark has to do with, in several versions."""
    shelf = desk.home / "shelf"
    shelf.mkdir()
    for name, versions in WHEELS.items():
        for version in versions:
            write_wheel(shelf, name, version)
    write_wheel(shelf, "setuptools", "80.0.0")
    write_channel(desk.home / "pythons", {})
    return desk


ANY_PYTHON = ("--channel", "./pythons", "--python", "3.11")
"""A Python that every Spark in these tests loads, whichever runs them."""


@pytest.fixture
def conda_desk(desk: Desk) -> Desk:
    """A desk whose channel has several Pythons, and Spark's companions, as empty packages."""
    write_channel(desk.home / "channel", CONDA)
    desk.write("envpack.yaml", "store: a store", "channels: [./channel]")
    return desk


def offline(*lines: str) -> list[str]:
    return ["--no-index", "--find-links ./shelf", *lines]


def lock(desk: Desk, *arguments: str, **variables: str) -> Ran:
    return desk.run("lock", *arguments, "--output", "json", **variables)


def locked(desk: Desk, *arguments: str, **variables: str) -> dict[str, str]:
    """Lock, which must succeed, and return the versions of what is in it."""
    ran = lock(desk, *arguments, **variables)
    assert ran.code == 0, ran.err
    return {package["name"]: package["version"] for package in ran.json()["packages"]}


def said(ran: Ran) -> str:
    """Return what was said besides the answer, which ended well."""
    assert ran.code == 0, ran.err
    return "\n".join(ran.json()["notes"])


def packages(found: dict[str, str], *names: str) -> tuple[str | None, ...]:
    return tuple(found.get(name) for name in names)


# the matrix


@pytest.mark.parametrize("spark", [line.version for line in LINES])
def test_every_spark_has_its_rows_each_with_a_source(spark: Minor) -> None:
    rows = list(rows_of(spark))
    assert {"pandas", "pyarrow"} <= {row.package for row in rows if row.specifier.startswith(">=")}
    assert all(row.source and row.breaks for row in rows)


def test_the_rows_of_one_spark_leave_a_version_of_every_package() -> None:
    some = {
        "numpy": ("1.23.5", "1.26.4", "2.1.0"),
        "pandas": ("1.5.3", "2.3.3"),
        "pyarrow": ("0.14.1", "18.0.0", "25.0.0"),
    }
    for line in LINES:
        for name, versions in some.items():
            bounds = [row.specifier for row in rows_of(line.version) if row.package == name]
            together = SpecifierSet(",".join(bounds))
            assert any(together.contains(version) for version in versions), (line.version, name)


def test_rows_and_extras_name_sparks_that_are_known() -> None:
    known = {line.version for line in LINES}
    assert {row.first for row in ROWS} | {row.last for row in ROWS if row.last} <= known
    assert {since for since, _, _ in EXTRAS} <= known
    for _, _, needs in EXTRAS:
        assert [str(Requirement(need)) for need in needs] == list(needs)


@pytest.mark.parametrize(
    ("spark", "versions", "said"),
    [
        ("3.3", {"pandas": "2.0.0"}, ["pandas 2.0.0 with Spark 3.3: createDataFrame"]),
        ("3.5", {"pandas": "2.3.3", "numpy": "2.1.0"}, ["numpy 2.1.0 with Spark 3.5: `import pyspark.pandas`"]),
        ("3.5", {"pyarrow-core": "3.0.0"}, ["pyarrow 3.0.0 with Spark 3.5: Spark refuses"]),
        ("4.0", {"pandas": "2.3.3", "numpy": "2.1.0", "pyarrow": "26.0.0"}, []),
    ],
)
def test_settings_for_another_spark_warn_of_what_breaks_with_it(
    spark: str, versions: dict[str, str], said: list[str]
) -> None:
    warnings = list(compatibility.warnings(minor(spark), (3, 10), versions))
    assert [warning[: len(start)] for warning, start in zip(warnings, said, strict=True)] == said


# the solve


@pytest.mark.parametrize(
    ("spark", "expected"),
    [
        ("3.4", ("1.26.4", "1.5.3", "25.0.0")),
        ("3.5", ("1.26.4", "2.3.3", "25.0.0")),
        ("4.0", ("2.1.0", "2.3.3", "26.0.0")),
        ("4.3", ("2.1.0", "2.3.3", "26.0.0")),
        ("5.9", ("2.1.0", "2.3.3", "26.0.0")),
        (None, ("2.1.0", "3.0.0", "26.0.0")),
    ],
)
def test_wheels_are_of_versions_that_the_spark_works_with(
    shop: Desk, spark: str | None, expected: tuple[str, ...]
) -> None:
    shop.write("r.txt", *offline("pandas", "pyarrow", "numpy"))
    given = ["--spark", spark, *ANY_PYTHON] if spark else []
    assert packages(locked(shop, "r.txt", *given), "numpy", "pandas", "pyarrow") == expected


def test_a_spark_that_is_newer_than_what_is_known_is_said(shop: Desk) -> None:
    shop.write("r.txt", *offline("pandas"))
    ran = lock(shop, "r.txt", "--spark", "5.9", *ANY_PYTHON)
    assert f"envpack does not know Spark 5.9 yet: it requires what Spark {LINES[-1].version[0]}." in said(ran)


@pytest.mark.parametrize(("name", "value"), [("--spark", "banana"), ("--spark", "2.0"), ("--spark", "3")])
def test_what_is_no_spark_is_refused_before_anything_is_read(desk: Desk, name: str, value: str) -> None:
    for command in ("lock", "build"):
        ran = desk.run(command, "there-is-no.txt", name, value)
        assert (ran.code, ran.out) == (2, "")
        assert value in ran.err or "older than 2.4" in ran.err


def test_the_python_is_the_newest_that_the_spark_declares(conda_desk: Desk) -> None:
    conda_desk.write("r.txt", "numpy")
    found = [locked(conda_desk, "r.txt", "--spark", spark)["python"] for spark in ("3.3", "3.5", "4.0")]
    assert found == ["3.10.9", "3.11.9", "3.13.9"]


def test_a_python_that_is_asked_for_may_be_any_that_the_spark_loads(conda_desk: Desk) -> None:
    conda_desk.write("r.txt", "greeter ==9 ; python_version < '3'")
    conda_desk.write("e.yml", "dependencies: [python=3.12]")
    assert locked(conda_desk, "r.txt", "--spark", "3.5", "--python", "3.12")["python"] == "3.12.9"
    assert locked(conda_desk, "e.yml", "--spark", "3.5")["python"] == "3.12.9"
    for arguments in (("r.txt", "--python", "3.12"), ("e.yml",)):
        ran = lock(conda_desk, *arguments, "--spark", "3.3")
        assert ran.code == 4
        assert "Spark 3.3 loads Python 3.6 to 3.10: on a newer one cloudpickle fails" in ran.err


def test_an_open_python_of_an_environment_file_is_one_that_the_spark_declares(conda_desk: Desk) -> None:
    conda_desk.write("e.yml", "dependencies: ['python >=3.10']")
    assert locked(conda_desk, "e.yml", "--spark", "3.5")["python"] == "3.11.9"


def test_conda_packages_are_bound_as_wheels_are(conda_desk: Desk) -> None:
    conda_desk.write("e.yml", "dependencies: [pandas, pyarrow]")
    found = locked(conda_desk, "e.yml", "--spark", "3.5")
    assert packages(found, "numpy", "pandas", "pyarrow-core") == ("1.26.4", "2.3.3", "25.0.0")
    assert packages(locked(conda_desk, "e.yml"), "numpy", "pandas") == ("2.1.0", "3.0.0")


def test_so_is_pyarrow_under_the_name_of_its_core(conda_desk: Desk) -> None:
    (conda_desk.home / "shelf").mkdir()
    write_wheel(conda_desk.home / "shelf", "lake", "2", requires=["pyarrow"])
    conda_desk.write("e.yml", "dependencies:", "- pyarrow-core", "- pip: [--no-index, -f ./shelf, lake]")
    assert packages(locked(conda_desk, "e.yml", "--spark", "3.5"), "pyarrow-core", "pyarrow") == ("25.0.0", None)


def test_what_a_channel_carries_in_other_versions_only_comes_from_pypi(conda_desk: Desk) -> None:
    shelf = conda_desk.home / "shelf"
    shelf.mkdir()
    write_wheel(shelf, "pandas", "1.5.3")
    conda_desk.write("r.txt", *offline("pandas"))
    ran = lock(conda_desk, "r.txt", "--spark", "3.4")
    assert "pandas: conda carries 2.3.3, 3.0.0, none fits" in said(ran)
    assert [p["source"] for p in ran.json()["packages"] if p["name"] == "pandas"] == ["pypi"]


def test_a_limit_that_cannot_be_kept_is_named_with_its_reason(shop: Desk) -> None:
    shop.write("r.txt", *offline("pandas <2", "numpy", "pyarrow"))
    ran = lock(shop, "r.txt", "--spark", "4.0", *ANY_PYTHON)
    assert ran.code == 4
    assert "Spark 4.0 needs pandas >=2.0.0: Spark refuses an older one" in ran.err
    assert ran.err.count("Spark 4.0") == 1


def test_so_is_one_of_a_conda_package_with_all_that_goes_with_it(conda_desk: Desk) -> None:
    conda_desk.write("e.yml", "dependencies: [pandas >=2]")
    ran = lock(conda_desk, "e.yml", "--spark", "3.3")
    assert ran.code == 4
    assert "Spark 3.3 needs pandas <2, and with it numpy <2 and pyarrow <26: createDataFrame" in ran.err


def test_a_limit_that_takes_no_part_is_not_named(shop: Desk) -> None:
    shop.write("r.txt", *offline("pandas", "nowhere-to-be-found"))
    ran = lock(shop, "r.txt", "--spark", "4.0", *ANY_PYTHON)
    assert ran.code == 4
    assert "nowhere-to-be-found" in ran.err
    assert "Spark" not in ran.err


slow = partial(pytest.param, marks=pytest.mark.acceptance)
"""Of one kind with others that are quick enough."""


@pytest.mark.parametrize(
    ("spark", "line", "expected", "warned"),
    [
        slow("3.5", "numpy >=2", ("2.1.0", "2.3.3", "26.0.0"), ["numpy 2.1.0"]),
        ("3.5", "pyarrow >=26", ("2.1.0", "2.3.3", "26.0.0"), ["numpy 2.1.0"]),
        slow("3.5", "pandas >=3", ("1.26.4", "3.0.0", "25.0.0"), ["pandas 3.0.0"]),
        ("4.0", "pandas >=3", ("2.1.0", "3.0.0", "26.0.0"), ["pandas 3.0.0"]),
        slow("3.4", "pandas >=2", ("1.26.4", "2.3.3", "25.0.0"), ["pandas 2.3.3"]),
    ],
)
def test_a_persons_own_line_beats_what_only_a_part_of_pyspark_needs(
    shop: Desk, spark: str, line: str, expected: tuple[str, ...], warned: list[str]
) -> None:
    shop.write("r.txt", *offline("pandas", "pyarrow", "numpy", line))
    given = ("r.txt", "--spark", spark, *ANY_PYTHON)
    ran = lock(shop, *given)
    assert packages(locked(shop, *given), "numpy", "pandas", "pyarrow") == expected
    notes = [note.partition(" with Spark")[0] for note in ran.json()["notes"] if "import pyspark" in note]
    assert notes == [w for w in warned if spark != "3.4"]
    assert ("toPandas of a timestamp column fails" in said(ran)) == (spark == "3.4")


def test_several_preferences_give_way_only_as_far_as_they_must(shop: Desk) -> None:
    shop.write("r.txt", *offline("pandas >=3", "pyarrow", "numpy >=2"))
    given = ("r.txt", "--spark", "3.5", *ANY_PYTHON)
    assert packages(locked(shop, *given), "numpy", "pandas", "pyarrow") == ("2.1.0", "3.0.0", "26.0.0")
    shop.write("r.txt", *offline("pandas >=2,<3", "pyarrow", "numpy"))
    given = ("r.txt", "--spark", "3.4", *ANY_PYTHON)
    assert packages(locked(shop, *given), "numpy", "pandas", "pyarrow") == ("1.26.4", "2.3.3", "25.0.0")


def test_what_breaks_is_said_once_by_lock_by_dry_runs_and_in_json(shop: Desk) -> None:
    shop.write("r.txt", *offline("numpy >=2"))
    given = ("r.txt", "--spark", "3.5", "--python", shop.channel.python)
    for arguments in (
        ("lock", *given),
        ("lock", *given),
        ("build", *given, "--dry-run"),
        ("lock", *given, "--locked"),
    ):
        assert shop.run(*arguments).err.count("numpy 2.1.0 with Spark 3.5") == 1
    ran = shop.run("build", *given, "--no-verify", "--output", "json")
    assert ran.code == 0, ran.err
    warnings = [*ran.json()["notes"], *ran.json()["settings"]["warnings"]]
    assert len([warning for warning in warnings if "numpy 2.1.0 with Spark 3.5" in warning]) == 1


def test_a_lock_of_other_limits_is_stale(shop: Desk) -> None:
    shop.write("r.txt", *offline("pandas"))
    locked(shop, "r.txt", "--spark", "4.1")
    assert lock(shop, "r.txt", "--spark", "4.1", "--locked").code == 0
    assert lock(shop, "r.txt", "--spark", "4.2", "--locked").code == 3
    assert lock(shop, "r.txt", "--locked", ENVPACK_SPARK="4.1").code == 0


# distutils


def test_setuptools_is_added_where_spark_needs_distutils_and_python_has_none(conda_desk: Desk) -> None:
    conda_desk.write("r.txt", "pandas")
    for given in ("--spark=3.5", "--spark=3.4"):
        ran = lock(conda_desk, "r.txt", given, "--python", "3.12")
        assert "setuptools is added: Spark 3." in said(ran)
        assert {"name": "setuptools", "version": "80.0.0", "source": "conda"} in ran.json()["packages"]
    assert "add setuptools" not in said(ran)


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("pandas", ("--spark", "3.5", "--python", "3.11")),
        slow("pandas", ("--spark", "4.0", "--python", "3.12")),
        slow("pandas", ("--python", "3.12")),
        ("py4j", ("--spark", "3.5", "--python", "3.12")),
    ],
)
def test_setuptools_is_not_added_where_nothing_needs_it(
    conda_desk: Desk, line: str, arguments: tuple[str, ...]
) -> None:
    conda_desk.write("r.txt", line)
    ran = lock(conda_desk, "r.txt", *arguments)
    assert "setuptools" not in f"{said(ran)} {ran.json()['packages']}"


def test_setuptools_comes_from_the_channel_of_an_environment_file_or_else_from_pypi(conda_desk: Desk) -> None:
    shelf = conda_desk.home / "shelf"
    shelf.mkdir()
    write_wheel(shelf, "setuptools", "84.0.0")
    conda_desk.write("e.yml", "dependencies:", "- python=3.12", "- numpy", "- pip: [--no-index, -f ./shelf]")
    assert locked(conda_desk, "e.yml", "--spark", "3.5")["setuptools"] == "80.0.0"
    for package in conda_desk.home.glob("channel/noarch/setuptools-*"):
        package.unlink()
    (conda_desk.home / "channel").rename(conda_desk.home / "other")
    write_channel(
        conda_desk.home / "channel", {name: needs for name, needs in CONDA.items() if "setup" not in name}
    )
    assert locked(conda_desk, "e.yml", "--spark", "3.5", "--upgrade")["setuptools"] == "84.0.0"


def test_a_person_who_asks_for_setuptools_gets_the_version_asked_for_and_no_note(conda_desk: Desk) -> None:
    conda_desk.write("r.txt", "pandas", "setuptools ==80.0.0")
    ran = lock(conda_desk, "r.txt", "--spark", "3.5", "--python", "3.12")
    assert "setuptools" not in said(ran)


def test_without_a_setuptools_anywhere_the_environment_is_locked_with_a_warning(desk: Desk) -> None:
    write_channel(desk.home / "channel", {"numpy 1.26.4": ["python"]})
    desk.write("r.txt", "--no-index", "numpy")
    ran = lock(desk, "r.txt", "--spark", "3.5", "--python", "3.12", "-c", "./channel")
    assert "setuptools cannot be added" in said(ran)
    assert "import distutils, which Python 3.12 does not have: add setuptools" in said(ran)


# a pyspark in the requirements

Understand = Callable[..., Understood]


@pytest.fixture
def understood(tmp_path: Path) -> Understand:
    """Read the text of a requirements file and say what is understood of the cluster's Spark."""

    def run(text: str, suffix: str = ".txt", **changes: object) -> Understood:
        file = tmp_path / f"r{suffix}"
        file.write_text(text, "utf-8")
        given: dict[str, object] = {"spark": None, "said_by": "--spark", "python": None, "with_pyspark": False}
        return understand(read(file), target=Target(), **{**given, **changes})  # type: ignore[arg-type] # a test's own

    return run


@pytest.mark.parametrize(
    ("line", "spark"),
    [
        ("pyspark==3.5.6", "3.5"),
        ("pyspark ~=3.5.0", "3.5"),
        ("pyspark==3.5.*", "3.5"),
        ("pyspark >=3.5,<3.6", "3.5"),
        ("pyspark ~=3.5", "3.5"),
        ("pyspark >=3.5,<4", "3.5"),
        ("pyspark===3.3.1", "3.3"),
        ("PySpark[sql] == 4.0.0", "4.0"),
        ("pyspark==4.7.1", "4.7"),
        ("pyspark==4.0.0.dev2", "4.0"),
        ("pyspark-client ==4.0.1", "4.0"),
        ("pyspark-connect ~=4.1.0", "4.1"),
        ("pyspark==3.5.6 ; python_version >= '3.9' and python_version < '4.0'", "3.5"),
        ("pyspark==3.5.6 ; sys_platform == 'linux'\npyspark==4.0.0 ; sys_platform == 'darwin'", "3.5"),
        ("pyspark==3.4.1 ; python_version < '3.12'\npyspark==3.4.3 ; python_version >= '3.12'", "3.4"),
        ("pyspark\npyspark <3.6\npyspark >=3.5", "3.5"),
        ("pyspark", None),
        ("pyspark >=3.4", None),
        ("pyspark ~=4.0", None),
        ("pyspark <4", None),
        ("pyspark !=3.5.0", None),
        ("pyspark==3.5.6 ; python_version < '3.12'\npyspark==4.0.0 ; python_version >= '3.12'", None),
        ("pyspark==3.5.6 ; sys_platform == 'win32'", None),
        ("six", None),
    ],
)
def test_a_pyspark_line_that_allows_one_spark_says_which_the_cluster_has(
    understood: Understand, line: str, spark: str | None
) -> None:
    found = understood(f"{line}\nsix\n")
    assert found.spark == spark
    assert [line.name for line in found.requirements.pypi if line.name.startswith("pyspark")] == []


@pytest.mark.parametrize(
    ("spec", "spark"),
    [
        ("pyspark=3.5", "3.5"),
        ("pyspark==3.5.6", "3.5"),
        ("conda-forge::pyspark=3.4.1", "3.4"),
        ("pyspark >=3.5,<3.6", "3.5"),
        ("pyspark 3.5.6|3.5.7", "3.5"),
        ("pyspark >=3.4", None),
        ("pyspark", None),
    ],
)
def test_so_does_a_conda_spec(understood: Understand, spec: str, spark: str | None) -> None:
    found = understood(f"dependencies:\n- '{spec}'\n- six\n", ".yml")
    assert found.spark == spark
    assert [spec.name for spec in found.requirements.conda] == ["six"]


def test_a_wheel_of_pyspark_says_it_by_its_name_and_a_constraint_beside_a_bare_line(
    understood: Understand, tmp_path: Path
) -> None:
    write_wheel(tmp_path, "pyspark", "3.5.2")
    assert understood("./pyspark-3.5.2-py3-none-any.whl\n").spark == "3.5"
    (tmp_path / "c.txt").write_text("pyspark==3.4.1\n", "utf-8")
    assert understood("pyspark\n-c c.txt\n").spark == "3.4"
    assert understood("six\n-c c.txt\n").spark is None


def test_the_python_that_is_asked_for_decides_between_lines(understood: Understand) -> None:
    lines = "pyspark==3.5.6 ; python_version < '3.12'\npyspark==4.0.0 ; python_version >= '3.12'\n"
    assert [understood(lines, python=python).spark for python in ("3.11", "3.12.1")] == ["3.5", "4.0"]


def test_what_was_left_out_and_where_the_version_comes_from_is_one_line(
    understood: Understand, tmp_path: Path
) -> None:
    place = f"{tmp_path}/r.txt:1"
    assert understood("pyspark==3.5.6\n").notes == (f"{LEFT_OUT}; {place} says that it is Spark 3.5",)
    assert understood("pyspark==3.5.6\n", spark="3.5").notes == (LEFT_OUT,)
    (first, second) = understood("pyspark>=3.4\n").notes
    assert first == LEFT_OUT
    assert second == f"{place}: pyspark >=3.4 leaves the cluster's Spark version open: give it with --spark"
    assert understood("six\n").notes == ()


def test_what_its_extras_need_stays(understood: Understand) -> None:
    found = understood("pyspark[connect,sql]==3.5.6 ; python_version > '3'\npandas <2.2\n")
    needs = {line.text for line in found.requirements.pypi}
    marker = '; python_version > "3"'
    assert {f"numpy{marker}", f"pyarrow{marker}", f"grpcio>=1.56.0{marker}", "pandas<2.2"} <= needs
    assert (
        "; googleapis-common-protos, grpcio, grpcio-status, numpy, pyarrow stay, which it would" in found.notes[0]
    )
    assert {line.text for line in understood("pyspark[connect]\n").requirements.pypi} >= {"grpcio", "pandas"}
    assert understood("pyspark[ml]==3.5.6\n").requirements.pypi[0].text == "numpy"
    assert {line.text for line in understood("pyspark-connect==4.1.0\n").requirements.pypi} >= {"zstandard>=0.25.0"}
    assert "r.txt:1: pyspark 3.5 has no extra pipelines" in understood("pyspark[pipelines]==3.5.6\n").notes[-1]


def test_what_a_conda_package_of_it_needs_stays_from_conda(conda_desk: Desk) -> None:
    conda_desk.write("e.yml", "dependencies: [pyspark=3.5, pandas=2]")
    ran = lock(conda_desk, "e.yml")
    assert "numpy, pyarrow stay, which it would have brought; e.yml:1 says that it is Spark 3.5" in said(ran)
    found = {package["name"]: package["source"] for package in ran.json()["packages"]}
    names = ("numpy", "pandas", "pyarrow", "pyarrow-core", "python")
    assert found == dict.fromkeys(names, "conda")


@pytest.mark.parametrize(
    ("given", "variables", "side"),
    [
        (("--spark", "4.0"), {}, "--spark says 4.0"),
        ((), {"ENVPACK_SPARK": "4.0.1"}, "ENVPACK_SPARK says 4.0.1"),
    ],
)
def test_a_line_of_another_spark_than_the_configured_is_refused_with_both_named(
    desk: Desk, given: tuple[str, ...], variables: dict[str, str], side: str
) -> None:
    desk.write("r.txt", "six", "pyspark >=3.5,<3.6", "pyspark")
    desk.write("e.yml", "dependencies:", "- pyspark=3.5")
    for file, line, text in (("r.txt", 2, "pyspark <3.6,>=3.5"), ("e.yml", 2, "pyspark=3.5")):
        ran = lock(desk, file, *given, **variables)
        assert ran.code == 3
        assert f"{file}:{line}: {text} is not the cluster's Spark: {side}" in ran.err
        assert f"{file}:3" not in ran.err


def test_the_file_that_configures_another_spark_is_named(desk: Desk) -> None:
    (desk.home / "envpack.yaml").write_text("spark: 4.0\n", "utf-8")
    desk.write("r.txt", "pyspark==3.5.6")
    assert (
        f"r.txt:1: pyspark ==3.5.6 is not the cluster's Spark: {desk.home}/envpack.yaml:1 says 4.0"
        in lock(desk, "r.txt").err
    )


def test_a_line_that_allows_nothing_is_refused(understood: Understand) -> None:
    with pytest.raises(BadRequirements, match=r"r\.txt:1: pyspark <3,>4 allows no Spark"):
        understood("pyspark >4,<3\n")


def test_lines_that_exclude_each_other_are_refused(understood: Understand, tmp_path: Path) -> None:
    text = "dependencies:\n- pyspark=3.5\n- pip:\n  - pyspark[sql]==4.0.0\n"
    with pytest.raises(BadRequirements) as caught:
        understood(text, ".yml")
    assert str(caught.value) == f"{tmp_path}/r.yml:2: pyspark=3.5 goes with no Spark that {tmp_path}/r.yml:4 allows"


def test_the_target_of_the_release_has_the_spark_that_the_line_names(shop: Desk) -> None:
    write_wheel(
        shop.home / "shelf", "lake", "1", requires=["pyspark[sql] >=3.5"], files={"lake.py": "import pyspark"}
    )
    minor = ".".join(shop.channel.python.split(".")[:2])
    shop.write("r.txt", *offline("pyspark ==4.0.0", "lake"))
    built = shop.build("r.txt", "--python", minor)
    names = [package["name"] for package in built["packages"]]
    assert names == ["lake", "numpy", "pandas", "pyarrow", "python"]
    (note,) = [note for note in built["notes"] if "left out" in note]
    assert note == f"{LEFT_OUT}; r.txt:3 says that it is Spark 4.0"
    assert "lake was not imported: it needs the cluster's own pyspark" in built["notes"]
    (manifest,) = shop.releases()
    assert json.loads(manifest.read_text())["target"]["spark"] == "4.0"
    assert json.loads(manifest.read_text())["requested"] == ["lake"]
    again = shop.build("r.txt", "--python", minor, "--locked")
    assert again["reused"]
    assert [note for note in again["notes"] if "left out" in note]


def test_what_a_wheel_needs_of_pyspark_is_taken_as_given(shop: Desk) -> None:
    shelf = shop.home / "shelf"
    write_wheel(shelf, "pyspark", "3.5.6", requires=["py4j"])
    write_wheel(shelf, "lake", "1", requires=["pyspark >=3.5.1,<4"])
    write_wheel(shelf, "lake", "2", requires=["pyspark >=4"])
    shop.write("r.txt", *offline("lake"))
    python = ("--python", shop.channel.python)
    for spark, expected in (("3.5", "1"), ("3.5.1", "1"), ("4.0", "2"), (None, "2")):
        given = ("--spark", spark, *python) if spark else python
        ran = lock(shop, "r.txt", *given)
        assert said(ran).startswith(LEFT_OUT)
        found = {package["name"]: package["version"] for package in ran.json()["packages"]}
        assert found == {"lake": expected, "python": shop.channel.python}
    ran = lock(shop, "r.txt", "--spark", "3.5.0", *python)
    assert ran.code == 4
    assert "the cluster's Spark is 3.5.0" in ran.err


def test_what_a_conda_package_needs_of_pyspark_is_taken_as_given(conda_desk: Desk) -> None:
    conda_desk.write("r.txt", "lake")
    for given in (("--spark", "3.5"), ("--spark", "3.5.6"), ()):
        ran = lock(conda_desk, "r.txt", *given)
        assert said(ran) == LEFT_OUT
        assert {package["name"] for package in ran.json()["packages"]} == {"lake", "python"}
    ran = lock(conda_desk, "r.txt", "--spark", "4.0")
    assert ran.code == 4
    assert "the cluster's Spark is 4.0" in ran.err
    assert "pyspark >=3.5.1,<3.6" in ran.err


# --with-pyspark


def test_with_pyspark_it_is_kept_in_the_clusters_version(conda_desk: Desk) -> None:
    conda_desk.write("r.txt", "pyspark")
    for spark, expected in (("3.5", "3.5.6"), ("4.0", "4.0.2"), ("4.0.2", "4.0.2")):
        found = locked(conda_desk, "r.txt", "--spark", spark, "--with-pyspark")
        assert packages(found, "pyspark", "py4j") == (expected, "0.10.9.7")
    ran = lock(conda_desk, "r.txt", "--spark", "3.5.1", "--with-pyspark", "--no-build")
    assert ran.code == 4
    assert "a pyspark in the archive must be of the cluster's version, and that is 3.5.1" in ran.err


def test_it_can_be_kept_by_a_variable_and_by_the_file_and_a_flag_takes_it_back(conda_desk: Desk) -> None:
    conda_desk.write("r.txt", "pyspark ==3.5.6")
    assert "pyspark" in locked(conda_desk, "r.txt", ENVPACK_WITH_PYSPARK="true")
    assert "pyspark" not in locked(conda_desk, "r.txt", "--without-pyspark", ENVPACK_WITH_PYSPARK="true")
    with (conda_desk.home / "envpack.yaml").open("a") as file:
        file.write("with-pyspark: yes\n")
    assert "pyspark" in locked(conda_desk, "r.txt")
    assert "pyspark" not in locked(conda_desk, "r.txt", ENVPACK_WITH_PYSPARK="0")


def test_a_lock_with_pyspark_is_none_without_it(conda_desk: Desk) -> None:
    conda_desk.write("r.txt", "pyspark ==3.5.6")
    locked(conda_desk, "r.txt", "--with-pyspark")
    assert lock(conda_desk, "r.txt", "--with-pyspark", "--locked").code == 0
    assert lock(conda_desk, "r.txt", "--locked").code == 3


def test_a_wheel_of_pyspark_in_a_folder_is_kept(shop: Desk) -> None:
    shelf = shop.home / "shelf"
    write_wheel(shelf, "pyspark", "3.5.6", requires=["py4j ==0.10.9.7"])
    write_wheel(shelf, "py4j", "0.10.9.7")
    shop.write("r.txt", *offline("pyspark"))
    given = ("r.txt", "--python", shop.channel.python, "--with-pyspark")
    assert packages(locked(shop, *given, "--spark", "3.5"), "pyspark", "py4j") == ("3.5.6", "0.10.9.7")
    ran = lock(shop, *given, "--spark", "4.0")
    assert ran.code == 4
    assert "a pyspark in the archive must be of the cluster's version, and that is 4.0" in ran.err


def test_pypis_pyspark_has_no_wheel_and_is_not_built_where_builds_are_forbidden(desk: Desk) -> None:
    desk.write("r.txt", "pyspark ==4.0.1")
    ran = lock(desk, "r.txt", "--with-pyspark", "--no-build")
    assert ran.code == 4
    assert "pyspark has no wheel that fits, and no-build forbids building it" in ran.err


def test_to_keep_it_the_clusters_spark_must_be_known(understood: Understand) -> None:
    with pytest.raises(UsageError, match="--with-pyspark needs the version of the cluster's Spark"):
        understood("pyspark >=3.4\n", with_pyspark=True)
    assert understood("pyspark ==3.5.6\n", with_pyspark=True).limits[0].bounds["pyspark"] == "==3.5.*"


def test_the_library_keeps_it_too(conda_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    conda_desk.write("r.txt", "pyspark ==3.5.6")
    monkeypatch.chdir(conda_desk.home)
    given = {"cache_dir": str(conda_desk.cache), "dry_run": True}
    for with_pyspark in (True, False):
        built = envpack.build("r.txt", with_pyspark=with_pyspark, **given)  # type: ignore[arg-type] # two kinds in one
        assert any(package.name == "pyspark" for package in built.packages) == with_pyspark
        assert built.lock.target.spark == "3.5"


def test_a_good_lock_is_found_without_the_solver(conda_desk: Desk) -> None:
    conda_desk.write("r.txt", "pyspark[sql] ==3.5.6")
    locked(conda_desk, "r.txt")
    program = (
        "import sys; from pathlib import Path; from envpack.build import pipeline\n"
        "from envpack.config.config import load\n"
        "found = pipeline.lock(Path('r.txt'), config=load({}, __import__('os').environ, Path.cwd()))\n"
        "assert not found.solved; assert found.notes; print('rattler' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=conda_desk.home,
        env=conda_desk.environment,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
