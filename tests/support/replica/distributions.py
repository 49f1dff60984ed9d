"""The files of Python distributions: those of the project's wheel, laid out as conda-forge's packages are."""

from __future__ import annotations

import configparser
import csv
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version
from uv import find_uv_bin

from tests.support.replica.package_file import BUILT, PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.replica.records import Record

_PLATFORM = "x86_64-manylinux_2_28"

_MODULES = {"esmpy": "esmpy", "gdal": "osgeo"}
"""The module of a project that has no wheel, where it is not named like the project."""

_LOADED = {"esmpy": ("esmf", "libesmf.so"), "gdal": ("libgdal-core", "libgdal.so")}
"""The package and the library that such a project is the binding of."""

_BINDING = '''\
"""{project}, a binding that loads its library."""

import ctypes
import os
import sys

__version__ = "{version}"
'''

_LOADING = """
library = ctypes.CDLL(os.path.join(sys.prefix, "lib", "{library}"))
prefix = (ctypes.c_char * 255).in_dll(library, "{symbol}").value.decode()
"""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """What a package with a Python distribution holds beside `info`."""

    entry_points: tuple[str, ...]
    """`NAME = MODULE:FUNCTION`; for `info/link.json` of a noarch package, which has no programs for them."""


def lay_out(record: Record, root: Path, *, python: Path, minor: str) -> Distribution:
    """Put a distribution's files into `root`, as the package of this record holds them.

    `python` compiles them where the package is not noarch; `minor` is its version, such as `3.12`. The wheel is
    that of the record's version, or of the nearest that PyPI has; a project without wheels gets a module that loads
    the library it is a binding of.
    """
    assert record.project
    with tempfile.TemporaryDirectory() as scratch:
        prefix = Path(scratch) / "prefix"
        if not _install(record.project, record.version, prefix, minor):
            _write_binding(record, prefix, minor)
        site = next(prefix.glob("lib/python*/site-packages"))
        (info,) = site.glob("*.dist-info")
        entry_points = tuple(_entry_points(info))
        scripts = {line.split(" = ")[0] for line in entry_points}
        noarch = record.is_noarch_python
        names = _rename(prefix, site, root, scripts if noarch else set(), noarch=noarch, minor=minor)
        _write_record(info, root / names[info / "RECORD"], record, minor)
    if not noarch:
        _compile(root, python)
    return Distribution(entry_points=entry_points if noarch else ())


def _install(project: str, version: str, prefix: Path, minor: str) -> bool:
    """Unpack the wheel of the nearest version there is; say whether there is one."""
    for wanted, resolution in _nearest(version):
        shutil.rmtree(prefix, ignore_errors=True)
        done = subprocess.run(
            [
                *(find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"),
                *("--prefix", str(prefix), "--python", sys.executable, "--link-mode", "copy"),
                *("--python-version", minor, "--python-platform", _PLATFORM),
                *("--resolution", resolution, f"{project}{wanted}"),
            ],
            env={
                name: value for name, value in os.environ.items() if not name.startswith("UV_") or "INDEX" in name
            },
            check=False,
            capture_output=True,
            text=True,
        )
        if not done.returncode:
            return True
        if "error sending request" in done.stderr or "Failed to fetch" in done.stderr:
            raise RuntimeError(f"{project}: {done.stderr}")
    return False


def _nearest(version: str) -> Iterator[tuple[str, str]]:
    """Yield what to ask for, and whether for the highest or the lowest of it."""
    try:
        Version(version)
    except InvalidVersion:
        yield "", "highest"
        return
    yield f"=={version}", "highest"
    yield f"<={version}", "highest"
    yield f">{version}", "lowest"


def _write_binding(record: Record, prefix: Path, minor: str) -> None:
    project = str(record.project)
    module = _MODULES.get(project, re.sub(r"[-.]", "_", project))
    site = prefix / "lib" / f"python{minor}" / "site-packages"
    package = site / module / "__init__.py"
    package.parent.mkdir(parents=True)
    text = _BINDING.format(project=project, version=record.version)
    if project in _LOADED:
        _, library = _LOADED[project]
        text += _LOADING.format(library=library, symbol=library.split(".")[0].removeprefix("lib") + "_prefix")
    package.write_text(text, "utf-8")
    info = site / f"{project.replace('-', '_')}-{record.version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: {record.version}\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n")
    (info / "RECORD").write_text(
        "".join(f"{path.relative_to(site)},,\n" for path in (package, info / "METADATA", info / "WHEEL"))
        + f"{info.name}/RECORD,,\n"
    )


def _rename(
    prefix: Path, site: Path, root: Path, left_out: set[str], *, noarch: bool, minor: str
) -> dict[Path, str]:
    """Move what was installed to where the package keeps it; return the new name of each file."""
    places = {
        site: "site-packages" if noarch else f"lib/python{minor}/site-packages",
        prefix / "bin": "python-scripts" if noarch else "bin",
        **dict.fromkeys(prefix.glob("include/site/python*"), f"include/python{minor}"),
    }
    names: dict[Path, str] = {}
    for path in sorted(prefix.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        if (path.parent == prefix / "bin" and path.name in left_out) or path == prefix / ".lock":
            continue
        if path.name in ("INSTALLER", "REQUESTED", "direct_url.json") and path.parent.name.endswith(".dist-info"):
            continue
        base = next((place for place in places if path.is_relative_to(place)), None)
        name = f"{places[base]}/{path.relative_to(base)}" if base else path.relative_to(prefix).as_posix()
        names[path] = name
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target, follow_symlinks=False)
        if base == prefix / "bin":
            _name_the_builders_python(target)
    return names


def _name_the_builders_python(script: Path) -> None:
    content = script.read_bytes()
    if content.startswith((b"#!", b"#!/")) and b"python" in content.split(b"\n", 1)[0] + content[:400]:
        text = content.decode("utf-8")
        # uv writes a path too long for a shebang as two lines that a shell and Python both read.
        body = re.sub(r"\A(?:#!/bin/sh\n'''exec' .*\n' '''\n|#!.*\n)", "", text)
        script.write_text(f"#!{PLACEHOLDER}/bin/python\n{body}", "utf-8")


def _write_record(info: Path, record_file: Path, record: Record, minor: str) -> None:
    """Write RECORD and what stands beside it as pip does in conda-forge's builds.

    pip compiles what it installs and lists the bytecode; conda-build takes it out of noarch packages and leaves the
    lines. Source: conda-build, `post.py`; any noarch package of conda-forge.
    """
    folder = info.name
    rows = [row for row in csv.reader(io.StringIO((info / "RECORD").read_text("utf-8"))) if row]
    listed = {row[0] for row in rows}
    rows = [row for row in rows if Path(row[0]).name not in ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD")]
    tag = "cpython-" + minor.replace(".", "")
    for name in sorted(listed):
        path = Path(name)
        if path.suffix == ".py" and ".." not in path.parts:
            rows.append([str(path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc"), "", ""])
    home = f"file:///home/conda/feedstock_root/build_artifacts/{record.name}_1700000000000/work"
    beside = {"INSTALLER": "conda\n", "REQUESTED": "", "direct_url.json": f'{{"dir_info": {{}}, "url": "{home}"}}'}
    for name, text in beside.items():
        (record_file.parent / name).write_text(text, "utf-8")
        rows.append([f"{folder}/{name}", "", ""])
    rows.append([f"{folder}/RECORD", "", ""])
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(sorted(rows))
    record_file.write_text(out.getvalue(), "utf-8")


def _entry_points(info: Path) -> Iterator[str]:
    file = info / "entry_points.txt"
    if not file.exists():
        return
    parser = configparser.RawConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read_string(file.read_text("utf-8"))
    for group in ("console_scripts", "gui_scripts"):
        if parser.has_section(group):
            for name, target in parser.items(group):
                yield f"{name} = {target.partition('[')[0].strip()}"


def _compile(root: Path, python: Path) -> None:
    for site in root.glob("lib/python*/site-packages"):
        for module in site.rglob("*.py"):
            os.utime(module, (BUILT, BUILT))
        command = [str(python), "-I", "-m", "compileall", "-q", "-s", str(root), str(site)]
        # what cannot be compiled, such as templates of code, has no bytecode in real packages either
        subprocess.run(command, check=False, capture_output=True)
