"""Solve the conda part of an environment file on a channel.

Usage: python -m bench.solve_once WAY FILE CHANNEL CACHE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import yaml

from envpack.config.target import Target
from envpack.files import workspace  # noqa: F401 - what `scratch` imports when it is called
from envpack.files.cache import Cache
from envpack.requirements import read
from envpack.resolve.request import Request
from envpack.resolve.solve import resolve
from tests.support.replica import solved


def main(way: str, file: Path, channel: str, cache: Cache) -> None:
    """Solve by envpack's step, by py-rattler alone, or not at all."""
    if way == "envpack":
        with cache.scratch() as scratch:
            request = Request(requirements=read(file), target=Target(), channels=(channel,))
            resolve(request, cache=cache, scratch=scratch)
    if way == "py-rattler":
        specs = [spec for spec in yaml.safe_load(file.read_bytes())["dependencies"] if isinstance(spec, str)]
        solved(channel, ["python", *specs])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Cache(Path(sys.argv[4])))
    os._exit(0)  # rattler's threads can crash the interpreter while it shuts down
