"""Packages and archives of 200,000 files: the time grows with the number alone, and memory stays small."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from envpack.files.wheel import WheelTarget, problems_of
from tests.support.wheels import write_odd_wheel

pytestmark = pytest.mark.acceptance

MANY, FEW = 200_000, 20_000

MEASURED = """
import json, resource, sys, time
from pathlib import Path
start = time.process_time()
{code}
if Path("/proc/self/status").exists():  # on Linux the other number begins with what the process that forked took
    lines = Path("/proc/self/status").read_text().splitlines()
    used = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
else:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({{"seconds": time.process_time() - start, "memory": used}}))
"""


def measured(code: str, *arguments: object) -> dict[str, Any]:
    """Return processor seconds and the most memory of a piece of code in a process of its own."""
    command = [sys.executable, "-c", MEASURED.format(code=code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=400)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(few: dict[str, Any], many: dict[str, Any]) -> None:
    """Ten times as many files must not take a hundred times as long."""
    assert many["seconds"] < 30 * max(few["seconds"], 0.5)
    assert many["memory"] < 1 << 30


def test_a_wheel_of_very_many_files(tmp_path: Path) -> None:
    code = """
from envpack.files.wheel import WheelTarget, problems_of
assert problems_of(Path(sys.argv[1]), WheelTarget(python="3.11.7", machine="x86_64", glibc="2.28")) == []
"""

    def wheel(count: int) -> Path:
        folder = tmp_path / str(count)
        folder.mkdir()
        return write_odd_wheel(folder, files={f"odd/d{n % 100}/{n:06}.py": b"" for n in range(count)})

    few, many = (measured(code, wheel(count)) for count in (FEW, MANY))
    compare(few, many)


def test_a_wheel_that_lists_very_many_files_that_it_lacks_is_refused_in_a_line(tmp_path: Path) -> None:
    path = write_odd_wheel(
        tmp_path, record=lambda honest: honest + "".join(f"odd/{n}.py,sha256=AAAA,1\n" for n in range(MANY))
    )
    (problem,) = problems_of(path, WheelTarget(python="3.11.7", machine="x86_64", glibc="2.28"))
    assert len(problem) < 500


def archive(path: Path, count: int) -> Path:
    """Write an archive of small files, and as many links as a tenth of them, each through the one before."""
    with gzip.open(path, "wb", 1) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        for number in range(count):
            info = tarfile.TarInfo(
                f"d{number % 100}/{number}\n" if number % 1000 == 7 else f"d{number % 100}/{number}"
            )
            info.size, info.mode = 1, 0o644
            tar.addfile(info, BytesIO(b"x"))
        for number in range(count // 10):
            info = tarfile.TarInfo(f"links/{number}")
            # Chains of 30, as the kernel follows 40 links.
            info.type, info.linkname = tarfile.SYMTYPE, f"{number - 1}" if number % 30 else "../d1/1"
            tar.addfile(info)
    return path


def test_an_archive_of_very_many_files_and_links_through_links(tmp_path: Path) -> None:
    code = """
from envpack.archive.unpack import Extent, unpack
unpack(Path(sys.argv[1]), Path(sys.argv[2]), extent=Extent(size=int(sys.argv[3]), members=2 * int(sys.argv[3])))
"""
    few, many = (
        measured(code, archive(tmp_path / f"{count}.tar.gz", count), tmp_path / str(count), count)
        for count in (FEW, MANY)
    )
    compare(few, many)
    assert (tmp_path / str(MANY) / "links/29").read_text() == "x"


def test_a_conda_package_of_very_many_files(tmp_path: Path) -> None:
    code = """
from envpack.prefix.conda_package import check
checked = check(Path(sys.argv[1]), site_packages=None, contents=True)
assert checked.problems == (), checked.problems
"""

    def package(count: int) -> Path:
        place = tmp_path / str(count)
        listed = []
        for number in range(count):
            path = place / f"share/d{number % 100}/{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
            listed.append(
                {"_path": path.relative_to(place).as_posix(), "path_type": "hardlink", "size_in_bytes": 0}
            )
        (place / "info").mkdir()
        (place / "info/paths.json").write_text(json.dumps({"paths": listed}))
        return place

    few, many = (measured(code, package(count)) for count in (FEW, MANY))
    compare(few, many)
