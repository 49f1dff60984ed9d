"""Write conda packages as conda-build does, in either format: with placeholders, `link.json` and licences."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from envpack import digest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_BUILT_IN = "/home/conda/feedstock_root/build_artifacts/replica_1700000000000/_h_env"

PLACEHOLDER = (_BUILT_IN + "_placehold" * 20)[:255]
"""The prefix that packages are built in: 255 characters, as conda-forge's. Source: conda-build, `build_prefix`."""

BUILT = 1_700_000_000
"""The time that all files of a package have, in seconds. The bytecode of a module is bound to it."""

_EPOCH = (1980, 1, 1, 0, 0, 0)


def write(
    root: Path,
    file: Path,
    *,
    index: Mapping[str, Any],
    link: Mapping[str, Any] | None = None,
    licenses: Mapping[str, str] | None = None,
) -> None:
    """Write the files below `root` as a package to `file`, whose suffix tells the format.

    `index` is its `info/index.json`, `link` its `info/link.json`, `licenses` its `info/licenses`. A file with
    `PLACEHOLDER` in it is noted as one whose prefix is to be replaced: as binary when it holds a NUL.
    Source: conda's "Package metadata", CEP 34 and CEP 35.
    """
    paths = [path for path in sorted(root.rglob("*")) if path.is_symlink() or not path.is_dir()]
    names = [path.relative_to(root).as_posix() for path in paths]
    entries = [_entry(*pair) for pair in zip(paths, names, strict=True)]
    about = {"license": index.get("license"), "summary": f"a replica of {index['name']}"}
    info = {
        "info/about.json": _json(about),
        "info/files": "".join(f"{name}\n" for name in names).encode(),
        "info/index.json": _json(index),
        "info/paths.json": _json({"paths": entries, "paths_version": 1}),
        **({"info/link.json": _json(link)} if link else {}),
        **{f"info/licenses/{name}": text.encode() for name, text in (licenses or {}).items()},
    }
    has_prefix = "".join(
        f'"{PLACEHOLDER}" {entry["file_mode"]} "{entry["_path"]}"\n' for entry in entries if "file_mode" in entry
    )
    if has_prefix:
        info["info/has_prefix"] = has_prefix.encode()
    if file.name.endswith(".tar.bz2"):
        with tarfile.open(file, "w:bz2", compresslevel=1, format=tarfile.PAX_FORMAT) as tar:
            _add_info(tar, info)
            _add_files(tar, paths, names)
        return
    stem = file.name.removesuffix(".conda")
    with zipfile.ZipFile(file, "w") as package:
        package.writestr(zipfile.ZipInfo("metadata.json", _EPOCH), _json({"conda_pkg_format_version": 2}))
        with _part(package, f"pkg-{stem}") as tar:
            _add_files(tar, paths, names)
        with _part(package, f"info-{stem}") as tar:
            _add_info(tar, info)


@contextmanager
def _part(package: zipfile.ZipFile, name: str) -> Iterator[tarfile.TarFile]:
    with (
        package.open(zipfile.ZipInfo(f"{name}.tar.zst", _EPOCH), "w", force_zip64=True) as raw,
        zstd.ZstdFile(raw, "w", level=1) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        yield tar


def _add_files(tar: tarfile.TarFile, paths: list[Path], names: list[str]) -> None:
    for path, name in zip(paths, names, strict=True):
        member = _member(name)
        if path.is_symlink():
            member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
            tar.addfile(member)
            continue
        status = path.stat()
        member.size, member.mode = status.st_size, 0o775 if status.st_mode & 0o111 else 0o664
        with path.open("rb") as content:
            tar.addfile(member, content)


def _add_info(tar: tarfile.TarFile, info: Mapping[str, bytes]) -> None:
    for name, data in info.items():
        member = _member(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def _member(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.mtime = 0o664, BUILT
    return member


def _entry(path: Path, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"_path": name, "path_type": "softlink" if path.is_symlink() else "hardlink"}
    if not path.is_file():
        return entry
    entry |= {"sha256": digest.of_file(path), "size_in_bytes": path.stat().st_size}
    if not path.is_symlink():
        content = path.read_bytes()
        if PLACEHOLDER.encode() in content:
            entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "binary" if b"\0" in content else "text"}
    return entry


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
