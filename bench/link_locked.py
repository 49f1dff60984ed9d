"""Link the conda packages of a lock into an empty prefix.

Usage: python -m bench.link_locked WAY LOCK PREFIX CACHE
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from rattler import LockFile, install

from envpack.files.cache import Cache
from envpack.lock.file import parse
from envpack.prefix.link import Login, link_conda


def main(way: str, lock: Path, prefix: Path, cache: Cache) -> None:
    """Link by envpack's step, by py-rattler alone, or not at all."""
    if way == "envpack":
        locked = parse(lock.read_text("utf-8"), str(lock))
        link_conda(locked.packages, prefix, platform=locked.target.platform, login=Login(), cache=cache)
    if way == "py-rattler":
        environment = LockFile.from_path(lock).default_environment()
        assert environment is not None
        (platform,) = environment.platforms()
        records = environment.conda_repodata_records_for_platform(platform) or []
        asyncio.run(install(records, prefix, cache_dir=cache.packages, show_progress=False))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Cache(Path(sys.argv[4])))
    os._exit(0)  # rattler's threads can crash the interpreter while it shuts down
