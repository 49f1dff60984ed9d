"""Link a conda channel's newest Python into a prefix with py-rattler, as `conda create` would.

Usage: python -m bench.link_python CHANNEL PREFIX CACHE
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from pathlib import Path

from rattler import BuildString, GenericVirtualPackage, PackageName, Platform, Subdir, Version, install, solve


async def main(channel: str, prefix: Path, cache: Path) -> None:
    """Solve and link."""
    glibc = GenericVirtualPackage(PackageName("__glibc"), Version(platform.libc_ver()[1]), BuildString("0"))
    platforms = [Subdir(str(Platform.current())), Subdir("noarch")]
    records = await solve([channel], ["python"], platforms=platforms, virtual_packages=[glibc])
    await install(records, prefix, cache_dir=cache)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
    os._exit(0)  # rattler's threads can crash the interpreter while it shuts down
