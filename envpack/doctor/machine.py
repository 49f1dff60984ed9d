"""This machine: its Python, the libraries and programs that do the work, the caches."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.doctor.finding import Finding, Level
from envpack.units import human_size
from envpack.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.config.config import Config

DISTRIBUTION = "envpack-spark"
"""envpack's name for pip; `envpack` on PyPI is another project with a package of the same name."""

LIBRARIES = ("py-rattler", "uv", "conda-pack", "deflate", "zlib-ng", "boto3", "cyclonedx-python-lib")

ROOM = 2_000_000_000
"""Bytes that a build of an ordinary environment takes: prefix, archive, and the archive unpacked for
verification."""

_COUNTING = 3.0
"""Seconds to add up the cache's files."""


def _name() -> Iterator[Finding]:
    """Look for another project's package of the same name, whose files would be among envpack's own."""
    try:
        other = metadata.distribution("envpack")
    except metadata.PackageNotFoundError:
        return
    if any(point.value.startswith("envpack.cli:") for point in other.entry_points):
        return  # envpack's own, before it was named envpack-spark
    text = f"another project called envpack ({other.version}) is installed here: `import envpack` may be either"
    hint = f"run `pip uninstall envpack`, then `pip install --force-reinstall --no-deps` {DISTRIBUTION}'s wheel"
    yield Finding(check="python", level="problem", text=text, hint=hint)


def python() -> Iterator[Finding]:
    """Check the interpreter and the packages that it needs."""
    here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    family, version = platform.libc_ver()
    libc = f", {family} {version}" if family else ""
    yield Finding(check="python", level="ok", text=f"envpack {VERSION}, {here}{libc} ({sys.executable})")
    yield from _name()
    versions, missing = [], []
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    yield Finding(check="python", level="ok", text=", ".join(versions))
    if missing:
        text = f"not installed: {', '.join(missing)}"
        yield Finding(check="python", level="problem", text=text, hint=f"install {DISTRIBUTION} again with pip")
    if shutil.which("git") is None:
        text = "git is not installed: `envpack ci` cannot find out what has changed"
        yield Finding(check="python", level="warning", text=text, hint="install git, or use `envpack ci --all`")


def cache(config: Config) -> Iterator[Finding]:
    """Check the cache directory: may it be written, can files be linked in it, is there space."""
    root = Path(config.cache_dir)
    elsewhere = "use another directory with --cache-dir or ENVPACK_CACHE_DIR"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as folder:
            file = Path(folder, "file")
            file.write_bytes(b"x")
            linked = _links(file)
    except OSError as error:
        yield Finding(check="cache", level="problem", text=f"{root}: {error.strerror}", hint=elsewhere)
        return
    free = shutil.disk_usage(root).free
    yield Finding(check="cache", level="ok", text=f"{root} can be written; {human_size(free)} are free")
    if not linked:
        text = "its file system has no hard links: each build copies all files"
        yield Finding(check="cache", level="warning", text=text, hint=elsewhere)
    if free < ROOM:
        level: Level = "warning" if free > ROOM / 10 else "problem"
        text = f"only {human_size(free)} are free; an ordinary build takes {human_size(ROOM)}"
        hint = f"make room, or delete {root}: that loses nothing but time"
        yield Finding(check="cache", level=level, text=text, hint=hint)
    size, whole = _size(root)
    text = f"{'' if whole else 'more than '}{human_size(size)} are cached; deleting them loses nothing but time"
    yield Finding(check="cache", level="ok", text=text)


def _links(file: Path) -> bool:
    try:
        os.link(file, file.with_name("link"))
    except OSError:
        return False
    return True


def _size(root: Path) -> tuple[int, bool]:
    """Return the bytes of all files, linked ones once, and whether there was time to count them all."""
    start, total, seen = time.monotonic(), 0, set()
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                stat = Path(folder, name).lstat()
            except OSError:
                continue
            if stat.st_nlink == 1 or (stat.st_dev, stat.st_ino) not in seen:
                seen.add((stat.st_dev, stat.st_ino))
                total += stat.st_size
        if time.monotonic() - start > _COUNTING:
            return total, False
    return total, True
