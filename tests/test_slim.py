"""What `--slim` leaves out, and what it must not."""

from __future__ import annotations

import hashlib
import json
import tarfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from envpack.archive import slim
from envpack.archive.members import Member, file
from envpack.archive.packing import pack
from envpack.archive.pieces import Kept, Pieces
from envpack.archive.saving import Saving
from envpack.archive.unpack import extract

SITE = "lib/python3.11/site-packages"

LEFT_OUT = {
    f"{SITE}/pandas/tests": "tests",
    f"{SITE}/pandas/tests/io/data/parquet/simple.parquet": "tests",
    f"{SITE}/pandas/tests/__pycache__/test_algos.cpython-311.pyc": "tests",
    f"{SITE}/numpy/testing/tests/test_utils.py": "tests",
    f"{SITE}/joblib/test/test_parallel.py": "tests",
    f"{SITE}/tests/test_everything.py": "tests",
    f"{SITE}/Crypto/SelfTest/Cipher/test_AES.py": "tests",
    "lib/python3.11/test/test_grammar.py": "tests",
    "lib/python3.11/ctypes/test/test_arrays.py": "tests",
    "lib/libfoo.a": "static libraries",
    "lib/libfoo.la": "static libraries",
    f"{SITE}/numpy/_core/lib/libnpymath.a": "static libraries",
    "lib/python3.11/config-3.11-x86_64-linux-gnu/libpython3.11.a": "static libraries",
    "include/openssl/ssl.h": "headers",
    "include/eigen3/Eigen/Core": "headers",
    f"{SITE}/numpy/_core/include/numpy/arrayobject.h": "headers",
    f"{SITE}/pyarrow/include/arrow/api.h": "headers",
    f"{SITE}/pybind11/include/pybind11/pybind11.h": "headers",
    f"{SITE}/sklearn/tree/_tree.pyx": "sources",
    f"{SITE}/pyarrow/lib.pxd": "sources",
    f"{SITE}/pyarrow/src/arrow/python/udf.cc": "sources",
    f"{SITE}/pandas/_libs/lib.pyi": "stubs",
    "lib/pkgconfig/zlib.pc": "build files",
    "lib/cmake/arrow/ArrowConfig.cmake": "build files",
    f"{SITE}/numpy/_core/lib/pkgconfig/numpy.pc": "build files",
    f"{SITE}/scipy/meson.build": "build files",
    "lib/python3.11/config-3.11-x86_64-linux-gnu/config.c": "build files",
    "share/man/man1/python.1": "manuals",
    "man": "manuals",
    "share/doc/openssl/html/index.html": "manuals",
    "share/info/dir": "manuals",
    "share/locale/de/LC_MESSAGES/libc.mo": "translations",
    "share/bash-completion/completions/curl": "completions",
    "lib/libfoo.so.1.2.debug": "debug symbols",
    f"{SITE}/bokeh/server/static/js/bokeh.js.map": "debug symbols",
    f"{SITE}/setuptools/cli-64.exe": "windows",
    f"{SITE}/pip/_vendor/distlib/t64.exe": "windows",
    "lib/python3.11/__pycache__/os.cpython-311.opt-1.pyc": "bytecode duplicates",
}

KEPT = [
    "bin/python3.11",
    "lib/libpython3.11.so.1.0",
    "lib/libz.so",
    # what tests are written with is part of a package's interface
    f"{SITE}/numpy/testing/__init__.py",
    f"{SITE}/pandas/_testing/__init__.py",
    f"{SITE}/sklearn/utils/_testing.py",
    f"{SITE}/scipy/stats/_ttest.py",
    f"{SITE}/mypackage/contests/data.py",
    f"{SITE}/jinja2/tests.py",
    # imported with the package itself
    f"{SITE}/astropy/tests/runner.py",
    f"{SITE}/h5py/tests/__init__.py",
    f"{SITE}/tables/tests/common.py",
    f"{SITE}/pulp/tests/__init__.py",
    # `test` is a part of their interface
    f"{SITE}/tensorflow/_api/v2/test/__init__.py",
    f"{SITE}/django/test/signals.py",
    f"{SITE}/ansible/plugins/test/core.py",
    f"{SITE}/torch/testing/_internal/common_utils.py",
    # sysconfig names them; a compiler on the node needs them for torch.compile and its like
    "include/python3.11/pyconfig.h",
    "include/python3.11/Python.h",
    "lib/python3.11/config-3.11-x86_64-linux-gnu/Makefile",
    f"{SITE}/torch/include/ATen/ATen.h",
    f"{SITE}/triton/backends/nvidia/driver.c",
    f"{SITE}/cupy/_core/include/cupy/complex.cuh",
    f"{SITE}/numba/_helperlib.c",
    f"{SITE}/prophet/stan_model/cmdstan-2.37.0/stan/src/stan/model/model_base.hpp",
    f"{SITE}/nvidia/cuda_runtime/include/cuda_fp16.h",
    # lazy_loader reads a package's own stub
    f"{SITE}/skimage/filters/__init__.pyi",
    f"{SITE}/jedi/third_party/typeshed/stdlib/3/os.pyi",
    # data under names that look like something else
    f"{SITE}/dbt/include/global_project/macros/adapters/columns.sql",
    f"{SITE}/mypackage/include/data.json",
    f"{SITE}/mypackage/doc/help.txt",
    f"{SITE}/babel/locale-data/de.dat",
    f"{SITE}/django/conf/locale/de/LC_MESSAGES/django.mo",
    "share/zoneinfo/Europe/Berlin",
    "share/proj/proj.db",
    # who wrote it and on what terms
    f"{SITE}/numpy-2.4.6.dist-info/licenses/numpy/_core/include/numpy/libdivide/LICENSE.txt",
    f"{SITE}/pytest-8.4.dist-info/tests/RECORD",
    "share/doc/gmp/COPYING",
    "share/doc/zlib/LICENSE",
    # the only bytecode there is
    f"{SITE}/pandas/__pycache__/__init__.cpython-311.pyc",
    f"{SITE}/sourceless/module.pyc",
    f"{SITE}/__pycache__/_envpack_start.cpython-311.pyc",
]


@pytest.mark.parametrize(("path", "rule"), LEFT_OUT.items())
def test_a_node_needs_none_of(path: str, rule: str) -> None:
    found = slim.left_out(path)
    assert found is not None
    assert found.name == rule


@pytest.mark.parametrize("path", KEPT)
def test_a_node_may_need(path: str) -> None:
    assert slim.left_out(path) is None


def test_there_is_an_example_of_each_rule() -> None:
    assert {rule.name for rule in slim.RULES} == set(LEFT_OUT.values())


def test_what_stays_is_unchanged_and_the_saving_is_what_went() -> None:
    members = by_path(
        file("bin/python", b"program", executable=True),
        file("lib/libfoo.a", b"12345"),
        file("lib/libbar.a", b"123"),
        Member(path="lib/libbar.0.a", kind="link", link="libbar.a"),
        file("include/foo.h", b"12"),
        Member(path="share/man/man1", kind="directory"),
    )
    stays, saved = slim.trimmed(members, owner_of=lambda _path: "package")
    assert list(stays.values()) == [members["bin/python"]]
    assert saved == (
        Saving(rule="static libraries", files=3, size=8),
        Saving(rule="headers", files=1, size=2),
    )


def test_what_a_link_of_the_same_package_leads_to_stays() -> None:
    members = by_path(
        Member(path="share/foo/reference", kind="link", link="../doc/foo/latest.html"),
        Member(path="share/doc/foo/latest.html", kind="link", link="v2.html"),
        file("share/doc/foo/v2.html", b"read by foo --help"),
        file("share/doc/foo/v1.html", b"read by nobody"),
        Member(path="share/bar/reference", kind="link", link="../doc/foo/v1.html"),
    )
    stays, saved = slim.trimmed(members, owner_of=lambda path: "bar" if "bar" in path else "foo")
    assert [path for path in members if path not in stays] == ["share/doc/foo/v1.html"]
    assert saved == (Saving(rule="manuals", files=1, size=14),)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A prefix that conda linked a Python distribution into, with a test suite and a stub."""
    prefix = tmp_path / "prefix"
    files = {
        f"{SITE}/mine/__init__.py": "answer = 42\n",
        f"{SITE}/mine/__init__.pyi": "answer: int\n",
        f"{SITE}/mine/other.pyi": "answer: int\n",
        f"{SITE}/mine/tests/test_mine.py": "assert True\n",
        f"{SITE}/mine-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: mine\nVersion: 1\n",
    }
    record = "".join(f"{path.removeprefix(f'{SITE}/')},sha256=x,{len(text)}\n" for path, text in files.items())
    files[f"{SITE}/mine-1.dist-info/RECORD"] = f"{record}mine-1.dist-info/RECORD,,\n"
    for path, text in files.items():
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_text(text)
    paths = [
        {"_path": path, "path_type": "hardlink", "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for path, text in files.items()
    ]
    (prefix / "conda-meta").mkdir()
    (prefix / "conda-meta/mine-1-0.json").write_text(
        json.dumps(
            {
                "name": "mine",
                "version": "1",
                "files": list(files),
                "paths_data": {"paths": paths},
                "link": {},
                "url": "",
            }
        )
    )
    return prefix


@pytest.mark.parametrize("kept", [False, True], ids=["plain", "from kept pieces"])
def test_what_a_package_says_of_its_files_is_true_of_a_slim_archive(
    prefix: Path, tmp_path: Path, kept: bool
) -> None:
    pieces = Kept(pieces=Pieces(tmp_path / "pieces", limit=1 << 30), identify=lambda _: {"conda/mine": "mine"})
    for _ in range(1 + kept):
        packed = pack(prefix, tmp_path / "slim.tar.gz", slim=True, kept=pieces if kept else None)
    node = tmp_path / "node"
    node.mkdir()
    extract(packed.path, node)
    record = json.loads((node / "conda-meta/mine-1-0.json").read_bytes())
    there = {f"{SITE}/mine/__init__.py", f"{SITE}/mine/__init__.pyi"}
    there |= {f"{SITE}/mine-1.dist-info/METADATA", f"{SITE}/mine-1.dist-info/RECORD"}
    assert set(record["files"]) == there
    for entry in record["paths_data"]["paths"]:
        if "sha256" in entry:
            expected = entry.get("sha256_in_prefix") or entry["sha256"]
            assert hashlib.sha256((node / entry["_path"]).read_bytes()).hexdigest() == expected
    listed = PathDistribution(node / SITE / "mine-1.dist-info").files or []
    assert {f"{SITE}/{path}" for path in listed} == there
    assert packed.saved == (Saving(rule="tests", files=1, size=12), Saving(rule="stubs", files=1, size=12))


def test_a_file_of_two_packages_that_stays_behind_is_listed_by_neither(prefix: Path, tmp_path: Path) -> None:
    gone, stays = "share/man/man1/both.1", "share/both.txt"
    for path in (gone, stays):
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_text("both\n")
    mine = prefix / "conda-meta/mine-1-0.json"
    record = json.loads(mine.read_bytes())
    mine.write_text(json.dumps({**record, "files": [*record["files"], gone, stays]}))
    other = {**record, "name": "other", "files": [gone, stays], "paths_data": {"paths": []}}
    (prefix / "conda-meta/other-1-0.json").write_text(json.dumps(other))
    packed = pack(prefix, tmp_path / "slim.tar.gz", slim=True)
    with tarfile.open(packed.path) as tar:
        names = tar.getnames()
        records = [tar.extractfile(f"conda-meta/{name}-1-0.json") for name in ("mine", "other")]
        listed = [set(json.load(file)["files"]) for file in records if file]
    assert (gone in names, stays in names) == (False, True)
    assert [(gone in paths, stays in paths) for paths in listed] == [(False, True)] * 2


def by_path(*members: Member) -> dict[str, Member]:
    return {member.path: member for member in members}
