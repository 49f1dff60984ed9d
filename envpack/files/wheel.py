"""Read a wheel and report what is wrong with it, before it is installed.

The rules are those of the binary distribution format: every file is listed in `RECORD` with its digest, or the
wheel must not be installed (packaging.python.org, specifications/binary-distribution-format). None of 251 wheels of
widely used projects broke this rule (November 2026). Installers do not check it, and they silently drop members
that lead out of their folder.
"""

from __future__ import annotations

import hashlib
import posixpath
import stat
import zipfile
import zlib
from dataclasses import dataclass, field
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from envpack import digest
from envpack.files.wheel_record import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

MOST_FILES = 1_000_000
"""A wheel with more members is refused unread; the largest in use have about 20,000."""

SAFE_SIZE = 1 << 30
"""The unpacked size in bytes that any wheel may have."""

MOST_GROWTH = 100
"""The largest ratio of unpacked to packed size of a larger wheel; among 251 widely used wheels it was 16."""

_METADATA_AT_MOST = 64 << 20
"""The largest file in `.dist-info` that is read, in bytes."""

_SHOWN = 4

_SCHEMES = frozenset({"purelib", "platlib", "headers", "scripts", "data"})

_NOT_LISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")

_UTF8_NAME = 0x800
_ENCRYPTED = 0x1
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, kw_only=True)
class WheelTarget:
    """The target that a wheel has to fit."""

    python: str
    """The version of the Python, such as `3.11.7`."""
    machine: str
    """The processor, as `uname -m` prints it."""
    glibc: str
    """The oldest it has to run with, as `MAJOR.MINOR`."""


@dataclass
class _Reading:
    """What is known of one wheel during the check."""

    wheel: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo] = field(default_factory=dict)
    info: str = ""
    """The `.dist-info` directory."""


def problems_of(
    path: Path, machine: WheelTarget, *, name: str | None = None, version: str | None = None
) -> list[str]:
    """Return the reasons not to install a wheel, each as the end of a sentence that begins with its file name.

    `name` and `version` are the expected ones; by default those of its file name. Time and memory are bounded:
    nothing is unpacked, and a wheel that claims to be much larger when unpacked is not read. Raises OSError when
    the file cannot be read.
    """
    try:
        in_file_name = parse_wheel_filename(path.name)
    except (InvalidWheelFilename, InvalidVersion):
        return ["does not have a wheel's name: NAME-VERSION-PYTHON-ABI-PLATFORM.whl"]
    found = [*_misfits(in_file_name[3], machine)]
    if version and not _same_version(str(in_file_name[1]), version):
        found.append(f"is version {version} inside, and {in_file_name[1]} by its file name")
    if found:
        return found
    try:
        with zipfile.ZipFile(path) as wheel:
            reading = _Reading(wheel)
            found = list(_unfit_members(reading, path.stat().st_size))
            if found:
                return found
            expected = (name or in_file_name[0], version or str(in_file_name[1]))
            return [*_wrong_metadata(reading, expected, machine), *_wrong_record(reading)]
    except UnicodeDecodeError:
        return ["has members whose names are not UTF-8"]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        return [f"is damaged: {str(error) or type(error).__name__}"]


def unpacked_at_most(size: int) -> int:
    """Return the unpacked size in bytes that a wheel of this size may have."""
    return max(SAFE_SIZE, MOST_GROWTH * size)


def _misfits(tags: Iterable[object], machine: WheelTarget) -> Iterator[str]:
    """Report what a wheel was made for, if that is not the target."""
    if not {str(tag) for tag in tags} & supported_tags(machine):
        made_for = sorted({str(tag).split("-", 2)[2] for tag in tags})
        pythons = sorted({"-".join(str(tag).split("-", 2)[:2]) for tag in tags})
        minor = ".".join(machine.python.split(".")[:2])
        yield (
            f"is made for {_some(pythons)} on {_some(made_for)}, and the target has Python {minor} "
            f"on {machine.machine} with glibc {machine.glibc}"
        )


def supported_tags(machine: WheelTarget) -> frozenset[str]:
    """Return the tags of the wheels that fit a machine (PEP 425, PEP 600)."""
    major, minor = (int(part) for part in machine.glibc.split("."))
    platforms = [f"manylinux_{major}_{old}_{machine.machine}" for old in range(minor, 4, -1)]
    legacy = {"manylinux2014": (2, 17), "manylinux2010": (2, 12), "manylinux1": (2, 5)}
    platforms += [f"{name}_{machine.machine}" for name, glibc in legacy.items() if glibc <= (major, minor)]
    platforms.append(f"linux_{machine.machine}")
    python = tuple(int(part) for part in machine.python.split(".")[:2])
    interpreter = f"cp{python[0]}{python[1]}"
    tags = [
        *cpython_tags(python, abis=[interpreter], platforms=platforms),
        *compatible_tags(python, interpreter=interpreter, platforms=platforms),
    ]
    return frozenset(map(str, tags))


def _unfit_members(reading: _Reading, size: int) -> Iterator[str]:
    """Yield the reasons not to read the members at all, and note the members."""
    infos = reading.wheel.infolist()
    if len(infos) > MOST_FILES:
        yield f"has {len(infos):,} members; more than {MOST_FILES:,} are not read"
        return
    total = sum(info.file_size for info in infos)
    if total > unpacked_at_most(size):
        yield f"would unpack to {total:,} bytes from {size:,}, which is more than envpack allows"
        return
    troubles: dict[str, list[str]] = {}
    for info in infos:
        if trouble := _trouble(info):
            troubles.setdefault(trouble, []).append(info.filename)
        elif not info.is_dir():
            if info.filename in reading.members:
                troubles.setdefault("holds twice", []).append(info.filename)
            reading.members[info.filename] = info
    yield from (f"{trouble}: {_some(names)}" for trouble, names in troubles.items())


def _trouble(info: zipfile.ZipInfo) -> str | None:
    name = info.orig_filename
    if not info.flag_bits & _UTF8_NAME and not name.isascii():
        return "has members whose names are not UTF-8"
    if not name.isprintable() or "\\" in name:
        return "has members whose names no file should have"
    if name.startswith("/") or ".." in name.split("/") or (len(name) > 1 and name[1] == ":"):
        return "has members that lead out of its folder"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = {stat.S_IFLNK: "symbolic links", stat.S_IFIFO: "pipes"}.get(kind, "devices")
        return f"holds {what}, which wheels cannot have"
    unreadable = info.flag_bits & _ENCRYPTED or info.compress_type not in _READABLE
    return "holds members that are encrypted, or compressed in a way that wheels are not" if unreadable else None


def _wrong_metadata(reading: _Reading, expected: tuple[str, str], machine: WheelTarget) -> Iterator[str]:
    """Yield where the metadata contradict the wheel's file name, and note where they are."""
    folders = sorted({path.split("/")[0] for path in reading.members if path.split("/")[0].endswith(".dist-info")})
    if len(folders) != 1:
        yield f"has {len(folders) or 'no'} .dist-info directories" + (f": {_some(folders)}" if folders else "")
        return
    reading.info = folders[0]
    texts = {name: _text(reading, f"{reading.info}/{name}") for name in ("METADATA", "WHEEL")}
    missing = [name for name, text in texts.items() if text is None]
    if missing:
        yield f"has no {' and no '.join(missing)} in {reading.info}"
        return
    metadata = HeaderParser().parsestr(texts["METADATA"] or "")
    name, version = expected
    inside = (str(metadata["Name"] or "none"), str(metadata["Version"] or "none"))
    if canonicalize_name(inside[0]) != canonicalize_name(name):
        yield f"is {inside[0]} inside, not {name}"
    if not _same_version(inside[1], version):
        yield f"is version {inside[1]} inside, not {version}"
    project, _, told = reading.info.removesuffix(".dist-info").partition("-")
    if canonicalize_name(project) != canonicalize_name(name) or not _same_version(told, version):
        yield f"has its metadata in {reading.info}, which is that of another wheel"
    if not _allows(str(metadata["Requires-Python"] or ""), machine.python):
        yield f"is for Python {metadata['Requires-Python']}, and the target has {machine.python}"
    layout = str(HeaderParser().parsestr(texts["WHEEL"] or "")["Wheel-Version"] or "none")
    if layout.partition(".")[0] != "1":
        yield f"is in wheel format {layout}, which installers do not know"
    yield from _misplaced(reading)


def _misplaced(reading: _Reading) -> Iterator[str]:
    """Yield the files that would be installed where wheels may not install."""
    data = f"{reading.info.removesuffix('.dist-info')}.data/"
    troubles: dict[str, list[str]] = {}
    for path in reading.members:
        scheme, _, rest = path.removeprefix(data).partition("/") if path.startswith(data) else ("", "", path)
        if scheme and scheme not in _SCHEMES:
            troubles.setdefault("has files for a place that installers do not know", []).append(path)
        elif scheme == "data" and posixpath.normpath(rest).split("/")[0] == "conda-meta":
            troubles.setdefault("would write among conda's records", []).append(path)
    yield from (f"{trouble}: {_some(names)}" for trouble, names in troubles.items())


def _wrong_record(reading: _Reading) -> Iterator[str]:
    """Yield where `RECORD` and the members contradict each other."""
    path = f"{reading.info}/RECORD"
    if not reading.info:
        return
    text = _text(reading, path)
    if text is None:
        yield "has no RECORD, the list of its files"
        return
    rows: dict[str, tuple[str, str]] = {}
    try:
        listed = rows_of(text)
    except ValueError as error:
        yield f"has a RECORD whose lines are not path, digest and size: {error}"
        return
    for row in listed:
        if len(row) != 3:
            yield f"has a RECORD whose lines are not path, digest and size: {','.join(row)[:80]!r}"
            return
        rows[posixpath.normpath(row[0])] = (row[1], row[2])
    exempt = {f"{reading.info}/{name}" for name in _NOT_LISTED}
    unlisted = [name for name in reading.members if name not in rows and name not in exempt]
    absent = [name for name in rows if name not in reading.members and not name.endswith("/")]
    if unlisted:
        yield f"has files that its RECORD does not list: {_some(unlisted)}"
    if absent:
        yield f"lacks files that its RECORD lists: {_some(absent)}"
    wrong = [name for name, row in rows.items() if name in reading.members and not _as_recorded(reading, name, row)]
    if wrong:
        yield f"has files that are not what its RECORD says: {_some(wrong)}"


def _as_recorded(reading: _Reading, name: str, row: tuple[str, str]) -> bool:
    told, size = row
    algorithm, _, value = told.partition("=")
    if size and size != str(reading.members[name].file_size):
        return False
    if not told or algorithm not in hashlib.algorithms_guaranteed or algorithm.startswith("shake"):
        return name.endswith("/RECORD") or not told
    hashed = hashlib.new(algorithm, usedforsecurity=False)
    with reading.wheel.open(reading.members[name]) as file:
        while chunk := file.read(digest.CHUNK):
            hashed.update(chunk)
    return hashed.digest() == digest.unpadded(value)


def _text(reading: _Reading, path: str) -> str | None:
    info = reading.members.get(path)
    if info is None:
        return None
    if info.file_size > _METADATA_AT_MOST:
        raise ValueError(f"{path} has {info.file_size:,} bytes")
    return reading.wheel.read(info).decode("utf-8", "replace")


def _same_version(one: str, other: str) -> bool:
    return _parsed(one) == _parsed(other)


def _parsed(version: str) -> Version | str:
    for spelling in (version, version.replace("_", "-")):
        try:
            return Version(spelling)
        except InvalidVersion:
            continue
    return version


def _allows(specifier: str, python: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True


def _some(names: Sequence[str]) -> str:
    """Return names for a message, safe for a terminal."""
    shown = [name if name.isprintable() else ascii(name) for name in names[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name if len(name) <= 100 else f"{name[:97]}..." for name in shown) + more
