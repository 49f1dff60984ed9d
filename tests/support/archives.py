"""Small archives around a real Python, right and wrong in every way a test wants."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rattler.package_streaming import extract

from tests.support.cache import shared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.archive.formats import FormatName
    from tests.support.channel import Channel


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One member of an archive, written as it is said, however wrong."""

    name: str
    data: bytes | Path = b""
    mode: int = 0o644
    type: bytes = tarfile.REGTYPE
    target: str = ""

    def info(self) -> tarfile.TarInfo:
        info = tarfile.TarInfo(self.name)
        info.mode, info.type, info.linkname = self.mode, self.type, self.target
        if self.type == tarfile.REGTYPE:
            info.size = self.data.stat().st_size if isinstance(self.data, Path) else len(self.data)
        return info

    def read(self) -> bytes:
        return self.data.read_bytes() if isinstance(self.data, Path) else self.data


def link(name: str, target: str) -> Entry:
    return Entry(name=name, target=target, mode=0o777, type=tarfile.SYMTYPE)


def hard_link(name: str, target: str) -> Entry:
    return Entry(name=name, target=target, type=tarfile.LNKTYPE)


def write_archive(path: Path, entries: Sequence[Entry]) -> Path:
    if path.suffix == ".zip":
        _write_zip(path, entries)
    else:
        plain = path.suffix == ".tar"
        with tarfile.open(path, "w") if plain else tarfile.open(path, "w:gz", compresslevel=1) as tar:
            for entry in entries:
                tar.addfile(entry.info(), io.BytesIO(entry.read()) if entry.type == tarfile.REGTYPE else None)
    return path


def extend_archive(archive: Path, path: Path, entries: Sequence[Entry]) -> Path:
    """Write a `.tar.gz` with what another holds and further entries behind it."""
    end = io.BytesIO()
    with tarfile.open(fileobj=end, mode="w:gz", compresslevel=1) as tar:
        for entry in entries:
            tar.addfile(entry.info(), io.BytesIO(entry.read()) if entry.type == tarfile.REGTYPE else None)
    # A gzip may have several members (RFC 1952, section 2.2); the first here has no end of a tar in it.
    path.write_bytes(archive.read_bytes() + end.getvalue())
    return path


def _write_zip(path: Path, entries: Sequence[Entry]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for entry in entries:
            is_link = entry.type == tarfile.SYMTYPE
            info = zipfile.ZipInfo(entry.name)
            info.external_attr = ((0o120000 if is_link else 0o100000) | entry.mode) << 16
            file.writestr(info, entry.target if is_link else entry.read())


def contents(tree: Path) -> Iterator[Entry]:
    """Yield an entry for every file and link of a directory."""
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        if path.is_symlink():
            yield link(name, path.readlink().as_posix())
        elif path.is_file():
            yield Entry(name=name, data=path, mode=0o755 if path.stat().st_mode & 0o111 else 0o644)


def members(archive: Path) -> dict[str, tuple[str, bytes]]:
    """Return an archive's members by path, in its order: their headers as text and their contents."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            return {info.filename: (_facts(info), file.read(info)) for info in file.infolist()}
    with tarfile.open(archive) as tar:
        return {info.name: (repr(sorted(info.get_info().items())), _content(tar, info)) for info in tar}


def _facts(info: zipfile.ZipInfo) -> str:
    return repr((info.date_time, oct(info.external_attr >> 16), info.flag_bits, info.extra, info.file_size))


def _excerpt(header: str, content: bytes) -> str:
    return f"{header} {hashlib.sha256(content).hexdigest()} {content[:200]!r}"


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info) if info.isreg() else None
    return file.read() if file else b""


def first_difference(one: Path, other: Path) -> str | None:
    """Return in words the first member in which two archives differ; None when their bytes are the same."""
    if one.read_bytes() == other.read_bytes():
        return None
    left, right = members(one), members(other)
    for path in [*left, *right]:
        if path not in left or path not in right:
            return f"{path} is only in {one if path in left else other}"
        if left[path] != right[path]:
            return f"{path}: {_excerpt(*left[path])} is not {_excerpt(*right[path])}"
    return "the members are equal; their order or what is around them differs"


def peak_memory(prefix: Path, out: Path, kind: FormatName) -> int:
    """Pack in a process of its own and return its peak memory in bytes, as Linux tells it."""
    program = (
        "import sys; from pathlib import Path; from envpack.archive.packing import pack\n"
        "pack(Path(sys.argv[1]), Path(sys.argv[2]), format=sys.argv[3], level=2)\n"
        "print(Path('/proc/self/status').read_text())"
    )
    command: list[str | Path] = [sys.executable, "-c", program, prefix, out, kind]
    status = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(status[status.index("VmHWM:") + 1]) << 10


@pytest.fixture(scope="session")
def python_targz(python_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of `python_tree` in a `.tar.gz` without the blocks that end one, for `extend_archive`."""

    def make(home: Path) -> None:
        with gzip.open(home / "python.tar.gz", "wb", compresslevel=1) as out:
            for entry in contents(python_tree):
                info = entry.info()
                out.write(info.tobuf(tarfile.GNU_FORMAT))
                if entry.type == tarfile.REGTYPE:
                    out.write(entry.read() + bytes(-info.size % tarfile.BLOCKSIZE))

    return shared(tmp_path_factory, "python archive", make) / "python.tar.gz"


@pytest.fixture(scope="session")
def python_tree(channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter Python as it lies in a prefix, with its bytecode; tests do not change it."""
    return shared(tmp_path_factory, "python tree", lambda home: _make_tree(channel, home / "tree")) / "tree"


def _make_tree(channel: Channel, tree: Path) -> None:
    (package,) = (channel.path / channel.platform).glob("python-*.conda")
    extract(package, tree)
    shutil.rmtree(tree / "info")
    record = tree / "conda-meta" / f"{package.stem}.json"
    record.parent.mkdir()
    name, version, _ = package.stem.rsplit("-", 2)
    record.write_text(json.dumps({"name": name, "version": version, "files": ["bin/python"]}))
    if strip := shutil.which("strip"):  # four times smaller, where binutils are installed
        libraries = [path for path in tree.rglob("*.so*") if not path.is_symlink()]
        subprocess.run([strip, "--strip-debug", *libraries], check=True)
    compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*compiling, "-s", tree, tree / "lib"], check=True)
