"""Link the conda packages of a lock into an empty prefix.

Usage: python -m bench.link_locked WAY LOCK PREFIX CACHE
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rattler import BuildString, NoArchType, PackageRecord, RepoDataRecord, VersionWithSource, install

from envpack.cache import Cache
from envpack.lock_file import parse
from envpack.prefix import Login, link_conda

if TYPE_CHECKING:
    from envpack.lock import CondaPackage


def main(way: str, lock: Path, prefix: Path, cache: Cache) -> None:
    """Link by envpack's step, by py-rattler alone, or not at all."""
    locked = parse(lock.read_text("utf-8"), str(lock))
    if way == "envpack":
        link_conda(locked.packages, prefix, platform=locked.target.platform, login=Login(), cache=cache)
    if way == "py-rattler":
        records = [_record(package) for package in locked.packages]
        asyncio.run(install(records, prefix, cache_dir=cache.packages, show_progress=False))


def _record(package: CondaPackage) -> RepoDataRecord:
    record = PackageRecord(
        name=package.name,
        version=VersionWithSource(package.version),
        build=BuildString(package.build),
        build_number=package.build_number,
        subdir=package.subdir,
        noarch=NoArchType(package.noarch),
        sha256=bytes.fromhex(package.sha256),
    )
    channel, _, file = package.url.rpartition("/")
    return RepoDataRecord(record, file, package.url, channel)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Cache(Path(sys.argv[4])))
    os._exit(0)  # rattler's threads can crash the interpreter while it shuts down
