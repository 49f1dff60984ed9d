"""The environments that are measured, made by envpack's own steps.

Those of `SIZES` are a starter channel's Python and wheels from an index; those of `CONDA_SIZES` have the real
records of conda-forge.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from rattler.index import index_fs
from rattler.package_streaming import extract

import envpack.channel
from bench import places
from bench.environments import absent
from envpack import digest, requirements
from envpack.archive.bytecode import compile_prefix
from envpack.channel import conda_file
from envpack.files.cache import Cache
from envpack.lock.file import parse
from envpack.prefix.link import Login, link_conda, link_wheels
from envpack.progress import Lines
from envpack.resolve.pypi import access_of
from tests.support.replica import MINOR, Replica

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from envpack.lock.lock import Lock

SIZES = ("small", "middle", "large")
"""Python and wheels."""

CONDA_SIZES = ("mixed", "notebook")
"""Conda packages and wheels; conda packages alone. They need the sample of conda-forge, and a Python 3.12."""

CHANGED = {
    "small": "requests==2.34.1",
    "middle": "scikit-learn==1.9.0",
    "large": "scikit-learn==1.9.0",
    "mixed": "rich==14.1.0",
    "notebook": "xarray=2025.12.0",
}
"""The one package that is replaced where one package changes."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A prefix with its bytecode, as installers leave it, and what it was made from."""

    name: str
    requirements: Path
    """With its lock beside it."""
    prefix: Path
    lock: Lock

    @property
    def packages(self) -> int:
        """How many conda packages and wheels are in it."""
        return len(self.lock.packages) + len(self.lock.wheels)

    def size(self) -> tuple[int, int]:
        """Return the number of its files, and their bytes."""
        sizes = [path.lstat().st_size for path in self.prefix.rglob("*") if not path.is_dir()]
        return len(sizes), sum(sizes)


def environment(name: str, *, change: str | None = None) -> Environment:
    """Return an environment by its name, with one package replaced if `change` names another version of it."""
    file = file_of(name)
    lines = file.read_text("utf-8").splitlines()
    if change:
        project = re.escape(change.partition("=")[0])
        lines = [re.sub(rf"^( *- |){project}(==.*)?$", rf"\g<1>{change}", line) for line in lines]
    return made(name, lines, suffix=file.suffix)


def file_of(name: str) -> Path:
    """Return the requirements that an environment is made of."""
    (file,) = (places.HERE / "environments").glob(f"{name}.*")
    return file


def made(name: str, lines: list[str], *, suffix: str = ".txt") -> Environment:
    """Return the environment of the lines of a requirements file, made unless it was kept from an earlier run."""
    if any(line.startswith("torch==") for line in lines):
        lines = [*lines, f"--find-links {absent.wheels()}"]
    key = digest.of_json([name, lines, sys.version, "compiled as installers do"])[:12]

    def make(folder: Path) -> None:
        file = folder / f"{name}{suffix}"
        file.write_text("\n".join(lines) + "\n", "utf-8")
        if suffix == ".yml":
            _lock_on_replica(file)
        else:
            run_envpack("lock", file)
        _link(file, folder / "prefix")

    folder = places.kept(f"{name}-{key}", make)
    file = folder / f"{name}{suffix}"
    return Environment(name=name, requirements=file, prefix=folder / "prefix", lock=_lock_of(file))


def _lock_on_replica(file: Path) -> None:
    """Lock a request, and once more on a channel that has the packages which it solves to."""
    replica = Replica(minor=MINOR)
    run_envpack("lock", file, "--channel", replica.solving.as_uri(), "--python", MINOR)
    served = replica.channel_of(_lock_of(file).packages)
    run_envpack("lock", file, "--channel", served.as_uri(), "--python", MINOR, "--upgrade")


@cache
def channel() -> Path:
    """Return a starter channel that holds the Python which runs the benchmarks, with its bytecode.

    conda-forge's Python has it as well, and conda-pack packs the bytecode of a package's modules from nowhere else.
    """
    key = digest.of_json([sys.version, sys.base_prefix])[:12]
    return places.kept(f"channel-{key}", _make_channel) / "channel"


def packages() -> Cache:
    """Return envpack's cache that the environments are linked from."""
    return Cache(places.home() / "envpack")


def variables(cache: Path | None = None) -> dict[str, str]:
    """Return a process's variables: this one's, less what steers envpack or Python, with what these need.

    Where `PYTHONDONTWRITEBYTECODE` is set every start would compile whatever it imports.
    """
    steering = ("ENVPACK_", "AWS_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return {
        **kept,
        "ENVPACK_CHANNELS": channel().as_uri(),
        "ENVPACK_GLIBC": platform.libc_ver()[1],
        "ENVPACK_PYTHON": "{}.{}".format(*sys.version_info[:2]),
        "ENVPACK_CACHE_DIR": str(cache or packages().root),
    }


def run_envpack(*arguments: str | Path) -> str:
    """Run the command line, which must succeed, untimed; return its standard output."""
    command = [places.ENVPACK, *arguments]
    return subprocess.run(command, env=variables(), check=True, stdout=subprocess.PIPE, text=True).stdout


def _make_channel(folder: Path) -> None:
    starter = envpack.channel.init(folder / "channel")
    package = starter.directory / starter.platform / starter.packages[0]
    root = folder / "python"
    extract(package, root)
    index, about = (json.loads((root / "info" / f"{name}.json").read_bytes()) for name in ("index", "about"))
    shutil.rmtree(root / "info")
    compile_prefix(root, python=root / "bin" / "python")
    conda_file.write(root, package, index=index, about=about)
    shutil.rmtree(root)
    asyncio.run(index_fs(starter.directory, force=True))


def lock_of(one: Environment) -> Path:
    """Return the lock's file."""
    return one.requirements.with_name(f"{one.requirements.name}.lock")


def _lock_of(file: Path) -> Lock:
    path = file.with_name(f"{file.name}.lock")
    return parse(path.read_text("utf-8"), str(path))


def link(one: Environment, prefix: Path) -> None:
    """Install an environment once more, into another prefix, which must not exist."""
    _link(one.requirements, prefix)


def _link(file: Path, prefix: Path) -> None:
    lock = _lock_of(file)
    progress = Lines(lambda line: print(line, file=sys.stderr))
    prefix.mkdir()
    scratch = prefix.with_name("scratch")
    scratch.mkdir()
    link_conda(
        lock.packages, prefix, platform=lock.target.platform, login=Login(), cache=packages(), progress=progress
    )
    link_wheels(
        lock.wheels,
        prefix,
        python=prefix / "bin" / "python",
        version=lock.python,
        target=lock.target,
        login=Login(indexes=access_of(requirements.read(file).indexes)),
        cache=packages(),
        scratch=scratch,
        progress=progress,
    )
    compile_as_installers(prefix)
    shutil.rmtree(scratch)


def compile_as_installers(prefix: Path) -> None:
    """Compile what a prefix's bytecode does not belong to, as conda and pip do it: what is compiled is left alone.

    conda records the bytecode of a noarch package in `conda-meta`, and conda-pack leaves out what is not recorded.
    """
    compiling: list[str | Path] = [prefix / "bin" / "python", "-m", "compileall", "-q", prefix / "lib"]
    subprocess.run(compiling, env=variables(), check=False, stdout=subprocess.DEVNULL)
    for path in (prefix / "conda-meta").glob("*.json"):
        record = json.loads(path.read_bytes())
        listed = set(record["files"])
        made = [name for name in map(_bytecode_of(prefix), record["files"]) if name and name not in listed]
        if made:
            record["files"] += made
            record["paths_data"]["paths"] += [{"_path": name, "path_type": "pyc_file"} for name in made]
            path.write_text(json.dumps(record, indent=2), "utf-8")


def _bytecode_of(prefix: Path) -> Callable[[str], str | None]:
    tag = next(prefix.glob("lib/python3.*/__pycache__/os.*.pyc")).suffixes[0]

    def bytecode(name: str) -> str | None:
        folder, _, module = name.rpartition("/")
        made = f"{folder}/__pycache__/{module.removesuffix('.py')}{tag}.pyc"
        return made if module.endswith(".py") and (prefix / made).exists() else None

    return bytecode
