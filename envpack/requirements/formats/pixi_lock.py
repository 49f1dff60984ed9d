"""pixi.lock, versions 5, 6 and 7: one of its environments.

Source: rattler's crate `rattler_lock`, which reads and writes these files (`parse/models`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from envpack.errors import Problem
from envpack.redact import redact
from envpack.requirements.formats import nodes
from envpack.requirements.formats.content import FileContent
from envpack.requirements.formats.nodes import YamlEntry
from envpack.requirements.formats.packages import conda_file, wheel_file
from envpack.requirements.pins import PinnedFile, Pins
from envpack.requirements.text import Refused, quoted

if TYPE_CHECKING:
    from pathlib import Path

    import yaml

    from envpack.requirements.pins import PinnedConda, PinnedWheel
    from envpack.requirements.txt import Reading, Source

VERSIONS = ("5", "6", "7")
DEFAULT = "default"

_LOOKS = (re.compile(r"^version:\s*\d+\s*$", re.MULTILINE), re.compile(r"^environments:", re.MULTILINE))
_OWN = re.compile(r"^envpack:", re.MULTILINE)


def recognises(path: Path, text: str) -> bool:
    """Return whether a YAML file has what pixi.lock has, and is not one that envpack wrote beside requirements."""
    yaml_file = path.suffix.lower() in (".lock", ".yml", ".yaml")
    return yaml_file and all(look.search(text) for look in _LOOKS) and not is_own(text)


def is_own(text: str) -> bool:
    """Return whether a lock is one that envpack wrote."""
    return _OWN.search(text) is not None


def read(text: str, source: Source, reading: Reading) -> FileContent:
    """Return the packages of pixi's environment for each of its platforms."""
    root = nodes.compose(text, source, reading)
    version = str(nodes.plain(nodes.child(root, "version")))
    if root is None:
        return FileContent()
    if version not in VERSIONS:
        told = f"{', '.join(VERSIONS[:-1])} and {VERSIONS[-1]}"
        reading.refuse(source.at(0), f"is pixi's lock format {version}; envpack reads {told}: run `pixi lock`")
        return FileContent()
    environments = dict(nodes.pairs(nodes.child(root, "environments")))
    name = reading.environment or DEFAULT
    chosen = environments.get(name)
    by_platform = dict(nodes.pairs(nodes.child(chosen, "packages")))
    others = sorted(other for other in environments if other != name)
    if not any(node.value for node in by_platform.values()):
        told = f"; choose one with --environment: {', '.join(others)}" if others else ""
        reading.refuse(source.at(0), f"has no packages in the environment {name!r}{told}")
        return FileContent()
    if others and not reading.environment:
        reading.warn(source.at(0), f"the environment {name!r} is taken; --environment takes {', '.join(others)}")
    known = _known(nodes.child(root, "packages"))
    platforms = {platform: _pins(node, known, source) for platform, node in by_platform.items()}
    channels = nodes.entries(nodes.child(chosen, "channels"))
    return FileContent(
        channels=tuple(url for entry in channels if (url := entry.text("url"))),
        pinned=PinnedFile(kind="pixi.lock", platforms=platforms),
    )


def _known(node: yaml.Node | None) -> dict[str, YamlEntry]:
    """Return the file's entry of each package, by its address."""
    found = {}
    for entry in nodes.entries(node):
        where = (entry.text(key) for key in ("conda", "pypi", "url", "path"))
        if address := next(filter(None, where), None):
            found[address] = entry
    return found


def _pins(node: yaml.Node, known: dict[str, YamlEntry], source: Source) -> Pins:
    conda: list[PinnedConda] = []
    wheels: list[PinnedWheel] = []
    problems: list[Problem] = []
    folder = source.path.parent
    for named in nodes.entries(node):
        url = named.text("conda") or named.text("pypi")
        entry = known.get(url or "", YamlEntry(named.line, {}))
        origin = source.at(entry.line)
        try:
            if url is None:
                what = next(iter(named.value.values()), "") if isinstance(named.value, dict) else named.value
                raise Refused(
                    f"{quoted(str(what))} would be built from source, and envpack uses only built packages of a "
                    "lock; build it, then lock again"
                )
            if named.text("conda"):
                conda.append(conda_file(url, origin, folder=folder, **_facts(entry, url)))
            else:
                wheels.append(
                    wheel_file(url, origin, sha256=entry.text("sha256"), folder=folder, size=entry.number("size"))
                )
        except Refused as refused:
            problems.append(Problem(origin.file, origin.line, redact(refused.reason)))
    return Pins(conda=tuple(conda), wheels=tuple(wheels), problems=tuple(problems))


def _facts(entry: YamlEntry, url: str) -> dict[str, Any]:
    """Return the file's entry of a conda package; since version 6, the entry omits what its address contains."""
    depends = entry.texts("depends")
    noarch = entry.text("noarch")
    if noarch not in ("python", "generic") and "/noarch/" in url:
        of_python = any(spec.split()[0] in ("python", "python_abi") for spec in depends)
        noarch = "python" if of_python else "generic"
    return {
        "sha256": entry.text("sha256"),
        "md5": entry.text("md5"),
        "depends": depends,
        "constrains": entry.texts("constrains"),
        "build_number": entry.number("build_number"),
        "noarch": noarch if noarch in ("python", "generic") else None,
        "license": entry.text("license"),
        "size": entry.number("size"),
        "timestamp": entry.number("timestamp"),
        "python_site_packages_path": entry.text("python_site_packages_path"),
    }
