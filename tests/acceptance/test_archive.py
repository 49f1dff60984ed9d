"""Archives of more than 32 bits: larger files, larger archives and more entries than most environments have."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpack.archive.formats import FORMATS
from envpack.archive.packing import pack
from tests.support.archives import peak_memory

if TYPE_CHECKING:
    from envpack.archive.formats import FormatName

pytestmark = pytest.mark.acceptance


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    (tmp_path / "prefix/conda-meta").mkdir(parents=True)
    return tmp_path / "prefix"


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size - 3)
        file.seek(0, 2)
        file.write(b"end")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_of_5_gigabytes_is_packed_in_little_memory_and_unpacked_whole(
    prefix: Path, tmp_path: Path, kind: FormatName
) -> None:
    size = 5_000_000_000
    sparse(prefix / "large.bin", size)
    out = tmp_path / f"out.{kind}"
    assert peak_memory(prefix, out, kind) < 200 << 20
    reader: list[str | Path] = (
        ["unzip", "-p", out, "large.bin"] if kind == "zip" else ["tar", "-xOf", out, "large.bin"]
    )
    with subprocess.Popen(reader, stdout=subprocess.PIPE) as unpacked:
        tail = subprocess.run(["tail", "-c", "3"], stdin=unpacked.stdout, check=True, capture_output=True).stdout
    assert (unpacked.returncode, tail) == (0, b"end")
    if kind == "zip":
        assert zipfile.ZipFile(out).getinfo("large.bin").file_size == size


def test_a_tar_holds_a_file_of_more_than_8_gigabytes(prefix: Path, tmp_path: Path) -> None:
    sparse(prefix / "larger.bin", 9_000_000_000)
    pack(prefix, tmp_path / "out.tar.gz", level=1)
    listed = subprocess.run(["tar", "-tvzf", tmp_path / "out.tar.gz"], check=True, capture_output=True, text=True)
    assert " 9000000000 " in listed.stdout


def test_a_zip_with_more_entries_than_16_bits_count_is_read_back(prefix: Path, tmp_path: Path) -> None:
    for number in range(260):
        (prefix / f"{number:03}").mkdir()
        for file in range(256):
            (prefix / f"{number:03}" / f"{file:03}").touch()
    packed = pack(prefix, tmp_path / "out.zip", format="zip")
    assert packed.members > 0xFFFF
    with zipfile.ZipFile(packed.path) as archive:
        assert len(archive.infolist()) == packed.members
    subprocess.run(["unzip", "-tq", packed.path], check=True, capture_output=True)
