"""A channel that is conda-forge in all but its bytes: real records, with files made on demand and kept.

The records are those of the sample beside the project. What a package holds follows from its record: the wheel of
the same project for a Python distribution, this machine's Python for `python`, nothing for what only brings others,
and for the rest libraries, programs and data that are laid out as conda-forge's.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from rattler import BuildString, GenericVirtualPackage, PackageName, Subdir, Version, install, solve

import envpack.channel
from envpack import digest
from tests.support.cache import kept
from tests.support.replica import distributions, interpreter, native, package_file
from tests.support.replica.interpreter import Python
from tests.support.replica.records import SUBDIRS, Record, records, repodata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rattler import RepoDataRecord

    from envpack.lock.lock import CondaPackage

MINOR = "3.12"
"""The Python that most of the sample's requests are solved with."""

_UNUSED = 2 * 24 * 60 * 60
"""Seconds after which the packages of another version of this code are removed: they take a gigabyte."""

_WORKERS = 4
"""Packages that are made at a time: each waits for an index, or compiles in a process of its own."""


def solving_channel() -> Path:
    """Return the sample as a directory channel: to solve with, there are no packages in it."""
    index = {subdir: repodata(subdir) for subdir in SUBDIRS}
    return kept(f"conda-forge-{digest.of_json(index)[:12]}", lambda home: _write_repodata(home, index))


def _write_repodata(home: Path, index: Mapping[str, Any]) -> None:
    for subdir, value in index.items():
        (home / subdir).mkdir()
        (home / subdir / "repodata.json").write_text(json.dumps(value), "utf-8")


def solved(
    channel: str, specs: Sequence[str], *, glibc: str = "2.28", constraints: Sequence[str] = ()
) -> list[RepoDataRecord]:
    """Return py-rattler's own answer for linux-64, sorted by name; with nothing of envpack's in between."""
    machine = (("__unix", "0", "0"), ("__linux", "0", "0"), ("__glibc", glibc, "0"), ("__archspec", "1", "x86_64"))
    virtual = [GenericVirtualPackage(PackageName(n), Version(v), BuildString(b)) for n, v, b in machine]
    answer = solve(
        sources=[channel],
        specs=list(specs),
        platforms=[Subdir(subdir) for subdir in SUBDIRS],
        virtual_packages=virtual,
        constraints=list(constraints),
    )
    return sorted(asyncio.run(_awaited(answer)), key=lambda record: record.name.normalized)


async def _awaited(answer: Any) -> Any:
    return await answer


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What makes packages for environments of one minor version of Python, and keeps them."""

    minor: str
    """Such as `3.12`."""

    @property
    def glibc(self) -> str:
        """Return the glibc that the packages need: this machine's, whose Python and libraries are in them."""
        return platform.libc_ver()[1]

    def channel(self, *specs: str, constraints: Sequence[str] = ()) -> Path:
        """Return a directory channel with every record of the sample, and the packages that the specs solve to.

        Only those can be linked. A Python of this replica's version is among them. Its records name the hashes of
        the packages that were made; what was not made has the real ones. `constraints` are such as bounds that
        envpack adds for a Spark.
        """
        wanted = [f"python {self.minor}.*", *specs]
        answer = solved(self.solving.as_uri(), wanted, glibc=self.glibc, constraints=constraints)
        return self._channel((str(record.subdir), record.file_name) for record in answer)

    def channel_of(self, packages: Iterable[CondaPackage]) -> Path:
        """Return such a channel for packages of a lock that was solved on `solving`."""
        return self._channel((package.subdir, package.url.rpartition("/")[2]) for package in packages)

    def link(self, prefix: Path, *specs: str, packages: Path) -> None:
        """Link what the specs solve to into a prefix, with nothing of envpack's in between; keep the packages."""
        channel = self.channel(*specs)
        wanted = [f"python {self.minor}.*", *specs]
        answer = solved(channel.as_uri(), wanted, glibc=self.glibc)
        asyncio.run(_awaited(install(answer, prefix, cache_dir=packages)))

    def _channel(self, packages: Iterable[tuple[str, str]]) -> Path:
        wanted = sorted(set(packages))
        with ThreadPoolExecutor(_WORKERS) as pool:
            made = dict(zip(wanted, pool.map(lambda key: self.package(*key), wanted), strict=True))

        def lay_out(home: Path) -> None:
            index = {subdir: {**value} for subdir, value in self._index.items()}
            for (subdir, file), path in made.items():
                key = "packages.conda" if file.endswith(".conda") else "packages"
                index[subdir][key] = {**index[subdir][key], file: _as_made(index[subdir][key][file], path)}
            _write_repodata(home, index)
            for (subdir, file), path in made.items():
                os.link(path, home / subdir / file)

        return kept(f"channel-{digest.of_json(wanted)[:12]}", lay_out, within=self._home)

    def package(self, subdir: str, file: str) -> Path:
        """Return one package of the sample, made if it is not there."""
        path = self._home / "packages" / subdir / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                part = path.with_name(f".part-{file}")
                self._make(self._records[subdir, file], part)
                part.replace(path)
        return path

    @cached_property
    def solving(self) -> Path:
        """Return the replica's records as a channel; there are no packages in it."""
        return kept("solving", lambda home: _write_repodata(home, self._index), within=self._home)

    @cached_property
    def _index(self) -> dict[str, dict[str, Any]]:
        """The repodata of each subdir: the sample's, but for one Python.

        The newest record of this minor version says what this machine's Python is, which stands for it, and the
        others of this minor version are left out.
        """
        index = {subdir: repodata(subdir) for subdir in SUBDIRS}
        for key in ("packages", "packages.conda"):
            index["linux-64"] = {
                **index["linux-64"],
                key: {
                    file: record
                    for file, record in index["linux-64"][key].items()
                    if record["name"] != "python" or not record["version"].startswith(f"{self.minor}.")
                },
            }
        python = self._newest_python()
        version = interpreter.found(self.minor).version
        file = f"python-{version}-{python['build']}.conda"
        index["linux-64"]["packages.conda"][file] = {**python, "version": version}
        return index

    def _newest_python(self) -> dict[str, Any]:
        found = [
            record
            for record in repodata("linux-64")["packages.conda"].values()
            if record["name"] == "python" and record["version"].startswith(f"{self.minor}.")
        ]
        return dict(max(found, key=lambda record: (Version(record["version"]), record["build_number"])))

    @cached_property
    def _records(self) -> dict[tuple[str, str], Record]:
        return records(self._index)

    @cached_property
    def _home(self) -> Path:
        asked = interpreter.found(self.minor)
        sources = [*Path(__file__).parent.glob("*.py"), *Path(envpack.channel.__path__[0]).glob("*.py")]
        key = digest.of_json([str(asked.executable), asked.version, sorted(map(digest.of_file, sources))])
        home = kept(f"replica-{self.minor}-{key[:12]}", lambda home: interpreter.lay_out(asked, home / "python"))
        (home / ".done").touch()
        for other in home.parent.glob(f"replica-{self.minor}-*/.done"):
            if time.time() - other.stat().st_mtime > _UNUSED:
                shutil.rmtree(other.parent, ignore_errors=True)
        return home

    @cached_property
    def _python(self) -> Python:
        home = self._home / "python"
        return Python(minor=self.minor, program=home / "bin" / f"python{self.minor}", home=home)

    def _make(self, record: Record, file: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self._home) as scratch:
            root = Path(scratch) / "root"
            root.mkdir()
            link = _link_json(()) if record.is_noarch_python else None
            if record.name == "python":
                self._python.lay_out(record, root)
            elif record.project:
                made = distributions.lay_out(record, root, python=self._python.program, minor=self.minor)
                if record.is_noarch_python:
                    link = _link_json(made.entry_points)
            else:
                native.lay_out(record, root, interpreter=self._python)
            left_out = ("md5", "sha256", "size", "url")
            index = {key: value for key, value in record.json.items() if key not in left_out}
            licenses = {"LICENSE.txt": f"{record.json['license']}\n"} if "license" in record.json else None
            package_file.write(root, file, index=index, link=link, licenses=licenses)


def _link_json(entry_points: Sequence[str]) -> dict[str, Any]:
    """Return `info/link.json`. Source: conda-build, `create_info_files`."""
    return {
        "noarch": {"type": "python", **({"entry_points": list(entry_points)} if entry_points else {})},
        "package_metadata_version": 1,
    }


def _as_made(record: dict[str, Any], package: Path) -> dict[str, Any]:
    return {
        **{key: value for key, value in record.items() if key != "md5"},
        "sha256": digest.of_file(package),
        "size": package.stat().st_size,
    }


@pytest.fixture(scope="session")
def conda_forge() -> Path:
    """Give the sample as a channel that solves; there are no packages in it."""
    return solving_channel()


@pytest.fixture(scope="session")
def replica() -> Replica:
    """Give what makes packages for Python 3.12, with which most requests can be solved."""
    return Replica(minor=MINOR)
