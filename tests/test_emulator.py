"""How qemu and a system's libraries for another processor are looked for."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from envpack.files import elf
from envpack.tools import emulator

LIBRARIES = (
    "lib/ld-linux-aarch64.so.1",
    *(f"lib/{name}" for name in ("libc.so.6", "libgcc_s.so.1", "libstdc++.so.6")),
)


def files(directory: Path, *names: str, mode: int = 0o644) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch(mode)
    return directory


def test_without_qemu_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(emulator.NoEmulator, match=r"no qemu-aarch64 on PATH .*qemu-user"):
        emulator.find("aarch64")


@pytest.mark.parametrize("program", ["qemu-aarch64", "qemu-aarch64-static"])
def test_qemu_is_found_with_the_system_that_a_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setenv("PATH", str(files(tmp_path / "bin", program, mode=0o755)))
    monkeypatch.setenv("QEMU_LD_PREFIX", str(files(tmp_path / "root", *LIBRARIES)))
    found = emulator.find("aarch64")
    assert found.words == [str(tmp_path / "bin" / program), "-L", str(tmp_path / "root")]
    assert found.libc == tmp_path / "root/lib/libc.so.6"


@pytest.mark.parametrize("lacking", LIBRARIES)
def test_a_system_that_lacks_what_wheels_need_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    monkeypatch.setenv("PATH", str(files(tmp_path / "bin", "qemu-aarch64", mode=0o755)))
    root = files(tmp_path / "root", *(name for name in LIBRARIES if name != lacking))
    with pytest.raises(emulator.NoEmulator, match="has no loader"):
        emulator.find("aarch64", root)


def test_the_version_of_a_c_library_is_read_from_its_symbols() -> None:
    family, version = platform.libc_ver()
    libc = next(Path("/").glob("lib/*-linux-gnu/libc.so.6"), None)
    if family != "glibc" or libc is None:
        pytest.skip("this machine has no glibc where Debian has it")
    assert elf.version_text(elf.provides(libc)) == version
    assert elf.provides(Path(__file__)) is None
