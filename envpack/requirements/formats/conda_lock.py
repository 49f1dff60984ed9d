"""conda-lock.yml, version 1. Source: CEP 37; conda-lock's `lockfile/v1/models.py`."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from envpack.errors import Problem
from envpack.redact import redact
from envpack.requirements.formats import nodes
from envpack.requirements.formats.content import FileContent
from envpack.requirements.formats.packages import conda_file, wheel_file
from envpack.requirements.pins import PinnedFile, Pins
from envpack.requirements.text import Refused

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.requirements.formats.nodes import YamlEntry
    from envpack.requirements.pins import PinnedConda, PinnedWheel
    from envpack.requirements.txt import Reading, Source
    from envpack.requirements.values import Origin

INSTALLED = ("main", "dev")
"""The categories that `conda-lock install` takes by default."""

_LOOKS = (re.compile(r"^metadata:", re.MULTILINE), re.compile(r"^package:", re.MULTILINE))


def recognises(path: Path, text: str) -> bool:
    """Return whether a YAML file has what a conda-lock file has."""
    return path.suffix.lower() in (".yml", ".yaml", ".lock") and all(look.search(text) for look in _LOOKS)


def read(text: str, source: Source, reading: Reading) -> FileContent:
    """Return the packages of a conda-lock file for each of its platforms."""
    root = nodes.compose(text, source, reading)
    version = str(nodes.plain(nodes.child(root, "version")) or "1")
    if root is not None and version != "1":
        reading.refuse(source.at(0), f"is a conda-lock file of version {version}; envpack reads version 1")
        return FileContent()
    conda: dict[str, list[PinnedConda]] = defaultdict(list)
    wheels: dict[str, list[PinnedWheel]] = defaultdict(list)
    problems: dict[str, list[Problem]] = defaultdict(list)
    left_out = set[str]()
    for entry in nodes.entries(nodes.child(root, "package")):
        category, platform = entry.text("category") or "main", entry.text("platform") or ""
        if category not in INSTALLED:
            left_out.add(category)
            continue
        try:
            if entry.text("manager") == "pip":
                wheels[platform].append(_wheel(entry, source.at(entry.line), source.path.parent))
            else:
                conda[platform].append(_conda(entry, source.at(entry.line), source.path.parent))
        except Refused as refused:
            problems[platform].append(Problem(source.shown, entry.line, redact(refused.reason)))
    if left_out:
        reading.warn(source.at(0), f"packages of the category {' and '.join(sorted(left_out))} are left out")
    platforms = {
        platform: Pins(
            conda=tuple(conda[platform]), wheels=tuple(wheels[platform]), problems=tuple(problems[platform])
        )
        for platform in sorted({*conda, *wheels, *problems})
    }
    channels = nodes.entries(nodes.child(root, "metadata", "channels"))
    return FileContent(
        channels=tuple(url for entry in channels if (url := entry.text("url"))),
        pinned=PinnedFile(kind="the conda-lock file", platforms=platforms),
    )


def _conda(entry: YamlEntry, origin: Origin, folder: Path) -> PinnedConda:
    url = entry.text("url")
    if url is None:
        raise Refused("a package of this lock has no `url`; run conda-lock again")
    needs = entry.value.get("dependencies") or {}
    specs = [f"{name} {versions}".strip() for name, versions in needs.items()] if isinstance(needs, dict) else needs
    return conda_file(
        url,
        origin,
        folder=folder,
        sha256=entry.text("hash", "sha256"),
        md5=entry.text("hash", "md5"),
        depends=tuple(sorted(specs)),
    )


def _wheel(entry: YamlEntry, origin: Origin, folder: Path) -> PinnedWheel:
    url = entry.text("url")
    if url is None:
        raise Refused("a package of this lock has no `url`; run conda-lock again")
    return wheel_file(url, origin, sha256=entry.text("hash", "sha256"), folder=folder)
