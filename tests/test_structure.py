"""The rooms of the code: imports point down, no two rooms import each other, and the page shows what is there."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from envpack.config.addresses import STORES
from tests.support.house import PAGE, floors, renewed

PACKAGE = Path(__file__).parents[1] / "envpack"
ALONE = {"__init__", "__main__"}
"""Modules of `envpack/` that are the ways in, on no floor: the Python API and `python -m envpack`."""


def rooms() -> set[str]:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    return folders | {path.stem for path in PACKAGE.glob("*.py")} - ALONE


def test_every_room_is_on_one_floor() -> None:
    named = [room for floor in floors() for room in floor]
    assert sorted(named) == sorted(rooms())


def test_no_room_imports_a_room_that_imports_it() -> None:
    graph = grimp.build_graph("envpack")
    arrows = {room: set[str]() for room in rooms()}
    for room, found in arrows.items():
        for module in {f"envpack.{room}", *graph.find_descendants(f"envpack.{room}")}:
            for imported in graph.find_modules_directly_imported_by(module):
                other = imported.removeprefix("envpack").split(".")[-1 if imported == "envpack" else 1]
                if other in arrows and other != room:
                    found.add(other)
    reached = {room: set(found) for room, found in arrows.items()}
    for _ in arrows:
        for found in reached.values():
            found.update(*(reached[other] for other in list(found)))
    assert [room for room, found in reached.items() if room in found] == []


def test_few_modules_are_outside_every_room() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 12


@pytest.mark.parametrize("module", sorted(set(STORES.values())))
def test_every_scheme_of_a_store_names_a_module_that_opens_one(module: str) -> None:
    assert callable(importlib.import_module(f"envpack.stores.{module}").open_at)


HEAVY = (
    *(
        "boto3",
        "conda_pack",
        "deflate",
        "filelock",
        "isal",
        "jinja2",
        "packaging",
        "rattler",
        "rich",
        "yaml",
        "zlib_ng",
    ),
)


@pytest.mark.parametrize("module", ["archive", "archive.formats", "stores", "stores.s3.options", "catalog", "cli"])
def test_a_room_is_entered_without_what_only_some_commands_need(module: str) -> None:
    """`--help` and every option's words come from these modules, so they must load at once."""
    code = f"import sys, envpack.{module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_page_shows_the_rooms_as_they_are() -> None:
    page = PAGE.read_text("utf-8")
    assert renewed(page) == page, "renew it: python -m tests.support.house"


def test_a_public_class_name_stands_for_one_class() -> None:
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(path.relative_to(PACKAGE).as_posix())
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}
