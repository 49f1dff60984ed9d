"""Small real wheels, written on the spot."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: list[str] | None = None,
    files: dict[str, str] | None = None,
    tag: str = "py3-none-any",
    scripts: dict[str, str] | None = None,
    headers: list[str] | None = None,
) -> str:
    """Write a wheel with a module of its name (or `files`) and return the wheel's SHA-256.

    `headers` are further lines of its METADATA.
    """
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {requirement}\n" for requirement in requires or []]
    metadata += [f"{header}\n" for header in headers or []]
    members = dict(files if files is not None else {f"{module}.py": f"VERSION = {version!r}\n"})
    members[f"{info}/METADATA"] = "".join(metadata)
    members[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    if scripts:
        lines = [f"{script} = {target}\n" for script, target in scripts.items()]
        members[f"{info}/entry_points.txt"] = "[console_scripts]\n" + "".join(lines)
    record = "".join(f"{path},sha256={_hash(text)},{len(text.encode())}\n" for path, text in members.items())
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in members.items():
            wheel.writestr(zipfile.ZipInfo(member, EPOCH), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_odd_wheel(
    folder: Path,
    name: str = "odd",
    version: str = "1.0",
    *,
    files: Mapping[str, bytes] | None = None,
    tag: str = "py3-none-any",
    info: str | None = None,
    metadata: str | None = None,
    layout: str | None = None,
    record: Callable[[str], str] | None = lambda honest: honest,
    members: Sequence[tuple[zipfile.ZipInfo, bytes]] = (),
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Write a wheel that may break every rule, and return its path.

    `info` is its `.dist-info` directory, `metadata` and `layout` the text of METADATA and WHEEL. `record` makes
    what it has of the honest RECORD; None for no RECORD. `members` are further ones, which no RECORD lists.
    """
    info = info or f"{name}-{version}.dist-info"
    contents = dict(files if files is not None else {f"{name}.py": b"VERSION = 1\n"})
    contents[f"{info}/METADATA"] = (
        metadata or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    ).encode()
    contents[f"{info}/WHEEL"] = (
        layout or f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    ).encode()
    lines = [f'"{path}",sha256={_hash(data)},{len(data)}\n' for path, data in contents.items()]
    if record:
        contents[f"{info}/RECORD"] = record("".join([*lines, f"{info}/RECORD,,\n"])).encode()
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", compression) as wheel:
        for member, data in contents.items():
            entry = zipfile.ZipInfo(member, EPOCH)
            entry.external_attr, entry.compress_type = 0o100644 << 16, compression
            wheel.writestr(entry, data)
        for entry, data in members:
            wheel.writestr(entry, data)
    return path


def record_line(path: str, content: str | bytes) -> str:
    """Return a file's line of a `RECORD`."""
    return f'"{path}",sha256={_hash(content)},{len(content)}\n'


def member(path: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    """Return a member of a zip with the file type and permissions of `mode`."""
    entry = zipfile.ZipInfo(path, EPOCH)
    entry.external_attr, entry.create_system = mode << 16, 3
    return entry


def _hash(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
