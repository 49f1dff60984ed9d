"""Which modules a distribution cannot do without: those of its name, and those that hold most of it."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from envpack.verify.modules import Modules, modules_of
from tests.support.command import Desk
from tests.support.wheels import write_wheel


def files(**counts: int) -> list[PurePosixPath]:
    """Return the files of packages: name (`__` for a dot) to how many; a name with 1 is a single module."""
    found = []
    for name, count in counts.items():
        folder = name.replace("__", "/")
        single = [PurePosixPath(f"{folder}.py")]
        many = [
            PurePosixPath(folder, "__init__.py"),
            *(PurePosixPath(folder, f"f{n}.py") for n in range(count - 1)),
        ]
        found += single if count == 1 else many
    return found


# As their wheels of November 2026 are.
REAL = {
    "duckdb": ({"duckdb": 55, "adbc_driver_duckdb": 2}, {"duckdb"}),
    "chdb": ({"chdb": 29, "datastore": 329, "adbc_driver_chdb": 2}, {"chdb", "datastore"}),
    "black": ({"black": 46, "blackd": 4, "blib2to3": 26}, {"black"}),
    "attrs": ({"attr": 23, "attrs": 8}, {"attr", "attrs"}),
    "pymongo": ({"pymongo": 130, "bson": 31, "gridfs": 9}, {"pymongo"}),
    "matplotlib": ({"matplotlib": 556, "pylab": 1, "mpl_toolkits__mplot3d": 10}, {"matplotlib"}),
    "pymupdf": ({"pymupdf": 172, "pymupdf4llm": 39, "fitz": 3}, {"pymupdf"}),
    "cvxpy": ({"cvxpy": 525, "setup": 4}, {"cvxpy"}),
    "torch": ({"torch": 1200, "torchgen": 136, "functorch": 24}, {"torch"}),
    "google-cloud-bigquery": (
        {"google__cloud__bigquery": 48, "google__cloud__bigquery_v2": 7},
        {"google.cloud.bigquery"},
    ),
    "python-dateutil": ({"dateutil": 20}, {"dateutil"}),
    "Pillow": ({"PIL": 90}, {"PIL"}),
    "cityhash": ({"cityhash": 1, "farmhash": 1, "cityhashcrc": 1}, {"cityhash"}),
    "no-name-here": ({"one": 1, "two": 1}, {"one", "two"}),
    "opentelemetry-api": ({"opentelemetry__trace": 6, "opentelemetry__metrics": 5}, {"opentelemetry.trace"}),
}


@pytest.mark.parametrize("name", REAL)
def test_the_required_modules_of_real_distributions(name: str) -> None:
    counts, required = REAL[name]
    found = modules_of(name, files(**counts))
    assert {*found.required} == required
    assert {*found.required, *found.others} == {module.replace("__", ".") for module in counts}


def test_a_distribution_without_modules_requires_none() -> None:
    assert modules_of("stubs", [PurePosixPath("stubs-1.0.dist-info/METADATA")]) == Modules()


@pytest.mark.acceptance
def test_a_module_that_is_not_required_may_fail_and_the_reason_is_said(desk: Desk) -> None:
    shelf = desk.home / "shelf"
    shelf.mkdir()
    broken = {"adbc_driver_quack/__init__.py": "import adbc_driver_manager\n"}
    write_wheel(shelf, "quack", "1.0", files={"quack/__init__.py": "", "quack/more.py": "", **broken})
    desk.write("r.txt", "--no-index", "--find-links ./shelf", "quack")
    ran = desk.run("build", "r.txt")
    assert ran.code == 0, ran.err
    said = " ".join(ran.err.split())
    assert "adbc_driver_quack (of quack) cannot be imported: ModuleNotFoundError" in said
    write_wheel(shelf, "quack", "2.0", files={"quack/__init__.py": "import adbc_driver_manager\n"})
    ran = desk.run("build", "r.txt", "--upgrade")
    assert ran.code == 7
    assert "quack cannot be imported" in ran.err
