"""What is wrong with a wheel is known before an installer gets it."""

from __future__ import annotations

import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from envpack.files.wheel import WheelTarget, problems_of
from tests.support.wheels import member, write_odd_wheel, write_wheel

TARGET = WheelTarget(python="3.11.7", machine="x86_64", glibc="2.28")

PLAIN = {"odd.py": b"VERSION = 1\n"}


@dataclass(frozen=True)
class Bad:
    """A wheel that must not be installed, and words of the reason."""

    reason: str
    how: dict[str, Any] = field(default_factory=dict)


def without(name: str) -> Any:
    return lambda record: "".join(line for line in record.splitlines(keepends=True) if name not in line)


def metadata(*lines: str, name: str = "odd", version: str = "1.0") -> str:
    return "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""])


BAD = {
    "a RECORD with a wrong digest": Bad(
        "not what its RECORD says: odd.py", {"record": lambda text: text.replace("sha256=", "sha256=AA", 1)}
    ),
    "a RECORD with a wrong size": Bad(
        "not what its RECORD says: odd.py", {"record": lambda text: text.replace(",12\n", ",13\n", 1)}
    ),
    "a RECORD with a digest that is none": Bad(
        "not what its RECORD says: odd.py", {"record": lambda text: text.replace("sha256=", "crc=", 1)}
    ),
    "no RECORD": Bad("has no RECORD", {"record": None}),
    "an empty RECORD": Bad("does not list: odd.py", {"record": lambda _: ""}),
    "a RECORD without a module": Bad("does not list: odd.py", {"record": without("odd.py")}),
    "a RECORD with a file that is not there": Bad(
        "lacks files that its RECORD lists: ghost.py", {"record": lambda text: f"ghost.py,sha256=AAAA,3\n{text}"}
    ),
    "a RECORD that is no list": Bad("lines are not path", {"record": lambda _: "\x00\x01\n"}),
    "a RECORD with a line without an end": Bad("lines are not path", {"record": lambda text: "x" * 200_000 + text}),
    "a member above": Bad(
        "lead out of its folder: ../../../evil.py", {"files": {**PLAIN, "../../../evil.py": b""}}
    ),
    "a member above, further down": Bad("lead out of", {"files": {**PLAIN, "odd/../../evil.py": b""}}),
    "an absolute member": Bad("lead out of its folder: /opt/evil.py", {"files": {**PLAIN, "/opt/evil.py": b""}}),
    "a member above the environment": Bad(
        "lead out of", {"files": {**PLAIN, "odd-1.0.data/data/../../../evil": b""}}
    ),
    "a drive of Windows": Bad("lead out of", {"files": {**PLAIN, "C:/evil.py": b""}}),
    "a record of conda's": Bad(
        "write among conda's records", {"files": {**PLAIN, "odd-1.0.data/data/conda-meta/evil-1-0.json": b"{}"}}
    ),
    "a place that is not known": Bad(
        "place that installers do not know", {"files": {**PLAIN, "odd-1.0.data/x/y": b""}}
    ),
    "made for Windows": Bad("on win_amd64, and the target has", {"tag": "cp311-cp311-win_amd64"}),
    "made for macOS": Bad("macosx_11_0_arm64, and the target has", {"tag": "cp311-cp311-macosx_11_0_arm64"}),
    "made for another processor": Bad("aarch64, and the target", {"tag": "cp311-cp311-manylinux_2_17_aarch64"}),
    "made for musl": Bad("musllinux_1_2_x86_64, and the target", {"tag": "cp311-cp311-musllinux_1_2_x86_64"}),
    "made for a newer glibc": Bad("glibc 2.28", {"tag": "cp311-cp311-manylinux_2_35_x86_64"}),
    "made for Python 2": Bad("is made for py2-none on any", {"tag": "py2-none-any"}),
    "made for another Python 3": Bad("is made for cp312-cp312", {"tag": "cp312-cp312-manylinux_2_17_x86_64"}),
    "for older Pythons": Bad(
        "is for Python <3, and the target has 3.11.7", {"metadata": metadata("Requires-Python: <3")}
    ),
    "another name inside": Bad("is other inside, not odd", {"metadata": metadata(name="other")}),
    "another version inside": Bad("is version 2.0 inside, not 1.0", {"metadata": metadata(version="2.0")}),
    "no name inside": Bad("is none inside", {"metadata": "Metadata-Version: 2.1\n"}),
    "another wheel's metadata": Bad("that of another wheel", {"info": "other-1.0.dist-info"}),
    "no metadata": Bad("no .dist-info", {"info": "junk"}),
    "two metadata": Bad(
        "has 2 .dist-info directories", {"files": {**PLAIN, "other-1.0.dist-info/METADATA": b"Name: other\n"}}
    ),
    "a format of the future": Bad("wheel format 2.0", {"layout": "Wheel-Version: 2.0\n"}),
    "no format": Bad("wheel format none", {"layout": "\n"}),
    "a link": Bad(
        "holds symbolic links, which wheels cannot have: l", {"members": [(member("l", 0o120777), b"/")]}
    ),
    "a link through a link": Bad(
        "holds symbolic links", {"members": [(member("d", 0o120777), b".."), (member("d/evil.py"), b"")]}
    ),
    "a pipe": Bad("holds pipes", {"members": [(member("f", 0o010644), b"")]}),
    "a device": Bad("holds devices", {"members": [(member("f", 0o020644), b"")]}),
    "a name with a newline": Bad("names no file should have", {"files": {**PLAIN, "a\nb.py": b""}}),
    "a name with an escape": Bad("names no file should have", {"files": {**PLAIN, "a\x1b]52;b.py": b""}}),
    "a name with a backslash": Bad("names no file should have", {"files": {**PLAIN, "..\\evil.py": b""}}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wheel_that_breaks_a_rule_is_refused_with_the_rule(name: str, tmp_path: Path) -> None:
    path = write_odd_wheel(tmp_path, **BAD[name].how)
    problems = problems_of(path, TARGET)
    assert any(BAD[name].reason in problem for problem in problems), problems
    assert all(problem.isprintable() for problem in problems)


GOOD: dict[str, dict[str, Any]] = {
    "plain": {},
    "compiled": {"tag": "cp311-cp311-manylinux_2_28_x86_64"},
    "for the stable interface of an older Python": {"tag": "cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64"},
    "for the oldest glibc": {"tag": "cp311-cp311-manylinux1_x86_64"},
    "for either Python": {"tag": "py2.py3-none-any"},
    "written as another would": {"metadata": metadata(name="Odd", version="1.0.0")},
    "for newer Pythons": {"metadata": metadata("Requires-Python: >=3.8,!=3.9.*")},
    "signed": {"members": [(member("odd-1.0.dist-info/RECORD.jws"), b"{}")]},
    "with folders": {"members": [(member("odd/", 0o040755), b"")]},
    "with data": {"files": {**PLAIN, "odd-1.0.data/data/share/x": b"x", "odd-1.0.data/scripts/odd": b"#!python"}},
    "with a line without a digest": {"record": lambda text: f"odd.py,,\n{text.partition(chr(10))[2]}"},
    "in no language": {"files": {**PLAIN, "odd/überall.txt": b"x"}},
}


@pytest.mark.parametrize("name", GOOD)
def test_a_wheel_that_keeps_the_rules_is_not_refused(name: str, tmp_path: Path) -> None:
    assert problems_of(write_odd_wheel(tmp_path, **GOOD[name]), TARGET) == []


def test_a_wheel_is_held_to_what_it_was_asked_for_as(tmp_path: Path) -> None:
    write_wheel(tmp_path, "some-thing", "1.0")
    path = tmp_path / "some_thing-1.0-py3-none-any.whl"
    assert problems_of(path, TARGET, name="some.thing", version="1.0.0") == []
    assert problems_of(path, TARGET, name="other", version="1.0")


@pytest.mark.parametrize("size", [0, 1, 100, 300, 500])
def test_a_truncated_wheel_is_damaged(size: int, tmp_path: Path) -> None:
    path = write_odd_wheel(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    (problem,) = problems_of(path, TARGET)
    assert problem.startswith("is damaged: ")


@pytest.mark.parametrize("at", range(0, 700, 7))
def test_a_wheel_with_any_byte_changed_is_read_without_a_traceback(at: int, tmp_path: Path) -> None:
    path = write_odd_wheel(tmp_path, compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 0xFF
    path.write_bytes(data)
    assert all(problem.isprintable() for problem in problems_of(path, TARGET))


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = write_odd_wheel(tmp_path, members=[(member("caf\xe9.py"), b"")])
    data = path.read_bytes()
    path.write_bytes(data.replace("caf\xe9.py".encode(), b"caf\xff\xfe.py"))
    assert problems_of(path, TARGET) == ["has members whose names are not UTF-8"]


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = write_odd_wheel(tmp_path)
    with zipfile.ZipFile(path, "a") as wheel:
        wheel.writestr(member("bomb.bin"), bytes(10))
        wheel.filelist[-1].file_size = 1 << 40
    (problem,) = problems_of(path, TARGET)
    assert "which is more than envpack allows" in problem


def test_a_wheel_of_very_many_files_takes_bounded_time(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        folder = tmp_path / str(count)
        folder.mkdir()
        path = write_odd_wheel(folder, files={f"odd/{n:06}.py": b"" for n in range(count)})
        start = time.process_time()
        assert problems_of(path, TARGET) == []
        return time.process_time() - start

    few, many = seconds(500), seconds(5_000)
    assert many < 40 * max(few, 0.05)
