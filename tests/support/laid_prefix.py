"""Prefixes of conda packages that hold any files, without a solver and without a Python."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from envpack import digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Package:
    """A conda package as it lies in a prefix: its files, links and empty directories."""

    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    prefixed: bool = False
    """Whether it has a text that names the prefix, outside of bin/."""

    @property
    def identity(self) -> str:
        facts = [{path: data.hex() for path, data in self.files.items()}, self.links, self.directories]
        return digest.of_json([self.name, *facts, self.prefixed])


def lay(prefix: Path, packages: Sequence[Package]) -> None:
    """Put packages into a prefix, the last one's content where two bring the same file."""
    (prefix / "conda-meta").mkdir(parents=True)
    for package in packages:
        paths = {**package.files}
        if package.prefixed:
            paths[f"share/{package.name}/home.txt"] = f"home={prefix}\n".encode()
        for path, data in paths.items():
            (prefix / path).parent.mkdir(parents=True, exist_ok=True)
            (prefix / path).write_bytes(data)
            (prefix / path).chmod(0o755 if path.startswith("bin/") else 0o644)
        for path, target in package.links.items():
            (prefix / path).parent.mkdir(parents=True, exist_ok=True)
            (prefix / path).symlink_to(target)
        for path in package.directories:
            (prefix / path).mkdir(parents=True, exist_ok=True)
        record = {
            "name": package.name,
            "version": "1.0",
            "url": f"https://example.org/noarch/{package.name}-1.0-0.conda",
            "files": sorted([*paths, *package.links, *package.directories]),
            "paths_data": {"paths": []},
            "link": {"source": "/nowhere", "type": 1},
        }
        (prefix / f"conda-meta/{package.name}-1.0-0.json").write_text(json.dumps(record))
