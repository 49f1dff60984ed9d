"""A real conda channel: the starter Python, and small packages built by rattler-build that do what real ones do."""

from __future__ import annotations

import json
import shutil
import struct
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rattler import BuildString, GenericVirtualPackage, PackageName, Subdir, Version, install, solve
from rattler.index import index_fs
from rattler.package_streaming import extract
from rattler_build import Stage0Recipe, ToolConfiguration

import envpack.channel
from envpack import digest
from envpack.channel import conda_file, interpreter
from envpack.files import elf
from tests.support import small_python
from tests.support.cache import kept
from tests.support.loop import in_a_loop

if TYPE_CHECKING:
    from collections.abc import Sequence

RECIPES = Path(__file__).parent / "recipes"

ELF_MACHINES = {"linux-64": 62, "linux-aarch64": 183}
"""The number of a processor in the head of an ELF file. Source: elf(5), e_machine."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """The channel that tests solve against and link from. It is shared: read it, do not change it."""

    path: Path
    python: str
    """The version of the only Python in it."""
    platform: str
    """This machine's subdir."""
    foreign: str
    """The subdir whose Python cannot run here."""
    glibc: str
    """The oldest glibc that the Python runs on."""

    @property
    def url(self) -> str:
        return self.path.as_uri()

    def link(self, prefix: Path, *specs: str, cache: Path | None = None) -> None:
        """Link the newest packages that fit, with nothing of envpack's in between; `cache` keeps the packages."""
        with tempfile.TemporaryDirectory() as scratch:
            in_a_loop(self._link(prefix, specs, cache or Path(scratch)))

    async def _link(self, prefix: Path, specs: Sequence[str], cache: Path) -> None:
        glibc = GenericVirtualPackage(PackageName("__glibc"), Version(self.glibc), BuildString("0"))
        platforms = [Subdir(self.platform), Subdir("noarch")]
        records = await solve([self.url], list(specs), platforms=platforms, virtual_packages=[glibc])
        await install(records, prefix, cache_dir=cache)


@pytest.fixture(scope="session")
def channel() -> Channel:
    """The channel for most tests: its Python has a quarter of the modules, so that builds are quick."""
    return _kept("small")


@pytest.fixture(scope="session")
def full_channel() -> Channel:
    """The same with a whole Python, for tests that are about Python and for those that run Spark."""
    return _kept("full")


def _kept(kind: str) -> Channel:
    """Return a channel that all workers and runs share; it is made anew when what it is made of has changed."""
    home = kept(f"channels-{_ingredients()[:16]}", _make)
    return Channel(path=home / kind, **json.loads((home / f"{kind}.json").read_text()))


def _ingredients() -> str:
    sources = [
        *RECIPES.iterdir(),
        Path(__file__),
        Path(small_python.__file__),
        Path(elf.__file__),
        *Path(envpack.channel.__path__[0]).glob("*.py"),
    ]
    return digest.of_json(
        {
            "python": [sys.version, str(interpreter.ask(Path(sys.executable)).executable)],
            "rattler-build": metadata.version("py-rattler-build"),
            "sources": sorted(digest.of_file(path) for path in sources),
        }
    )


def _make(home: Path) -> None:
    full, small = home / "full", home / "small"
    starter = envpack.channel.init(full)
    (foreign,) = set(ELF_MACHINES) - {starter.platform}
    whole = full / starter.platform / starter.packages[0]
    (small / starter.platform).mkdir(parents=True)
    reduced, glibc = small_python.write(whole, small / starter.platform)
    in_a_loop(index_fs(small))
    _build(RECIPES / "recipe.yaml", small)
    for channel, python in ((full, whole), (small, reduced)):
        _write_foreign_python(python, channel / foreign, foreign)
    for package in (*small.glob("noarch/*.conda"), *small.glob(f"{starter.platform}/*.conda")):
        if package != reduced:
            shutil.copy(package, full / package.parent.name)
    for channel, oldest in ((full, starter.glibc), (small, glibc)):
        in_a_loop(index_fs(channel, force=True))
        facts = {
            "python": starter.python,
            "platform": starter.platform,
            "foreign": foreign,
            "glibc": oldest,
        }
        (home / f"{channel.name}.json").write_text(json.dumps(facts))


def _build(recipe: Path, channel: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RATTLER_CACHE_DIR", f"{scratch}/cache")
        built = Stage0Recipe.from_file(recipe).run_build(
            tool_config=ToolConfiguration(allow_symlinks_on_windows=True),
            output_dir=f"{scratch}/built",
            channels=[channel.as_uri()],
            no_include_recipe=True,
        )
        for package in (package for result in built for package in result.packages):
            shutil.move(package, channel / package.parent.name / package.name)


def _write_foreign_python(package: Path, directory: Path, subdir: str) -> None:
    """Write a Python for another processor: the same library in Python, and a program that is only a head."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        extract(package, root)
        index = json.loads((root / "info/index.json").read_text())
        about = json.loads((root / "info/about.json").read_text())
        shutil.rmtree(root / "info")
        for library in root.rglob("*.so*"):
            library.unlink()
        program = (root / "bin/python").resolve()
        program.write_bytes(elf_head(ELF_MACHINES[subdir]))
        directory.mkdir(exist_ok=True)
        conda_file.write(root, directory / package.name, index={**index, "subdir": subdir}, about=about)


def elf_head(machine: int) -> bytes:
    """Return the head of a 64-bit program, with nothing behind it. Source: elf(5), Elf64_Ehdr."""
    program, version, size = 2, 1, 64
    little_endian = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    return little_endian + struct.pack("<HHIQQQIHHHHHH", program, machine, version, 0, 0, 0, 0, size, *[0] * 5)
