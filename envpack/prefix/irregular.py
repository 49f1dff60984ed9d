"""Faults of installed wheels: differences from their own `RECORD`, and conflicts between wheels.

Wheels in local folders are checked before they are installed (`files/wheel.py`); for a wheel from an index the
installer keeps no file, so its files in the prefix are checked.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from envpack import digest
from envpack.errors import BrokenPackage, DamagedPackage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from envpack.files.installed import Distribution, Installed

_SHOWN = 4

_NAMESPACE = re.compile(rb"extend_path|declare_namespace")
"""Code that makes a package a namespace that other distributions add to."""

_MADE_BY_INSTALLER = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json"})


def check(
    installed: Installed, *, unchecked: Collection[str], settled: Collection[str], python: str
) -> tuple[str, ...]:
    """Check that wheels installed what they list; return findings that are legal but worth knowing.

    `unchecked` are the projects whose wheels were not checked before, `settled` the paths that several packages
    have. Raises BrokenPackage with all that is wrong; where files differ, DamagedPackage, as the copy in the
    installer's cache may be damaged.
    """
    wheels = [wheel for wheel in installed.wheels if wheel.project in unchecked]
    problems = [problem for wheel in wheels for problem in _problems(installed.prefix, wheel, settled, python)]
    if wheels and (stray := _unlisted(installed)):
        among = ", ".join(sorted(wheel.project for wheel in wheels)[:_SHOWN])
        problems.append(f"a wheel (one of {among}) has files that its RECORD does not list: {_some(stray)}")
    if problems:
        hint = "report it to the wheel's maker, or use another version or a build of your own"
        differing = {wheel.owner for wheel in wheels if _wrong(installed.prefix, wheel, settled)}
        if differing:
            raise DamagedPackage(problems, owners=differing, hint=hint)
        raise BrokenPackage(problems, hint=hint)
    return (*_intruders(installed), *_alike(installed))


def _problems(prefix: Path, wheel: Distribution, settled: Collection[str], python: str) -> Iterator[str]:
    told = f"the wheel {wheel.project} {wheel.version}"
    if not wheel.files:
        yield f"{told} has an empty RECORD"
        return
    own = [path for path in wheel.files if path not in settled and not _is_made(wheel, path)]
    absent = [path for path in own if not os.path.lexists(prefix / path)]
    if absent:
        yield f"{told} lacks files that its RECORD lists: {_some(absent)}"
    if wrong := _wrong(prefix, wheel, settled):
        yield f"{told} has files that are not what its RECORD says: {_some(wrong)}"
    among = [path for path in own if path.startswith("conda-meta/")]
    if among:
        yield f"{told} would write among conda's records: {_some(among)}"
    facts = wheel.metadata.metadata
    needed = str(facts["Requires-Python"]) if "Requires-Python" in facts else ""
    try:
        fits = SpecifierSet(needed).contains(python, prereleases=True)
    except InvalidSpecifier:
        fits = True
    if not fits:
        yield f"{told} is for Python {needed}, and the target has {python}"


def _wrong(prefix: Path, wheel: Distribution, settled: Collection[str]) -> list[str]:
    own = [path for path in wheel.files if path not in settled and not _is_made(wheel, path)]
    return [path for path in own if (known := wheel.sha256(path)) and _other(prefix / path, known)]


def _is_made(wheel: Distribution, path: str) -> bool:
    """Say whether the installer wrote or changed a file: notes in `.dist-info`, scripts."""
    folder, name = posixpath.split(path)
    return folder == "bin" or (folder == wheel.folder and (name in _MADE_BY_INSTALLER or name.startswith("uv_")))


def _other(path: Path, sha256: str) -> bool:
    return path.is_file() and digest.of_file(path) != sha256


def _unlisted(installed: Installed) -> list[str]:
    """Return the files that no package lists."""
    known = {path for record in installed.conda for path in record.files}
    known |= {path for wheel in installed.wheels for path in wheel.files}
    found = []
    for folder in sorted({wheel.site_packages for wheel in installed.wheels}):
        for here, _, names in os.walk(installed.prefix / folder):
            inside = os.path.relpath(here, installed.prefix)
            paths = [f"{inside}/{name}" for name in names if not name.endswith(".pyc")]
            found += [path for path in paths if path not in known and not _is_note(path)]
    return sorted(found)


def _is_note(path: str) -> bool:
    folder, name = posixpath.split(path)
    return folder.endswith(".dist-info") and (name in _MADE_BY_INSTALLER or name.startswith("uv_"))


def _intruders(installed: Installed) -> Iterator[str]:
    """Yield which wheels put modules into another distribution's package, unless it is a namespace."""
    homes: dict[str, str] = {}
    for owner, files in _owned(installed):
        for path in files:
            folder, name = posixpath.split(path)
            if name == "__init__.py" and folder.endswith("/site-packages") is False and "/site-packages/" in path:
                homes.setdefault(folder, owner)
    for wheel in installed.wheels:
        inside: dict[str, list[str]] = defaultdict(list)
        for path in wheel.files:
            if path.endswith((".py", ".so")) and (home := _home(path, homes)) and homes[home] != wheel.owner:
                inside[home].append(path)
        for home, paths in sorted(inside.items()):
            if f"{home}/__init__.py" not in wheel.files and not _is_namespace(installed.prefix / home):
                other = homes[home].partition("/")[2]
                yield f"{wheel.project} {wheel.version} puts modules into a package of {other}: {_some(paths)}"


def _owned(installed: Installed) -> Iterator[tuple[str, Collection[str]]]:
    yield from ((record.owner, record.files) for record in installed.conda)
    yield from ((wheel.owner, wheel.files) for wheel in installed.wheels)


def _home(path: str, homes: Collection[str]) -> str | None:
    """Return the outermost package of a module."""
    steps = path.split("/")
    return next((home for n in range(1, len(steps)) if (home := "/".join(steps[:n])) in homes), None)


def _is_namespace(folder: Path) -> bool:
    try:
        data = (folder / "__init__.py").read_bytes()
    except OSError:
        return False
    return not data.strip() or bool(_NAMESPACE.search(data))


def _alike(installed: Installed) -> Iterator[str]:
    """Yield the modules whose names differ only by case: on macOS and Windows only one of them can exist."""
    names: dict[str, set[str]] = defaultdict(set)
    for wheel in installed.wheels:
        for path in wheel.files:
            names[path.lower()].add(path)
    clashing = [path for paths in names.values() if len(paths) > 1 for path in sorted(paths)]
    if clashing:
        yield f"files of wheels whose names differ by case only: {_some(sorted(clashing))}"


def _some(paths: Sequence[str]) -> str:
    shown = [path if path.isprintable() else ascii(path) for path in paths[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
