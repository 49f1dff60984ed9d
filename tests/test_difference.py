"""`diff`: two releases that were really built, and a requirements file that was not."""

from __future__ import annotations

import gzip
import json
from base64 import urlsafe_b64encode
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from envpack.archive.members import Entry
from envpack.errors import UsageError
from envpack.files import installed
from envpack.inspect.markdown import code, text
from envpack.packages.compare import compare
from envpack.packages.package import PackedPackage
from envpack.releases import file_list
from envpack.releases.file_list import File
from tests.support.channel import Channel
from tests.support.command import Desk, desk_at
from tests.support.schemas import check
from tests.support.wheels import write_wheel

LIBRARY = "lib/python{}/site-packages"

COUNTED = bytes(range(32))
"""As long as a SHA-256."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, channel: Channel, warm_cache: Path) -> tuple[Desk, str, str]:
    """A desk with two releases of one name; the second has a package more, one less, one newer, a variable."""
    desk = desk_at(tmp_path_factory.mktemp("two") / "a desk", channel, warm_cache)
    shelf = desk.home / "shelf"
    shelf.mkdir()
    files = {"wheel_a/__init__.py": "SAME = 1\n", "wheel_a/old.py": "x = 1\n", "wheel_a/both.py": "a = 1\n"}
    write_wheel(shelf, "wheel-a", "1", files=files)
    del files["wheel_a/old.py"]
    write_wheel(shelf, "wheel-a", "2", files={**files, "wheel_a/both.py": "b = 2\n", "wheel_a/new.py": "y = 12\n"})
    write_wheel(shelf, "gone", "1")
    write_wheel(shelf, "fresh", "1")
    head = ["name: e", "dependencies: [python, greeter=1.0, {pip: [--no-index, --find-links shelf, LINE]}]"]

    def build(lines: str, *more: str) -> str:
        desk.write("e.yml", *(line.replace("LINE", lines) for line in head), *more)
        return str(desk.build("e.yml", "--no-verify")["reference"])

    return desk, build("wheel-a==1, gone"), build("wheel-a==2, fresh", "variables: {A: b}")


def test_two_releases_differ_in_packages_facts_settings_sizes_and_files(two: tuple[Desk, str, str]) -> None:
    desk, one, other = two
    value = check(desk.run("diff", one, other, "--output", "json").json(), "diff")
    packages = value["packages"]
    assert [package["name"] for package in packages["added"]] == ["fresh"]
    assert [package["name"] for package in packages["removed"]] == ["gone"]
    assert [(c["name"], c["before"]["version"], c["after"]["version"]) for c in packages["changed"]] == [
        ("wheel-a", "1", "2")
    ]
    assert {"name": "variable A", "before": None, "after": "b"} in value["facts"]
    assert {"name": "spark.executorEnv.A", "before": None, "after": "b"} in value["settings"]
    assert value["sizes"]["archive"]["before"] != value["sizes"]["archive"]["after"]
    folder = LIBRARY.format(desk.channel.python.rpartition(".")[0])
    files = {file["path"]: (file["before"], file["after"]) for file in value["files"]}
    assert files[f"{folder}/wheel_a/old.py"] == (6, None)
    assert files[f"{folder}/wheel_a/new.py"] == (None, 7)
    assert files[f"{folder}/wheel_a/both.py"] == (6, 6)
    assert f"{folder}/wheel_a/__init__.py" not in files
    assert not [path for path in files if path.endswith(".pyc")]
    assert value["notes"] == []


def test_the_text_and_the_markdown_tell_the_same(two: tuple[Desk, str, str]) -> None:
    desk, one, other = two
    shown = desk.run("diff", one, other).out
    for line in ("  + fresh 1 (pypi)", "  - gone 1 (pypi)", "  ~ wheel-a 1 -> 2", "  + spark.executorEnv.A b"):
        assert line in shown.splitlines()
    assert "wheel_a/new.py 7 B" in desk.run("diff", one, other, "--files").out
    table = desk.run("diff", one, other, "--output", "markdown").out
    assert "| `wheel-a` | 1 (pypi) | 2 (pypi) |" in table
    assert "| `fresh` | | 1 (pypi) |" in table


def test_a_release_does_not_differ_from_itself(two: tuple[Desk, str, str]) -> None:
    desk, one, _ = two
    assert "the same packages, target, settings and files" in desk.run("diff", one, one).out


def test_a_file_that_is_not_built_is_solved_and_compared(two: tuple[Desk, str, str]) -> None:
    desk, one, other = two
    (desk.home / "e.yml").write_text((desk.home / "e.yml").read_text().replace("greeter=1.0", "greeter=2.0"))
    lock = (desk.home / "e.yml.lock").read_text()
    before = sorted(desk.releases())
    value = check(desk.run("diff", other, "e.yml", "--output", "json").json(), "diff")
    assert [c["name"] for c in value["packages"]["changed"]] == ["greeter"]
    assert value["sizes"]["archive"]["after"] is None
    assert value["settings"] is None
    assert value["files"] is None
    assert value["notes"] == ["the settings of e.yml are not known", "the files of e.yml are not known"]
    assert sorted(desk.releases()) == before
    assert (desk.home / "e.yml.lock").read_text() == lock
    (desk.home / "e.yml").write_text((desk.home / "e.yml").read_text().replace("greeter=2.0", "greeter=1.0"))
    assert desk.run("diff", one, "e.yml", "--output", "json").json()["after"] == other


def test_a_release_says_how_large_each_package_is_and_what_its_files_are(two: tuple[Desk, str, str]) -> None:
    desk, one, _ = two
    name, _, short = one.partition("@")
    data = (desk.store / name / short / file_list.FILE).read_bytes()
    check(json.loads(gzip.decompress(data)), "files")
    files = file_list.loads(data, "here")
    manifest = desk.run("show", one, "--output", "json").json()["manifest"]
    sizes = {package["name"]: package["unpacked_size"] for package in manifest["packages"]}
    assert sizes["python"] > 10_000_000
    assert sizes["wheel-a"] == sum(file.size for file in files if "wheel_a" in file.path)
    assert sum(file.size for file in files) == manifest["archive"]["unpacked_size"]
    owners = {file.path.rsplit("/", 1)[-1]: file.owner for file in files}
    assert owners["gone.py"] == "pypi/gone"
    assert owners["greeter.py" if "greeter.py" in owners else "greet"] == "conda/greeter"


def file(path: str, content: str = "c", size: int = 1) -> File:
    return File(path, size, content, "")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([file("a")], [file("a")], []),
        ([file("a")], [file("a", content="d")], ["a"]),
        ([file("a")], [file("a", size=2)], ["a"]),
        ([file("a", content="-> b")], [file("a", content="-> c")], ["a"]),
        ([file("a")], [], ["a"]),
        ([], [file("b"), file("a")], ["a", "b"]),
        ([file("a.pyc")], [], []),
    ],
)
def test_files_differ_by_size_and_content(before: list[File], after: list[File], expected: list[str]) -> None:
    assert [change.path for change in file_list.differences(before, after)] == expected


@pytest.mark.parametrize(
    "data",
    [b"", b"x", gzip.compress(b"[]"), gzip.compress(b'{"owners": [], "files": [[1]]}')],
    ids=["nothing", "no gzip", "another list", "rows too short"],
)
def test_what_is_no_list_of_files_is_said(data: bytes) -> None:
    with pytest.raises(UsageError, match="HERE is not a list of files"):
        file_list.loads(data, "HERE")


@pytest.mark.parametrize(
    ("row", "content"),
    [
        (f"a.py,sha256={urlsafe_b64encode(COUNTED).decode().rstrip('=')},1", COUNTED.hex()[:16]),
        ("a.py,sha256=a,1", ""),
        ("a.py,sha256=\u00fc,1", ""),
        ("a.py,md5=aaaa,1", ""),
        ("a.py,,", ""),
        ("a.py", ""),
        ("", ""),
    ],
)
def test_what_a_wheels_record_does_not_say_well_is_not_known(tmp_path: Path, row: str, content: str) -> None:
    record = tmp_path / "lib/python3.11/site-packages/a-1.dist-info/RECORD"
    record.parent.mkdir(parents=True)
    (tmp_path / "conda-meta").mkdir()
    record.write_text(f"{row}\n", "utf-8")
    (wheel,) = installed.read(tmp_path).wheels
    assert wheel.sha256("lib/python3.11/site-packages/a.py")[:16] == content


def test_the_list_of_files_says_what_is_in_the_archive() -> None:
    members = [
        ("conda/a", Entry("a/b", "file", 3, "", False, sha256="0123456789abcdef" * 4)),
        ("conda/a", Entry("a", "directory", 0, "", False)),
        ("", Entry("a/a", "link", 0, "b", False)),
    ]
    assert file_list.list_files(members) == (
        File("a/a", 0, "-> b", ""),
        File("a/b", 3, "0123456789abcdef", "conda/a"),
    )


def test_of_two_packages_of_one_name_none_is_lost() -> None:
    conda = PackedPackage(name="graphviz", version="9", source="conda", sha256="1", url="")
    pypi = replace(conda, version="0.20", source="pypi", sha256="2")
    assert not compare([conda, pypi], [conda, pypi])
    assert compare([conda, pypi], [conda]).removed == (pypi,)
    assert compare([conda], [pypi]).changed == ((conda, pypi),)


def hostile() -> list[Any]:
    return ["a|b", "`code`", "<script>", "a\nb", "*bold*"]


@pytest.mark.parametrize("words", hostile())
def test_hostile_words_stay_text_in_a_table(words: str) -> None:
    shown = text(words)
    assert "\n" not in shown
    assert "<script>" not in shown
    assert all(before == "\\" for before, pipe in pairwise(shown) if pipe in "|*`")
    assert "`" not in code(words)[1:-1]


def test_what_only_a_build_knows_is_not_shown_as_removed(two: tuple[Desk, str, str]) -> None:
    desk, _, other = two
    desk.write("f.yml", "name: e", "dependencies: [python, greeter=1.0]")
    told = desk.run("diff", other, "f.yml")
    assert told.code == 0, told.err
    assert "  ? format: not known before it is built" in told.out
    assert "- format" not in told.out
    value = check(desk.run("diff", other, "f.yml", "--output", "json").json(), "diff")
    assert "format" in value["unknown"]
    assert all(fact["name"] != "format" for fact in value["facts"])
    assert "not known before it is built" in desk.run("diff", other, "f.yml", "--output", "markdown").out
