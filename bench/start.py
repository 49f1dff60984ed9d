"""What a node's start is made of beside bytes: variants of one `tar`, unpacked and imported from in turns.

Each variant changes one thing: how many files there are, their order, whether equal files are links, whether
sources lie beside bytecode. The row of the dynamic linker is the same archive with all symbols bound at start.

Usage: python -m bench.start [--rounds N] [--case NAME]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import subprocess
import tarfile
import zipfile
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from bench import places, results
from bench.environments import environment, variables
from bench.measure import Rival, compare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_IMPORT = "import pandas"
_CACHED = re.compile(r"(.*)/__pycache__/([^/]+)\.cpython-\d+\.pyc")
_LIBRARY = re.compile(r"lib/python(\d)\.(\d+)/")


class _Entry(NamedTuple):
    """A member of the archive, and the bytes of a file."""

    member: tarfile.TarInfo
    content: bytes

    @property
    def source(self) -> str | None:
        """The path of the source that this bytecode belongs to, if it is bytecode."""
        found = _CACHED.fullmatch(self.member.name)
        return found and f"{found[1]}/{found[2]}.py"


Entries = list[_Entry]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the variants of the middle environment's archive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", default="middle", help="the name of the rows, such as `middle on a disk`")
    given = parser.parse_args(arguments)
    with places.work() as work:
        archive = work / "plain.tar"
        command: list[str | Path] = [places.ENVPACK, "pack", "--quiet", environment("middle").prefix, archive]
        subprocess.run(command, env=variables(work / "cache"), check=True)
        plain = list(_entries(archive))
        rivals = [
            _rival(name, work, _written(work / f"{name}.tar", changed)) for name, changed in _variants(plain, work)
        ]
        rivals.append(_rival("all symbols bound at start", work, archive, LD_BIND_NOW="1"))
        taken = compare(rivals, rounds=given.rounds)
        rows = results.rows(given.case, taken)
        for row in rows:
            row["unpack"], row["first_import"] = row.pop("parts")
    results.save("start", rows)


def _entries(archive: Path) -> Iterator[_Entry]:
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            yield _Entry(member, file.read() if file else b"")


def _variants(plain: Entries, work: Path) -> Iterator[tuple[str, Entries]]:
    yield "as it is", plain
    yield "first import's files first", _used_first(plain, work)
    yield "equal files as links", _linked(plain)
    yield "no sources where there is bytecode", _without_sources(plain)
    yield "no bytecode", [entry for entry in plain if entry.source is None]
    yield "standard library in one zip", _zipped_library(plain)


def _used_first(plain: Entries, work: Path) -> Entries:
    """Put the files that the first import opens at the beginning."""
    node = places.emptied(work / "node")
    subprocess.run(["tar", "-xf", work / "plain.tar", "-C", node], check=True)
    done = subprocess.run(
        [node / "bin/python", "-I", "-v", "-c", _IMPORT],
        env=variables(),
        check=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    used = {
        str(PurePosixPath(path).relative_to(node))
        for path in re.findall(rf"{re.escape(str(node))}[^\s'\"]+", done.stderr)
    }
    return sorted(plain, key=lambda entry: not (entry.member.isdir() or entry.member.name in used))


def _linked(plain: Entries) -> Entries:
    """Write a file's second and later copies as hard links to the first one."""
    first: dict[tuple[bytes, int], str] = {}
    changed = []
    for entry in plain:
        member = entry.member
        if member.isreg() and entry.content:
            key = (hashlib.sha256(entry.content).digest(), member.mode)
            if first.setdefault(key, member.name) != member.name:
                changed.append(_Entry(_copied(member, type=tarfile.LNKTYPE, linkname=first[key], size=0), b""))
                continue
        changed.append(entry)
    return changed


def _without_sources(plain: Entries) -> Entries:
    """Put each bytecode file into the place of its source, as Python reads it where there is no source."""
    cached = {entry.source for entry in plain}
    changed = []
    for entry in plain:
        if entry.member.name in cached or entry.member.name.endswith("/__pycache__"):
            continue
        if entry.source:
            entry = _Entry(_copied(entry.member, name=f"{entry.source}c"), entry.content)  # noqa: PLW2901 - another place
        changed.append(entry)
    return changed


def _zipped_library(plain: Entries) -> Entries:
    """Move the modules of the standard library into `lib/python3XX.zip`, which is on every Python's path."""
    archive, moved, name = io.BytesIO(), set(), ""
    by_name = {entry.member.name: entry for entry in plain}
    with zipfile.ZipFile(archive, "w") as packed:
        for entry in plain:
            source = entry.source
            library = _LIBRARY.match(entry.member.name)
            if (
                not (source and library and source in by_name)
                or "site-packages" in source
                or "lib-dynload" in source
            ):
                continue
            name = f"lib/python{library[1]}{library[2]}.zip"
            packed.writestr(f"{source[library.end() :]}c", entry.content)
            moved |= {source, entry.member.name}
    kept = [entry for entry in plain if entry.member.name not in moved]
    landmark = next(entry for entry in plain if entry.member.name.endswith("/os.py"))
    whole = _Entry(_copied(landmark.member, name=name, size=len(archive.getvalue())), archive.getvalue())
    return [*kept, landmark, whole]  # without os.py Python does not find its library


def _copied(member: tarfile.TarInfo, **changes: object) -> tarfile.TarInfo:
    copied = tarfile.TarInfo()
    for field in ("name", "mode", "mtime", "size", "type", "linkname"):
        setattr(copied, field, changes.get(field, getattr(member, field)))
    return copied


def _written(path: Path, entries: Entries) -> Path:
    with tarfile.open(path, "w") as tar:
        for member, content in entries:
            tar.addfile(member, io.BytesIO(content))
    return path


def _rival(name: str, work: Path, archive: Path, **more: str) -> Rival:
    node = work / "node"
    return Rival(
        name=name,
        commands=[["tar", "-xf", archive, "-C", node], [node / "bin" / "python", "-I", "-c", _IMPORT]],
        variables={**variables(), **more},
        before=partial(places.emptied, node),
        after=partial(_facts, archive),
    )


def _facts(archive: Path) -> Mapping[str, float]:
    with tarfile.open(archive) as tar:
        return {"size": archive.stat().st_size, "files": sum(not member.isdir() for member in tar)}


if __name__ == "__main__":
    main()
