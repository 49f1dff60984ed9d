"""Small conda packages written on the spot, honest ones and others."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rattler.index import index_fs

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from tests.support.loop import in_a_loop

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Named:
    """A file with the placeholder that linking replaces."""

    data: bytes
    placeholder: str
    mode: str = "text"


def write_conda(
    channel: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, bytes | str | Named] | None = None,
    links: Mapping[str, str] | None = None,
    executable: Iterable[str] = (),
    depends: Iterable[str] = (),
    subdir: str = "noarch",
    noarch: str | None = "generic",
    build: str = "0",
    entry_points: Iterable[str] = (),
    paths: list[dict[str, Any]] | None = None,
    members: Iterable[tarfile.TarInfo] = (),
    index: Mapping[str, Any] | None = None,
    info: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a package into a channel's directory and return its path; `reindex` makes it known.

    `paths` stands in place of the honest `info/paths.json`, `members` are further members of the archive, `index`
    further keys of `info/index.json` and `info` further files of `info/`.
    """
    contents: dict[str, bytes | str | Named] = {**(files or {})}
    honest = [_described(path, content) for path, content in sorted(contents.items())]
    honest += [{"_path": path, "path_type": "softlink"} for path in sorted(links or {})]
    about: dict[str, bytes] = {
        "info/about.json": b"{}\n",
        "info/files": "".join(f"{entry['_path']}\n" for entry in honest).encode(),
        "info/paths.json": _json({"paths": honest if paths is None else paths, "paths_version": 1}),
        "info/index.json": _json(
            {
                "name": name,
                "version": version,
                "build": build,
                "build_number": 0,
                "subdir": subdir,
                "depends": list(depends),
                **({"noarch": noarch} if noarch else {}),
                **(index or {}),
            }
        ),
        **(info or {}),
    }
    if noarch == "python":
        link = {"noarch": {"type": "python", "entry_points": list(entry_points)}, "package_metadata_version": 1}
        about["info/link.json"] = _json(link)
    folder = channel / subdir
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{build}.conda"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr(zipfile.ZipInfo("metadata.json", _EPOCH), _json({"conda_pkg_format_version": 2}))
        package.writestr(
            zipfile.ZipInfo(f"pkg-{path.stem}.tar.zst", _EPOCH),
            _tar({path: _bytes(content) for path, content in contents.items()}, links or {}, executable, members),
        )
        package.writestr(zipfile.ZipInfo(f"info-{path.stem}.tar.zst", _EPOCH), _tar(about, {}, (), ()))
    return path


def reindex(channel: Path) -> Path:
    """Write the indexes of a channel and return it."""
    (channel / "noarch").mkdir(parents=True, exist_ok=True)
    in_a_loop(index_fs(channel, force=True))
    return channel


def _described(path: str, content: bytes | str | Named) -> dict[str, Any]:
    data = _bytes(content)
    entry = {
        "_path": path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_in_bytes": len(data),
    }
    if isinstance(content, Named):
        entry |= {"prefix_placeholder": content.placeholder, "file_mode": content.mode}
    return entry


def _bytes(content: bytes | str | Named) -> bytes:
    if isinstance(content, Named):
        return content.data
    return content.encode() if isinstance(content, str) else content


def _tar(
    files: Mapping[str, bytes],
    links: Mapping[str, str],
    executable: Iterable[str],
    members: Iterable[tarfile.TarInfo],
) -> bytes:
    out = io.BytesIO()
    runs = set(executable)
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755 if path in runs else 0o644
            tar.addfile(entry, io.BytesIO(data))
        for path, target in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            tar.addfile(entry)
        for entry in members:
            tar.addfile(entry, io.BytesIO(bytes(entry.size)) if entry.isreg() else None)
    return zstd.compress(out.getvalue())


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
