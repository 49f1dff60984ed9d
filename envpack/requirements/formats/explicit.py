"""An explicit list: the package files of an environment, as `conda list --explicit` and conda-lock write them.

Sources: CEP 23; conda-lock's `render --kind explicit`, which has wheels as `# pip NAME @ URL --hash=sha256:...`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from envpack.channel_names import without_subdir
from envpack.requirements import addresses
from envpack.requirements.formats.content import FileContent
from envpack.requirements.formats.packages import conda_file, wheel_file
from envpack.requirements.match_spec import digest_key
from envpack.requirements.pins import ANY_PLATFORM, PinnedFile, Pins
from envpack.requirements.text import Refused, expand

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.requirements.pins import PinnedConda, PinnedWheel
    from envpack.requirements.txt import Reading, Source

MARK = "@EXPLICIT"
_MARKED = re.compile(rf"^\s*{MARK}\s*$", re.MULTILINE)
_WHEEL = re.compile(r"#\s*pip\s+(?P<name>\S+)\s+@\s+(?P<url>\S+)(?:\s+--hash=sha256:(?P<sha256>\w+))?")


def recognises(path: Path, text: str) -> bool:  # noqa: ARG001 - people name them as they like
    """Return whether a line says that the file is an explicit list."""
    return _MARKED.search(text) is not None


def read(text: str, source: Source, reading: Reading) -> FileContent:
    """Return the packages of an explicit list."""
    conda: dict[str, list[PinnedConda]] = defaultdict(list)
    wheels: list[PinnedWheel] = []
    for number, written in enumerate(text.splitlines(), start=1):
        line, origin = written.strip(), source.at(number)
        if not line or line == MARK or (line.startswith("#") and not _WHEEL.match(line)):
            continue
        reading.count(origin)
        values: dict[str, str] = {}
        try:
            line, values = expand(line)
            addresses.notice(line, written, values)
            if wheel := _WHEEL.match(line):
                wheels.append(wheel_file(wheel["url"], origin, sha256=wheel["sha256"], folder=source.path.parent))
                continue
            url, _, digest = line.partition("#")
            found = conda_file(url.strip(), origin, folder=source.path.parent, **digest_key(digest.strip()))
            subdir = without_subdir(found.url.rpartition("/")[0])[1]
            conda[subdir or ANY_PLATFORM].append(found)
        except Refused as refused:
            reading.refuse(origin, refused.reason, values)
    platforms = [platform for platform in conda if platform != ANY_PLATFORM] or [ANY_PLATFORM]
    if len(platforms) > 1:
        reading.refuse(source.at(0), f"names packages of more than one platform: {', '.join(platforms)}")
    packages = tuple(package for found in conda.values() for package in found)
    pins = Pins(conda=packages, wheels=tuple(wheels))
    return FileContent(pinned=PinnedFile(kind="the explicit list", platforms={platforms[0]: pins}))
