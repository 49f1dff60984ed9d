"""Built wheels: written in the same way on every machine, and compared."""

from __future__ import annotations

import hashlib
import stat
import time
import zipfile
from contextlib import suppress
from email.parser import BytesParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from envpack import digest
from envpack.errors import BrokenPackage
from envpack.files.wheel import problems_of
from envpack.sources.frontend import EPOCH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpack.files.wheel import WheelTarget

MOST_BYTES = 4 << 30
"""The most bytes of a built wheel's files."""

_SHOWN = 4

_NEEDS = ("Requires-Dist", "Provides-Extra", "Requires-Python")


def write_again(built: Path, into: Path) -> None:
    """Write a wheel with its members in order, with one time and two modes, and not compressed.

    Compressors differ between machines, and nobody fetches this wheel. Directories and links are left out: wheels
    have none. Raises BrokenPackage for a file that cannot be read, or that would be too large.
    """
    time_of_all = time.gmtime(EPOCH)[:6]
    try:
        with zipfile.ZipFile(built) as old, zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as new:
            if sum(info.file_size for info in old.infolist()) > MOST_BYTES:
                raise BrokenPackage(
                    f"the build of {built.name} made a wheel of more than {MOST_BYTES >> 30} GB",
                    hint="exclude data files from the package",
                )
            for info in sorted(old.infolist(), key=lambda info: info.filename):
                if info.is_dir():
                    continue
                entry = zipfile.ZipInfo(info.filename, time_of_all)
                executable = bool(info.external_attr >> 16 & stat.S_IXUSR)
                entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
                entry.create_system = 3  # Unix: where modes count
                with old.open(info) as source, new.open(entry, "w") as target:
                    while chunk := source.read(digest.CHUNK):
                        target.write(chunk)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise BrokenPackage(
            f"the build of {built.name} made a wheel that cannot be read: {error}",
            hint="check the build with `pip wheel`",
        ) from error


def check(wheel: Path, machine: WheelTarget, *, name: str, version: str | None = None) -> None:
    """Check that a built wheel is correct. Raises BrokenPackage with all problems."""
    if problems := problems_of(wheel, machine, name=name, version=version):
        raise BrokenPackage(
            [f"{wheel.name}, built from its source, {problem}" for problem in problems],
            hint="correct its name in the requirements, or report to the project's maintainers what is wrong",
        )


def files_of(wheel: Path) -> dict[str, str]:
    """Return path to the first 16 hex digits of the SHA-256 of each file of a wheel."""
    found = {}
    with zipfile.ZipFile(wheel) as opened:
        for name in sorted(opened.namelist()):
            hashed = hashlib.sha256()
            with opened.open(name) as file:
                while chunk := file.read(digest.CHUNK):
                    hashed.update(chunk)
            found[name] = hashed.hexdigest()[: digest.SHORT]
    return found


def needs_of(wheel: Path) -> str:
    """Return the digest of a wheel's declared needs: other projects, its extras, a Python."""
    with zipfile.ZipFile(wheel) as opened:
        name = next(name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        told = BytesParser().parsebytes(opened.read(name), headersonly=True)
    needs = {key: sorted(map(str, told.get_all(key, []))) for key in _NEEDS}
    return digest.of_json(needs)[: digest.SHORT]


def missing_places(wheel: Path) -> list[str]:
    """Return the needs of a built wheel, without a marker, that have the address of a file that is not here.

    Backends write the path of another project as their build saw it.
    """
    with zipfile.ZipFile(wheel) as opened:
        name = next(name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        told = BytesParser().parsebytes(opened.read(name), headersonly=True)
    found = []
    for text in map(str, told.get_all("Requires-Dist", [])):
        with suppress(InvalidRequirement, ValueError):
            need = Requirement(text)
            place = urlsplit(need.url or "")
            if place.scheme == "file" and not need.marker and not Path(unquote(place.path)).exists():
                found.append(need.name)
    return sorted(found)


def difference(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Say which files differ between two wheels, as the end of a sentence."""
    return "; ".join(_differences(wanted, found)) or "the same files in another order"


def _differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    both = wanted.keys() & found.keys()
    kinds = (
        ("differ", [path for path in sorted(both) if wanted[path] != found[path] and not path.endswith("/RECORD")]),
        ("are missing", sorted(wanted.keys() - found.keys())),
        ("are new", sorted(found.keys() - wanted.keys())),
    )
    for verb, paths in kinds:
        if paths:
            more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
            yield f"{', '.join(paths[:_SHOWN])}{more} {verb if len(paths) > 1 else _SINGLE[verb]}"


_SINGLE = {"differ": "differs", "are missing": "is missing", "are new": "is new"}
