"""The replica of conda-forge: its packages have what conda-forge's packages of that kind have."""

from __future__ import annotations

import ctypes
import json
from functools import cache
from typing import TYPE_CHECKING

import pytest
from rattler.package_streaming import extract

from envpack.files import elf
from tests.support.replica import native, package_file
from tests.support.replica.interpreter import Python
from tests.support.replica.package_file import PLACEHOLDER
from tests.support.replica.records import SUBDIRS, Record, records, repodata

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Give a Python with one library, which is no real one: native packages take libraries and code from it."""
    home = tmp_path / "python"
    (home / "lib").mkdir(parents=True)
    (home / "lib/libcrypto.so.3").write_bytes(bytes(range(256)) * 1000)
    return Python(minor="3.12", program=home / "bin/python", home=home)


@cache
def sample() -> tuple[Record, ...]:
    return tuple(records({subdir: repodata(subdir) for subdir in SUBDIRS}).values())


def newest(name: str) -> Record:
    found = (record for record in sample() if record.name == name)
    return max(found, key=lambda record: record.json.get("timestamp", 0))


@pytest.mark.parametrize("suffix", [".conda", ".tar.bz2"])
def test_a_library_is_versioned_loads_and_names_the_prefix(suffix: str, python: Python, tmp_path: Path) -> None:
    proj = newest("proj")
    native.lay_out(proj, tmp_path / "root", interpreter=python)
    package_file.write(tmp_path / "root", tmp_path / f"proj{suffix}", index=proj.json)
    extract(tmp_path / f"proj{suffix}", tmp_path / "package")
    package = tmp_path / "package"
    soname, name = "libproj.so.25", f"libproj.so.25.{proj.version}"
    assert (package / "lib" / soname).readlink().name == name
    binary = elf.read(package / "lib" / name, name)
    assert binary
    assert "libc.so.6" in binary.needed
    library = ctypes.CDLL(str(package / "lib" / soname))
    assert (ctypes.c_char * 300).in_dll(library, "proj_prefix").value.decode() == f"{PLACEHOLDER}/share/proj"
    paths = {entry["_path"]: entry for entry in json.loads((package / "info/paths.json").read_text())["paths"]}
    modes = {path: entry["file_mode"] for path, entry in paths.items() if "file_mode" in entry}
    assert modes[f"lib/{name}"] == modes["bin/proj"] == "binary"
    assert modes["lib/pkgconfig/proj.pc"] == modes["bin/proj-config"] == "text"
    assert "etc/conda/activate.d/proj4-activate.sh" in paths
    assert paths["lib/libproj.so"]["path_type"] == "softlink"


@pytest.mark.parametrize(
    "name",
    [
        "_openmp_mutex",
        "python_abi",
        "libblas",
        "pangeo-notebook",
        "libgfortran",
        "typing-extensions",
        "fonts-conda-forge",
    ],
)
def test_what_only_brings_others_is_empty(name: str, python: Python, tmp_path: Path) -> None:
    native.lay_out(newest(name), tmp_path, interpreter=python)
    assert [path for path in tmp_path.iterdir() if path.name != "python"] == []


def test_libraries_that_python_needs_are_this_machines(python: Python, tmp_path: Path) -> None:
    openssl = newest("openssl")
    native.lay_out(openssl, tmp_path / "root", interpreter=python)
    assert (tmp_path / "root/lib/libcrypto.so.3").read_bytes() == (python.home / "lib/libcrypto.so.3").read_bytes()


def test_a_distribution_lies_in_the_smallest_of_its_packages() -> None:
    assert [newest(name).project for name in ("matplotlib", "dask", "pyarrow")] == [None, None, None]
    assert [
        newest(name).project for name in ("matplotlib-base", "dask-core", "pyarrow-core", "msgpack-python")
    ] == [
        "matplotlib",
        "dask",
        "pyarrow",
        "msgpack",
    ]
