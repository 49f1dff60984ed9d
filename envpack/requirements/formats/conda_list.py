"""What `conda list --export` writes: lines of `name=version=build`, which are match specs.

Source: conda's `cli/main_list.py`; `conda create --file` takes them so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack.requirements import match_spec
from envpack.requirements.formats.content import FileContent
from envpack.requirements.text import Refused, logical_lines
from envpack.requirements.values import CondaSpec

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.requirements.txt import Reading, Source

_HEAD = re.compile(r"^#\s*\$\s*conda create --name <env> --file <this file>", re.MULTILINE)
_OF_PIP = re.compile(r"(?P<name>[^=\s]+)=(?P<version>[^=\s]+)=pypi_\d+")


def recognises(path: Path, text: str) -> bool:  # noqa: ARG001 - people name them as they like
    """Return whether the file has the head of such a list."""
    return _HEAD.search(text) is not None


def read(text: str, source: Source, reading: Reading) -> FileContent:
    """Return the match specs; what pip had installed goes to `reading`."""
    conda = []
    for number, line in logical_lines(text):
        if of_pip := _OF_PIP.fullmatch(line):
            reading.read_line(f"{of_pip['name']}=={of_pip['version']}", source=source, number=number)
            continue
        reading.count(source.at(number))
        try:
            conda.append(CondaSpec(spec=match_spec.parse(line), text=line, origin=source.at(number)))
        except Refused as refused:
            reading.refuse(source.at(number), refused.reason)
    return FileContent(conda=tuple(conda))
