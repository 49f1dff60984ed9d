"""Bytecode is the same everywhere, whoever compiles it and in whatever order."""

from __future__ import annotations

import importlib.util
import marshal
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import CodeType

import pytest

from envpack import digest
from envpack.archive import compile_share
from envpack.archive.bytecode import Brought, compile_prefix
from envpack.archive.compile_share import Canon
from envpack.archive.ownership import module_of
from envpack.errors import PackingFailed
from tests.support.chosen import quickly

PYTHON = Path(sys.executable)

STDLIB = Path(os.__file__).parent

# What CPython's own compileall writes differently from run to run is among them.
MODULES = ["argparse", "ast", "ftplib", "functools", "inspect", "_markupbase", "_strptime", "typing", "dataclasses"]


def library(prefix: Path) -> Path:
    path = prefix / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    prefix = tmp_path / "prefix"
    for module in MODULES:
        shutil.copy(STDLIB / f"{module}.py", library(prefix))
    for package in ("json", "collections", "email"):
        shutil.copytree(STDLIB / package, library(prefix) / package, ignore=shutil.ignore_patterns("__pycache__"))
    (library(prefix) / "sets.py").write_text(
        "def known(x):\n    return x in {'a', 'b', None, 3, ('c', 4.5), -0.0}\n"
    )
    return prefix


def digests(directory: Path) -> dict[str, str]:
    return {path.relative_to(directory).as_posix(): digest.of_file(path) for path in directory.rglob("*.pyc")}


def test_every_module_is_compiled_to_a_pyc_that_is_never_checked(prefix: Path) -> None:
    written = compile_prefix(prefix, python=PYTHON)
    modules = list(prefix.rglob("*.py"))
    assert written == len(modules) > 20
    for module in modules:
        pyc = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        assert pyc[:4] == importlib.util.MAGIC_NUMBER
        assert pyc[4:8] == b"\x01\x00\x00\x00"
        assert pyc[8:16] == importlib.util.source_hash(module.read_bytes())


def test_the_import_system_takes_the_bytecode_and_names_the_real_file(prefix: Path) -> None:
    module = library(prefix) / "moved.py"
    module.write_text("def f():\n    return 'compiled'\n")
    compile_prefix(prefix, python=PYTHON)
    module.write_text("raise SystemExit('the source was read')\n")
    asked = "import moved; print(moved.f(), moved.f.__code__.co_filename)"
    answer = subprocess.run(
        [PYTHON, "-c", asked], env={"PYTHONPATH": str(module.parent)}, capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["compiled", str(module)]


@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_does_not_show(prefix: Path, tmp_path: Path, workers: int) -> None:
    compile_prefix(prefix, python=PYTHON, into=tmp_path / "one", workers=1)
    compile_prefix(prefix, python=PYTHON, into=tmp_path / "more", workers=workers)
    assert digests(tmp_path / "one") == digests(tmp_path / "more") != {}


def test_what_was_compiled_before_does_not_show(prefix: Path, tmp_path: Path) -> None:
    compile_prefix(prefix, python=PYTHON, into=tmp_path / "all", workers=1)
    together = digests(tmp_path / "all")
    for module in prefix.rglob("*.py"):
        alone = tmp_path / "alone" / module.relative_to(prefix)
        alone.parent.mkdir(parents=True, exist_ok=True)
        if module.parent == library(prefix):
            shutil.rmtree(tmp_path / "alone")
            alone.parent.mkdir(parents=True)
            shutil.copy(module, alone)
            compile_prefix(tmp_path / "alone", python=PYTHON, into=tmp_path / "single", workers=1)
    single = digests(tmp_path / "single")
    assert len(single) == len(MODULES) + 1
    assert single == {path: together[path] for path in single}


def test_which_equal_values_are_one_object_does_not_show() -> None:
    lines = ["A = 'red-1'", *(f"def {name}(x): return x in {{'red-1', 'green'}}" for name in "fg")]
    shared = compile("\n".join(lines), "module.py", "exec")
    unshared = marshal.loads(marshal.dumps(shared, 2))  # noqa: S302 - our own; version 2 knows no references
    interned = [sys.intern(value) if isinstance(value, str) else value for value in unshared.co_consts]
    other = unshared.replace(co_consts=tuple(interned))
    assert len({marshal.dumps(code) for code in (shared, unshared, other)}) > 1
    canons = [Canon("module.py") for _ in range(3)]
    codes = [canon.code(code) for canon, code in zip(canons, (shared, unshared, other), strict=True)]
    assert len({marshal.dumps(code) for code in codes}) == 1


def test_the_directory_and_the_hash_seed_do_not_show(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_prefix(prefix, python=PYTHON, into=tmp_path / "here")
    elsewhere = shutil.copytree(prefix, tmp_path / "a much longer path" / "prefix")
    monkeypatch.setenv("PYTHONHASHSEED", "random")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    compile_prefix(elsewhere, python=PYTHON, into=tmp_path / "there")
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
    assert not [path for path in (tmp_path / "there").rglob("*.pyc") if os.fsencode(tmp_path) in path.read_bytes()]


MINORS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"]
OLDEST_AND_NEWEST = (MINORS[0], *MINORS[-2:])


def python_of(minor: str) -> Path:
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    found = [
        *map(str, sorted(pyenv.glob(f"{minor}.*/bin/python{minor}"))),
        shutil.which(f"python{minor}") or "false",
    ]
    asked = [found[0], "-c", "import sys; print(sys.executable)"]
    python = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    if not python:
        pytest.skip(f"there is no Python {minor}")
    return Path(python)


@pytest.mark.parametrize(
    "minor",
    [pytest.param(minor, marks=[] if minor in OLDEST_AND_NEWEST else [pytest.mark.acceptance]) for minor in MINORS],
)
def test_every_python_compiles_the_same_twice(prefix: Path, tmp_path: Path, minor: str) -> None:
    python = python_of(minor)
    library(prefix).rename(library(prefix).with_name(f"python{minor}"))
    compile_prefix(prefix, python=python, into=tmp_path / "one", workers=1)
    compile_prefix(prefix, python=python, into=tmp_path / "two", workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two") != {}


def test_what_is_not_python_of_this_version_is_passed_over(prefix: Path) -> None:
    (library(prefix) / "old.py").write_text("print 'two'\n")
    (library(prefix) / "template.py").write_text("import {{ module }}\n")
    (library(prefix) / "coded.py").write_bytes(b"# coding: no-such-codec\n")
    (library(prefix) / "nul.py").write_bytes(b"x = 1\0\n")
    written = compile_prefix(prefix, python=PYTHON)
    assert written == len(list(prefix.rglob("*.py"))) - 4


def test_a_pyc_that_is_linked_to_the_package_cache_is_replaced_not_changed(prefix: Path, tmp_path: Path) -> None:
    cached = tmp_path / "cached.pyc"
    cached.write_bytes(b"from the package")
    pyc = Path(importlib.util.cache_from_source(str(library(prefix) / "argparse.py")))
    pyc.parent.mkdir(exist_ok=True)
    pyc.hardlink_to(cached)
    compile_prefix(prefix, python=PYTHON)
    assert cached.read_bytes() == b"from the package"
    assert pyc.read_bytes().startswith(importlib.util.MAGIC_NUMBER)


def test_the_prefix_stays_as_it_is_when_the_bytecode_goes_elsewhere(prefix: Path, tmp_path: Path) -> None:
    before = sorted(prefix.rglob("*"))
    compile_prefix(prefix, python=PYTHON, into=tmp_path / "elsewhere")
    assert sorted(prefix.rglob("*")) == before


def test_a_python_that_does_not_start_is_named(prefix: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_bytes(b"\x7fELF of another machine")
    python.chmod(0o755)
    with pytest.raises(PackingFailed, match="cannot be run") as failure:
        compile_prefix(prefix, python=python)
    assert failure.value.hint


def test_where_nothing_is_to_be_compiled_no_python_is_started(prefix: Path, tmp_path: Path) -> None:
    modules = {path.relative_to(prefix).as_posix() for path in prefix.rglob("*.py")}
    assert compile_prefix(prefix, python=tmp_path / "no python", without=modules) == 0
    with pytest.raises(PackingFailed):
        compile_prefix(prefix, python=tmp_path / "no python", without=sorted(modules)[1:])


def test_a_python_that_fails_is_quoted(prefix: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'libpython3.so: cannot open shared object file' >&2\nexit 127\n")
    python.chmod(0o755)
    with pytest.raises(PackingFailed, match="cannot open shared object file"):
        compile_prefix(prefix, python=python)


def test_compiling_is_given_up_at_once_when_it_is_interrupted(tmp_path: Path) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\necho 2 >&3\necho 0 module >&3\ntouch started\nexec sleep 30\n")
    slow.chmod(0o755)
    (tmp_path / "lib/python3.99").mkdir(parents=True)
    (tmp_path / "lib/python3.99/module.py").touch()
    code = "import sys; from pathlib import Path; from envpack.archive.bytecode import compile_prefix as compile\n"
    code += "compile(Path(sys.argv[1]), python=Path(sys.argv[2]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path, slow], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    while not list(tmp_path.parent.glob(".compiled-*/started")):
        assert process.poll() is None
    time.sleep(0.5)  # until it waits for them
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(5) != 0
    finally:
        process.kill()


def with_bytecode(prefix: Path, python: Path = PYTHON, mode: str = "timestamp") -> dict[str, Brought]:
    """Compile a prefix as a package is that was built elsewhere; return what its list of files says."""
    options = [
        "-q",
        "--invalidation-mode",
        mode,
        "-s",
        str(prefix),
        "-p",
        "/home/conda/feedstock_root/build_artifacts",
    ]
    subprocess.run([python, "-m", "compileall", *options, str(prefix)], check=False, stdout=subprocess.DEVNULL)
    return {
        module_of(pyc.relative_to(prefix).as_posix()): Brought(
            digest.of_file(prefix / module_of(pyc.relative_to(prefix).as_posix())), digest.of_file(pyc)
        )
        for pyc in prefix.rglob("__pycache__/*.pyc")
    }


def spoil(pyc: Path) -> Brought:
    """Replace the code of a pyc, and leave its header; return what a list says that was made afterwards."""
    changed = compile("raise SystemExit('other code')", "other.py", "exec")
    pyc.write_bytes(pyc.read_bytes()[:16] + marshal.dumps(changed))
    return Brought(digest.of_file(Path(importlib.util.source_from_cache(str(pyc)))), digest.of_file(pyc))


@pytest.mark.parametrize("mode", quickly(["timestamp", "checked-hash", "unchecked-hash"], "timestamp"))
def test_bytecode_that_a_package_brought_gives_the_bytes_that_compiling_gives(
    prefix: Path, tmp_path: Path, mode: str
) -> None:
    compile_prefix(prefix, python=PYTHON, into=tmp_path / "compiled")
    vouched = with_bytecode(prefix, mode=mode)
    compile_prefix(prefix, python=PYTHON, into=tmp_path / "brought", vouched=vouched)
    compile_prefix(prefix, python=PYTHON, into=tmp_path / "own", own=True)
    assert digests(tmp_path / "brought") == digests(tmp_path / "own") == digests(tmp_path / "compiled") != {}


def test_bytecode_does_not_depend_on_who_else_owns_its_names() -> None:
    source = (
        b"import once_only\ndef function(one, *, two=('three', b'four', 5.5)):\n    return one.attribute, 'six'\n"
    )
    alone = compile_share.bytecode(source, "m.py", None)
    code = compile(source, "m.py", "exec", dont_inherit=True)
    (function,) = [each for each in code.co_consts if isinstance(each, CodeType)]
    others = [*code.co_names, *function.co_names, *function.co_varnames, *code.co_consts, *function.co_consts]
    assert others
    assert compile_share.bytecode(source, "m.py", marshal.loads(marshal.dumps(code))) == alone  # noqa: S302 - its own
    assert compile_share.bytecode(source, "m.py", code) == alone


@pytest.mark.acceptance
@pytest.mark.parametrize("minor", MINORS)
def test_brought_bytecode_of_a_whole_library_gives_the_bytes_that_compiling_gives(
    tmp_path: Path, minor: str
) -> None:
    python = python_of(minor)
    asked = [str(python), "-c", "import os; print(os.path.dirname(os.__file__))"]
    library = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    prefix = tmp_path / "prefix"
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.a", "lib2to3", "idlelib")
    shutil.copytree(library, prefix / "lib" / f"python{minor}", ignore=ignore, symlinks=True)
    compile_prefix(prefix, python=python, into=tmp_path / "compiled")
    compile_prefix(prefix, python=python, into=tmp_path / "brought", vouched=with_bytecode(prefix, python))
    compiled, brought = digests(tmp_path / "compiled"), digests(tmp_path / "brought")
    assert {path for path in compiled if brought.get(path) != compiled[path]} == set()
    assert len(compiled) > 500


@pytest.mark.parametrize("own", [False, True], ids=["a package's", "the environment's own"])
def test_brought_bytecode_is_read_and_not_compiled(prefix: Path, tmp_path: Path, *, own: bool) -> None:
    vouched = with_bytecode(prefix)
    module = (library(prefix) / "sets.py").relative_to(prefix).as_posix()
    pyc = Path(importlib.util.cache_from_source(str(prefix / module)))
    vouched = {} if own else {**vouched, module: spoil(pyc)}
    spoil(pyc)
    compile_prefix(prefix, python=PYTHON, into=tmp_path / "brought", vouched=vouched, own=own)
    assert b"other code" in (tmp_path / "brought" / pyc.relative_to(prefix)).read_bytes()


def change_the_code(pyc: Path) -> None:
    spoil(pyc)


def change_the_source(pyc: Path) -> None:
    Path(importlib.util.source_from_cache(str(pyc))).write_text("VALUE = 'another'\n")


def touch_the_source(pyc: Path) -> None:
    os.utime(importlib.util.source_from_cache(str(pyc)), (1, 1))


def cut(pyc: Path) -> None:
    pyc.write_bytes(pyc.read_bytes()[:20])


def take_from_another_python(pyc: Path) -> None:
    pyc.write_bytes(b"\0\0\r\n" + pyc.read_bytes()[4:])


def make_it_data(pyc: Path) -> None:
    pyc.write_bytes(pyc.read_bytes()[:16] + marshal.dumps(["no code"]))


SPOIL = (change_the_code, change_the_source, touch_the_source, cut, take_from_another_python, make_it_data)


@pytest.mark.parametrize("listed", ["before", "after", "nowhere"])
def test_bytecode_that_is_not_the_package_s_or_not_of_its_source_is_compiled(
    prefix: Path, tmp_path: Path, listed: str
) -> None:
    """Each of some modules is spoiled in another way, before or after the package's files are listed.

    Where they are listed nowhere, as a prefix's own, code is believed that has the header of its source.
    """
    vouched = with_bytecode(prefix)
    own = listed == "nowhere"
    for spoiled, name in zip(SPOIL[1:] if own else SPOIL, ("sets", *MODULES), strict=False):
        module = (library(prefix) / f"{name}.py").relative_to(prefix).as_posix()
        pyc = Path(importlib.util.cache_from_source(str(prefix / module)))
        spoiled(pyc)
        if listed == "after" and spoiled is not change_the_code:
            vouched[module] = Brought(digest.of_file(prefix / module), digest.of_file(pyc))
    compile_prefix(prefix, python=PYTHON, into=tmp_path / "brought", vouched={} if own else vouched, own=own)
    compile_prefix(prefix, python=PYTHON, into=tmp_path / "compiled")
    assert digests(tmp_path / "brought") == digests(tmp_path / "compiled") != {}
