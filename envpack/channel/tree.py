"""Copy a Python so that it runs anywhere: its program, standard library and shared libraries."""

from __future__ import annotations

import ast
import pprint
import re
import shutil
from typing import TYPE_CHECKING

import certifi

from envpack.channel import libraries
from envpack.errors import PackingFailed
from envpack.files import elf
from envpack.redact.logs import filtered_logger
from envpack.tools import cage
from envpack.tools.cage import Cage
from envpack.tools.process import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from envpack.channel.interpreter import Interpreter
    from envpack.tools.emulator import Emulator

logger = filtered_logger(__name__)

_LEFT_OUT = shutil.ignore_patterns(
    # packages installed into this Python, not its own files
    *("site-packages", "dist-packages", "sitecustomize.py", "usercustomize.py", "EXTERNALLY-MANAGED"),
    # tests
    *("test", "tests", "_test*.so", "_ctypes_test*.so", "_xxtestfuzz*.so", "xxlimited*.so"),
    # modules that need a screen, and Tcl's own library of scripts
    *("idlelib", "tkinter", "turtledemo", "turtle.py", "_tkinter*.so"),
    # files for building or installing software, which contain this Python's installation path
    *("ensurepip", "config-*", "build-details.json", "_sysconfig_vars_*.json", "*.a", "*.exe"),
    # made again where needed
    "__pycache__",
)

_SCHEMES = "def _get_preferred_schemes():\n"

_USUAL_SCHEMES = f"""\
{_SCHEMES}\
    return {{"prefix": "posix_prefix", "home": "posix_home", "user": "posix_user"}}


def _get_distributor_schemes():
"""
"""Where a Python installs packages by default, unless its distributor changed that, as Debian does.

Source: https://docs.python.org/3/library/sysconfig.html, `sysconfig._get_preferred_schemes`.
"""

_SITE_PACKAGES = """\
import site, sys; site.addsitedir(sys.prefix + "/lib/python%d.%d/site-packages" % sys.version_info[:2])
"""
"""For a directory where Debian's `site` looks for packages instead. `site` itself is frozen into the program."""

OF_WHEELS = "cxx"
"""The directory below `lib` for libraries that wheels otherwise use from the machine."""

_OF_WHEELS = ("libgcc_s.so.1", "libstdc++.so.6")
"""Source: auditwheel's policy, the same for every manylinux."""

_TRYING = 60.0
"""Seconds."""

_OTHER_PYTHON = "make the channel from another Python with --python"

_HERE = "@PREFIX@"

_SYSCONFIG = """\
# The configuration that this Python was built with; its directories are where it is now.
import sys

_built_with = {built_with}
build_time_vars = {{
    name: value.replace("{here}", sys.base_prefix) if isinstance(value, str) else value
    for name, value in _built_with.items()
}}
"""


def lay_out(interpreter: Interpreter, root: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Copy a Python into `root`, which becomes a prefix that can be moved.

    Returns its programs and libraries, and a line for each module that was left out because this machine lacks a
    library for it. Installed packages, tests, Tk, ensurepip and files that are only for compiling extension modules
    are left out too. Raises PackingFailed when a file cannot be made to look for libraries in the prefix.
    """
    program = root / "bin" / f"python{interpreter.short_version}"
    program.parent.mkdir(parents=True)
    shutil.copyfile(interpreter.executable, program)
    for name in ("python", "python3"):
        (program.parent / name).symlink_to(program.name)
    lib = root / "lib"
    stdlib = lib / program.name
    shutil.copytree(
        interpreter.stdlib, stdlib, ignore=_LEFT_OUT, copy_function=shutil.copyfile, ignore_dangling_symlinks=True
    )
    _forget_the_machine(stdlib)
    notes = _add_libraries(interpreter, stdlib, lib)
    (root / "ssl").mkdir()
    shutil.copyfile(certifi.where(), root / "ssl" / "cacert.pem")
    libraries_of_its_own = (*sorted(lib.glob("*.so*")), *sorted(lib.glob(f"{OF_WHEELS}/*.so*")))
    binaries = (program, *sorted((stdlib / "lib-dynload").glob("*.so")), *libraries_of_its_own)
    for path in binaries:
        path.chmod(0o755)
        libraries.look_in(path, lib)
    packages = stdlib / "site-packages"
    packages.mkdir()
    _try_out(program, root, packages, interpreter.emulator)
    return binaries, notes


def _try_out(program: Path, root: Path, packages: Path, emulator: Emulator | None) -> None:
    question = "import sys, sysconfig; print(sys.prefix, sysconfig.get_path('purelib'), *sys.path, sep='\\n')"
    command = [*(emulator.words if emulator else []), str(program), "-I", "-B", "-c", question]
    readable = [root, *(emulator.readable if emulator else [])]
    ended = cage.run(command, Cage(directory=root, environ={}, readable=readable), timeout=_TRYING)
    prefix, purelib, *path = [*lines_of(ended.output), "", ""]
    if ended.problem or prefix != str(root) or purelib != str(packages) or purelib not in path:
        reason = ended.output.decode(errors="replace").strip() if ended.code else None
        reason = reason or ended.problem or f"{prefix} is its prefix, {purelib} is for packages, of {path}"
        raise PackingFailed(f"this Python cannot be moved to another directory: {reason}", hint=_OTHER_PYTHON)


def _add_libraries(interpreter: Interpreter, stdlib: Path, lib: Path) -> tuple[str, ...]:
    emulator = interpreter.emulator
    loader = libraries.loader(interpreter.executable)
    if emulator:
        loader = emulator.root / loader.relative_to("/")
    found = libraries.needed(interpreter.executable, loader, emulator)
    notes = []
    for module in sorted((stdlib / "lib-dynload").glob("*.so")):
        try:
            # The original is asked: its library paths may be relative to its own place.
            found.update(libraries.needed(interpreter.stdlib / "lib-dynload" / module.name, loader, emulator))
        except libraries.MissingLibrary as error:
            module.unlink()
            notes.append(f"{module.name.split('.')[0]} is left out: this machine has no {error}")
    carried = [interpreter.executable, *stdlib.glob("lib-dynload/*.so"), *found.values()]
    for name, place in _for_wheels(found, carried, loader).items():
        (lib / OF_WHEELS).mkdir(exist_ok=True)
        shutil.copyfile(place, lib / OF_WHEELS / name)
    for name, place in sorted(found.items()):
        logger.debug("carry %s from %s", name, place)
        shutil.copyfile(place, lib / name)
    return tuple(notes)


def _for_wheels(found: Mapping[str, Path], carried: Iterable[Path], loader: Path) -> dict[str, Path]:
    """Return the C++ libraries that manylinux lets wheels use from a machine, where they are beside the others.

    With them in the archive, none from a node's LD_LIBRARY_PATH is used; the archive's start-up file loads them.
    They have their own directory, since conda's packages of them use `lib`. One that needs a newer glibc than all
    other files is left out: fewer nodes could run the archive.
    """
    folders = sorted({place.parent for place in (loader.resolve(), *found.values())})
    newest = max((_glibc(path) for path in carried), default=(0, 0))
    added = {}
    for name in _OF_WHEELS:
        place = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if place and name not in found and _glibc(place) <= newest:
            added[name] = place.resolve()
    return added


def _glibc(path: Path) -> tuple[int, int]:
    binary = elf.read(path, path.name)
    return (binary and binary.glibc) or (0, 0)


def _forget_the_machine(stdlib: Path) -> None:
    if '"dist-packages"' in (stdlib / "site.py").read_text("utf-8"):
        _leave_debian(stdlib)
    for path in stdlib.glob("_sysconfigdata_*.py"):
        built_with = _relocatable(_build_time_vars(path))
        text = pprint.pformat(built_with, width=110)
        path.write_text(_SYSCONFIG.format(built_with=text, here=_HERE), "utf-8")


def _leave_debian(stdlib: Path) -> None:
    for path in (stdlib / "sysconfig.py", stdlib / "sysconfig" / "__init__.py"):
        if path.is_file():
            path.write_text(path.read_text("utf-8").replace(_SCHEMES, _USUAL_SCHEMES), "utf-8")
    (stdlib / "_distutils_system_mod.py").unlink(missing_ok=True)
    packages = stdlib.parent / "python3" / "dist-packages"
    packages.mkdir(parents=True)
    (packages / "site-packages.pth").write_text(_SITE_PACKAGES, "utf-8")


def _build_time_vars(path: Path) -> dict[str, str | int]:
    for node in ast.parse(path.read_text("utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="build_time_vars")], value=value):
                variables: dict[str, str | int] = ast.literal_eval(value)
                return variables
    raise PackingFailed(f"{path} does not contain the build settings of this Python", hint=_OTHER_PYTHON)


def _relocatable(variables: dict[str, str | int]) -> dict[str, str | int]:
    prefix = re.compile(re.escape(str(variables["prefix"])) + r"(?![\w.-])")
    build = str(variables.get("abs_builddir") or ".")

    def relocate(name: str, value: str | int) -> str | int:
        # Time zones are the node's: a Python in /usr must still look for them there.
        if not isinstance(value, str) or name == "TZPATH":
            return value
        return prefix.sub(_HERE, value.replace(build, "."))

    return {name: relocate(name, value) for name, value in variables.items()}
