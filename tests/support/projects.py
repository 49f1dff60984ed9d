"""Small projects with each of the usual build backends, and what builds them in this process."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envpack import digest
from envpack.build import pipeline
from envpack.build.pipeline import Options
from envpack.build.results import Locked
from envpack.config.config import Config, load
from envpack.lock.lock import Lock, Wheel
from envpack.requirements.names import ProjectName
from tests.support.channel import Channel

BACKENDS = {
    "flit": ("flit_core >=3.9", "flit_core.buildapi"),
    "hatchling": ("hatchling", "hatchling.build"),
    "setuptools": ("setuptools", "setuptools.build_meta"),
}

IN_TREE = ("", "backend")
"""A backend that is part of the project."""


def write_project(
    directory: Path,
    *,
    name: str = "features",
    backend: tuple[str, str] = BACKENDS["flit"],
    dependencies: tuple[str, ...] = (),
    more: str = "",
    files: dict[str, str] | None = None,
) -> Path:
    """Write a project with a module, a data file and a program; `more` goes to the end of its pyproject.toml."""
    requires, module = backend
    wanted = f'requires = ["{requires}"]' if requires else 'requires = []\nbackend-path = ["."]'
    package = directory / name
    package.mkdir(parents=True)
    (directory / "pyproject.toml").write_text(
        f'[build-system]\n{wanted}\nbuild-backend = "{module}"\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\ndescription = "of a test"\n'
        f"dependencies = {list(dependencies)!r}\n"
        f'[project.scripts]\n{name} = "{name}:main"\n'
        + ("[tool.setuptools]\n" if "setuptools" in module else "")
        + (f'packages = ["{name}"]\npackage-data = {{"{name}" = ["*.csv"]}}\n' if "setuptools" in module else "")
        + more
    )
    (package / "__init__.py").write_text("def main() -> None:\n    print('features')\n")
    (package / "table.csv").write_text("a,b\n1,2\n")
    for path, text in (files or {}).items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    return directory


def git(directory: Path, *arguments: str) -> str:
    """Run git as somebody, with a configuration of nobody; return what it prints."""
    who = {
        f"GIT_{role}_{fact}": "tests@localhost" for role in ("AUTHOR", "COMMITTER") for fact in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", "-C", str(directory), *arguments],
        env={**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit_all(directory: Path) -> str:
    """Make a repository of a directory if it is none, commit all that is in it, and return the commit."""
    if not (directory / ".git").exists():
        git(directory, "init", "--quiet", "--initial-branch=main")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "all")
    return git(directory, "rev-parse", "HEAD")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A person's directory, in which requirements are locked by this process."""

    home: Path
    channel: Channel
    cache: Path

    def config(self, **given: Any) -> Config:
        flags = {
            "channels": (self.channel.url,),
            "glibc": self.channel.glibc,
            "cache_dir": str(self.cache),
            **given,
        }
        return load(flags, {}, self.home)

    def lock(self, *lines: str, file: str = "env.txt", options: Options | None = None, **given: Any) -> Lock:
        """Write lines into a requirements file, and return its lock."""
        (self.home / file).write_text("\n".join(lines) + "\n")
        return self.locked(file, options=options, **given).lock

    def locked(self, file: str = "env.txt", *, options: Options | None = None, **given: Any) -> Locked:
        return pipeline.lock(self.home / file, config=self.config(**given), options=options or Options())

    def wheel(self, *lines: str, name: str = "features", **given: Any) -> Wheel:
        """Return what the lock of these lines says of a wheel."""
        return wheel_of(self.lock(*lines, **given), name)

    def files(self, wheel: Wheel) -> dict[str, str]:
        assert wheel.made is not None
        return dict(wheel.made.files)

    def file(self, wheel: Wheel) -> Path:
        """Return the wheel itself, from the cache."""
        assert wheel.made is not None
        found = self.cache.glob(f"built/*/{wheel.made.file}")
        return next(path for path in found if digest.of_file(path) == wheel.sha256)


def wheel_of(lock: Lock, name: str) -> Wheel:
    return next(wheel for wheel in lock.wheels if wheel.name == ProjectName(name))


OWN_BACKEND = """
import os, pathlib, zipfile
def build_wheel(out, settings=None, metadata=None):
    name, version, requires = NAME, VERSION, REQUIRES
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {need}\\n" for need in requires)
    texts = {
        f"{name}.py": pathlib.Path(f"{name}.py").read_text(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: own\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    texts[f"{info}/RECORD"] = "".join(f"{path},,\\n" for path in (*texts, f"{info}/RECORD"))
    made = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(out, made), "w") as wheel:
        for path, text in texts.items():
            wheel.writestr(path, text)
    return made
"""
"""A backend that needs nothing else."""


def write_source(
    directory: Path,
    name: str,
    version: str = "1.0",
    *,
    requires: tuple[str, ...] = (),
    build_requires: tuple[str, ...] = (),
    head: str = "",
) -> Path:
    """Write a source tree that builds itself; `head` is what its backend does first."""
    directory.mkdir(parents=True)
    (directory / "pyproject.toml").write_text(
        f'[build-system]\nrequires = {list(build_requires)!r}\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    text = OWN_BACKEND.replace("NAME", repr(name)).replace("VERSION", repr(version))
    (directory / "backend.py").write_text(head + text.replace("REQUIRES", repr(list(requires))))
    (directory / f"{name}.py").write_text(f"VERSION = {version!r}\n")
    return directory


def write_sdist(folder: Path, name: str, version: str = "1.0", **given: Any) -> Path:
    """Write a source distribution that builds itself, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{name}-{version}.tar.gz"
    with tempfile.TemporaryDirectory() as scratch:
        tree = write_source(Path(scratch) / "tree", name, version, **given)
        with tarfile.open(archive, "w:gz") as opened:
            opened.add(tree, f"{name}-{version}")
    return archive
