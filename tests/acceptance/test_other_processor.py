"""An environment for another processor, built here and run under qemu: Debian's Python for it, wheels for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rattler.package_streaming import extract

from envpack.archive import guard
from envpack.archive.bytecode import compile_prefix
from envpack.archive.unpack import unpack
from envpack.config.target import Target
from envpack.files import elf
from envpack.tools.cage import Confine
from tests.support import debian, emulated
from tests.support.channel import Channel
from tests.support.command import as_pypi_was, desk_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.command import Desk

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

OTHER = "linux-aarch64"
ARCHITECTURES = {"linux-64": "amd64", OTHER: "arm64"}

USE = """
import json, platform, sys
import numpy, pandas, pyarrow
frame = pandas.DataFrame({"a": numpy.arange(5)})
table = pyarrow.Table.from_pandas(frame)
print(json.dumps({
    "machine": platform.machine(),
    "sum": int(table.to_pandas()["a"].sum()),
    "versions": {module.__name__: module.__version__ for module in (numpy, pandas, pyarrow)},
    "files": [module.__file__ for module in (json, numpy, pandas, pyarrow)],
    "cached": [module.__spec__.cached for module in (json, numpy, pandas, pyarrow)],
}))
"""


@dataclass(frozen=True, kw_only=True)
class Processor:
    """Another processor: a system for it that was never installed, and qemu."""

    root: Path
    qemu: Path

    @property
    def variables(self) -> dict[str, str]:
        """What a person sets who has qemu and a system for it."""
        return {"PATH": f"{self.qemu}:{os.environ['PATH']}", "QEMU_LD_PREFIX": str(self.root)}

    @property
    def words(self) -> list[str]:
        """What stands before a command."""
        program = next(path for path in sorted(self.qemu.glob("qemu-aarch64*")) if "_be" not in path.name)
        return [str(program), "-L", str(self.root)]


@pytest.fixture(scope="module")
def processor() -> Processor:
    if Target(platform=OTHER).is_this_machine:
        pytest.skip(f"{OTHER} is this machine's own")
    found = Processor(root=debian.root(ARCHITECTURES[OTHER]), qemu=debian.qemu())
    python = found.root / "usr/bin/python3"
    tried = subprocess.run([*found.words, python, "-c", "print(1)"], capture_output=True, text=True, check=False)
    if tried.stdout != "1\n":
        pytest.skip(f"qemu does not run here: {tried.stderr.strip()[-200:]}")
    return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, processor: Processor) -> Desk:
    """A desk whose channel has the same Python for both processors, each made from a root of Debian."""
    home = tmp_path_factory.mktemp("other")
    facts: Mapping[str, Any] = {}
    bare = desk_at(
        home / "a desk", Channel(path=home, python="", platform="", foreign="", glibc="2.36"), home / "c"
    )
    bare = replace(bare, environment={**bare.environment, **processor.variables})
    for architecture in ARCHITECTURES.values():
        made = bare.run("channel", "init", "channel", "--root", str(debian.root(architecture)), "--output", "json")
        assert made.code == 0, made.err
        facts = made.json()
    channel = Channel(
        path=bare.home / "channel", python=facts["python"], platform="linux-64", foreign=OTHER, glibc=facts["glibc"]
    )
    desk = as_pypi_was(desk_at(bare.home, channel, home / "c"))
    desk.write("w.txt", "numpy", "pandas", "pyarrow")
    return replace(desk, environment={**desk.environment, **processor.variables})


@pytest.fixture(scope="module")
def built(desk: Desk) -> Any:
    return desk.build("w.txt", "--platform", OTHER)


@pytest.fixture(scope="module")
def environment(built: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive as a node unpacks it."""
    directory = tmp_path_factory.mktemp("node") / "environment"
    unpack(Path(built["archive"]["uri"].removeprefix("file://").replace("%20", " ")), directory)
    return directory


def test_a_channel_made_of_a_foreign_root_has_that_processors_python_and_no_loader(desk: Desk) -> None:
    (package,) = (desk.channel.path / OTHER).glob("python-*.conda")
    with tempfile.TemporaryDirectory() as directory:
        extract(package, Path(directory))
        libraries = [path for path in Path(directory).rglob("*.so*") if path.is_file()]
        found = {path.name: elf.read(path, path.name) for path in libraries}
        assert {binary.machine for binary in found.values() if binary} == {"aarch64"}
        assert "libssl.so.3" in found
        assert not [name for name in found if name.startswith(("ld-linux", "libc.so"))]


def test_verification_runs_it_under_qemu_and_says_so(desk: Desk, built: Any) -> None:
    manifest = desk.run("show", built["reference"], "--output", "json").json()["manifest"]
    assert manifest["verified"] == "run"
    assert [text for text in manifest["warnings"] if "its Python ran under qemu-aarch64" in text]
    assert str(Path.home()) not in json.dumps(manifest)
    verified = desk.run("verify", built["reference"])
    assert verified.code == 0, verified.err
    assert "ran under qemu-aarch64" in verified.out


def test_the_unpacked_archive_imports_and_computes_under_qemu_with_the_bytecode_that_is_packed(
    processor: Processor, built: Any, environment: Path
) -> None:
    command = [*processor.words, str(environment / guard.program(environment)), "-c", USE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    packed = {package["name"]: package["version"] for package in built["packages"]}
    assert (seen["machine"], seen["sum"]) == ("aarch64", 10)
    assert seen["versions"] == {name: packed[name] for name in seen["versions"]}
    assert all(Path(file).is_relative_to(environment) for file in (*seen["files"], *seen["cached"]))
    assert all(Path(file).is_file() for file in seen["cached"])


def test_its_own_python_under_qemu_compiles_to_the_same_bytes(
    processor: Processor, environment: Path, tmp_path: Path
) -> None:
    """What of an archive a machine makes is bytecode alone; all else is copied out of packages."""
    library = Path("lib/python3.11")
    chosen = [library / name for name in ("json", "asyncio", "email", "site-packages/pandas/core/arrays")]
    prefix, compiled = tmp_path / "prefix", tmp_path / "compiled"
    for folder in chosen:
        shutil.copytree(environment / folder, prefix / folder, ignore=shutil.ignore_patterns("__pycache__"))
    compiled.mkdir()
    python = tmp_path / "python"
    program = environment / guard.program(environment)
    python.write_text(f"#!/bin/sh\nexec {' '.join(processor.words)} '{program}' \"$@\"\n")
    python.chmod(0o755)
    assert compile_prefix(prefix, python=python, into=compiled, confine=Confine.OFF) > 50
    made = {path.relative_to(compiled): path.read_bytes() for path in compiled.rglob("*.pyc")}
    packed = {
        path.relative_to(environment): path.read_bytes()
        for folder in chosen
        for path in (environment / folder).rglob("*.pyc")
    }
    assert made == packed


def test_a_whole_build_on_that_processor_gives_the_same_archive(
    processor: Processor, desk: Desk, tmp_path: Path
) -> None:
    """All of it runs there: envpack, rattler, uv, what compiles and what imports, the zlib that compresses.

    But for the cage: qemu's user mode knows no namespaces.
    """
    (tmp_path / "scratch").mkdir()
    other = emulated.system(tmp_path / "scratch")
    desk.write("small.txt", "numpy", "tzdata")
    here = desk.build("small.txt", "--platform", OTHER)
    home = tmp_path / "a desk there"
    shutil.copytree(desk.home, home, ignore=shutil.ignore_patterns("channel", "a store", "*.lock"))
    variables = {name: value for name, value in desk.environment.items() if name != "QEMU_LD_PREFIX"}
    there = json.loads(
        other.envpack(
            *("build", home / "small.txt", "--platform", OTHER, "--store", home / "a store", "--output", "json"),
            *("--channel", desk.channel.url, "--glibc", desk.channel.glibc),
            shared=(home, desk.channel.path),
            variables={**variables, "ENVPACK_CACHE_DIR": "/var/cache/envpack", "ENVPACK_CONFINE": "off"},
        )
    )
    made = json.loads(next((home / "a store").glob("small/*/manifest.json")).read_text("utf-8"))
    assert made["verified"] == "run"
    assert there["digest"] == here["digest"]


def test_without_qemu_it_is_read_and_the_reason_is_said(desk: Desk, built: Any) -> None:
    ran = desk.run("verify", built["reference"], PATH="/nowhere")
    assert ran.code == 0, ran.err
    assert "no qemu-aarch64 on PATH" in ran.err + ran.out
    said = desk.run("doctor", "--platform", OTHER, "--output", "json", PATH="/nowhere").json()["findings"]
    assert [each["level"] for each in said if "can only be read here" in each["text"]] in ([], ["note"])
