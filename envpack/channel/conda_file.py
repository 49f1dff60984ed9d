"""Write `.conda` packages, always the same bytes for the same files."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from envpack import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip file can hold."""

_COMPRESSION: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 10,
    zstd.CompressionParameter.nb_workers: 2,
}
"""The number of threads is fixed, not the machine's: one and several threads do not give the same bytes."""


def write(root: Path, file: Path, *, index: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write the files below `root` as a conda package to `file`.

    `index` is its `info/index.json`, `about` its `info/about.json`. Times, owners and modes of the files are not
    kept, except whether they are executable. Symbolic links are kept unchanged. Source:
    https://docs.conda.io/projects/conda-build, Conda package specification.
    """
    paths = [path for path in sorted(root.rglob("*")) if path.is_symlink() or not path.is_dir()]
    names = [path.relative_to(root).as_posix() for path in paths]
    described = {"paths": [_described(*pair) for pair in zip(paths, names, strict=True)], "paths_version": 1}
    info = {
        "info/about.json": _json(about),
        "info/files": "".join(f"{name}\n" for name in names).encode(),
        "info/index.json": _json(index),
        "info/paths.json": _json(described),
    }
    with zipfile.ZipFile(file, "w") as package:
        package.writestr(zipfile.ZipInfo("metadata.json", _EPOCH), _json({"conda_pkg_format_version": 2}))
        with _part(package, f"pkg-{file.stem}") as tar:
            for path, name in zip(paths, names, strict=True):
                _add_file(tar, path, name)
        with _part(package, f"info-{file.stem}") as tar:
            for name, data in info.items():
                tar.addfile(_member(name, size=len(data)), io.BytesIO(data))


@contextmanager
def _part(package: zipfile.ZipFile, name: str) -> Iterator[tarfile.TarFile]:
    entry = zipfile.ZipInfo(f"{name}.tar.zst", _EPOCH)
    with (
        package.open(entry, "w", force_zip64=True) as raw,
        zstd.ZstdFile(raw, "w", options=_COMPRESSION) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        yield tar


def _add_file(tar: tarfile.TarFile, path: Path, name: str) -> None:
    if path.is_symlink():
        link = _member(name, mode=0o777)
        link.type, link.linkname = tarfile.SYMTYPE, str(path.readlink())
        tar.addfile(link)
        return
    status = path.stat()
    with path.open("rb") as content:
        tar.addfile(_member(name, size=status.st_size, mode=0o755 if status.st_mode & 0o111 else 0o644), content)


def _member(name: str, *, size: int = 0, mode: int = 0o644) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, mode
    return member


def _described(path: Path, name: str) -> dict[str, Any]:
    entry = {"_path": name, "path_type": "softlink" if path.is_symlink() else "hardlink"}
    if not path.is_file():
        # a link to a directory, or to another package's file
        return entry
    return {**entry, "sha256": digest.of_file(path), "size_in_bytes": path.stat().st_size}


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
