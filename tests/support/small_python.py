"""A starter Python with a quarter of its modules: enough for what envpack runs in it, and quick to pack."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rattler.package_streaming import extract

from envpack.channel import conda_file
from envpack.files import elf

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = (
    # what rattler compiles packages with, what envpack compiles and verifies with, what uv asks a Python with
    *(
        "asyncio",
        "compileall",
        "concurrent.futures.process",
        "ctypes",
        "hashlib",
        "importlib.metadata",
        "json",
        "marshal",
    ),
    *("platform", "py_compile", "runpy", "site", "ssl", "struct", "subprocess", "sysconfig", "traceback", "venv"),
    # what the tests' own packages and programs import
    *("__future__", "argparse", "atexit", "dataclasses", "datetime", "glob", "importlib.resources", "mmap"),
    *("shutil", "timeit"),  # conda-unpack
    *("multiprocessing.pool", "pathlib", "pkgutil", "resource", "signal", "socket", "tempfile", "time", "zipfile"),
    *(f"encodings.{name}" for name in ("ascii", "cp437", "idna", "latin_1", "utf_8", "utf_8_sig")),
)
"""What is kept, with all that is imported with it."""

_IMPORTED = """
import importlib, json, sys, sysconfig
# uv asks Python 3.10 for its paths by these.
old = ["distutils.command.build", "distutils.command.install", "distutils.dist"]
for name in sys.argv[1:] + (old if sys.version_info < (3, 11) else []):
    importlib.import_module(name)
library = sysconfig.get_path("stdlib")
print(json.dumps([
    *(module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)),
    # Of collections.abc, Python 3.13 has in memory the module that it is made of.
    *(f"{library}/{name.replace('.', '/')}.py" for name in sys.modules),
    importlib.import_module(sysconfig._get_sysconfigdata_name()).__file__,
]))
"""


BUILD = "small_0"
"""The build string of the package, so that no cache takes it for the starter's."""


def write(starter: Path, directory: Path) -> tuple[Path, str]:
    """Write a package with what is `WANTED` of a starter's into a directory.

    Returns its path, and the oldest glibc that it runs on: what needs a newer one may have been left out.
    """
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        extract(starter, root)
        index = json.loads((root / "info/index.json").read_text())
        about = json.loads((root / "info/about.json").read_text())
        shutil.rmtree(root / "info")
        _leave_out_modules(root)
        _leave_out_libraries(root)
        _strip(root)
        glibc = _oldest_glibc(root)
        package = directory / f"python-{index['version']}-{BUILD}.conda"
        reduced = {**index, "build": BUILD, "depends": [f"__glibc >={glibc}"]}
        conda_file.write(root, package, index=reduced, about=about)
    return package, glibc


def _leave_out_modules(root: Path) -> None:
    command = [str(root / "bin/python"), "-I", "-B", "-c", _IMPORTED, *WANTED]
    imported = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    kept = {Path(path).resolve() for path in imported}
    (library,) = (root / "lib").glob("python3.*")
    for path in (*library.rglob("*.py"), *library.rglob("*.so")):
        # A package that only lies around a kept module stays, too.
        if path.resolve() not in kept and not (path.name == "__init__.py" and _lies_around(path.parent, kept)):
            path.unlink()
    for folder in sorted((path for path in library.rglob("*") if path.is_dir()), reverse=True):
        if folder.name not in ("site-packages", "lib-dynload") and not any(folder.rglob("*.py")):
            shutil.rmtree(folder)


def _lies_around(folder: Path, kept: set[Path]) -> bool:
    return any(path.is_relative_to(folder.resolve()) for path in kept)


def _leave_out_libraries(root: Path) -> None:
    libraries = {path.name: path for path in (root / "lib").glob("*.so*")}
    asking = [(root / "bin/python").resolve(), *root.rglob("lib-dynload/*.so")]
    needed: set[str] = set()
    while asking:
        new = set(_needed(asking.pop())) & (libraries.keys() - needed)
        needed |= new
        asking += [libraries[name] for name in new]
    for name in libraries.keys() - needed:
        libraries[name].unlink()


def _needed(path: Path) -> Iterator[str]:
    binary = elf.read(path, path.name)
    return iter(binary.needed if binary else ())


def _binaries(root: Path) -> list[Path]:
    return [(root / "bin/python").resolve(), *(path for path in root.rglob("*.so*") if not path.is_symlink())]


def _oldest_glibc(root: Path) -> str:
    found = [binary.glibc for path in _binaries(root) if (binary := elf.read(path, path.name)) and binary.glibc]
    return ".".join(map(str, max(found)))


def _strip(root: Path) -> None:
    """Leave out what only debuggers read, where binutils are installed: three quarters of a Python of pyenv's."""
    if strip := shutil.which("strip"):
        subprocess.run([strip, "--strip-debug", *_binaries(root)], check=True)
