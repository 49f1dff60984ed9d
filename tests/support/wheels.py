"""Small real wheels, written on the spot."""

from __future__ import annotations

import base64
import hashlib
import zipfile
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


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
