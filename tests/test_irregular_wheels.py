"""What an installed wheel left is what its RECORD says, and what it did to others is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from envpack.errors import BrokenPackage
from envpack.files.installed import read
from envpack.prefix.irregular import check
from tests.support.wheels import record_line

SITE = "lib/python3.11/site-packages"


def install(prefix: Path, name: str, files: dict[str, str], *, record: str = "", headers: str = "") -> None:
    """Lay out a wheel as an installer does; `record` are further lines of its RECORD."""
    info = f"{name}-1.0.dist-info"
    contents = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{headers}\n"}
    lines = "".join(record_line(path, text) for path, text in contents.items())
    for path, text in {**contents, f"{info}/RECORD": lines + record, f"{info}/INSTALLER": "uv"}.items():
        (prefix / SITE / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / SITE / path).write_text(text)


def looked_at(prefix: Path, *unchecked: str) -> tuple[str, ...]:
    return check(read(prefix), unchecked=unchecked, settled=(), python="3.11.7")


def test_a_sound_wheel_is_no_news(tmp_path: Path) -> None:
    install(tmp_path, "a", {"a/__init__.py": "", "a/b.py": ""}, headers="Requires-Python: >=3.8")
    assert looked_at(tmp_path, "a") == ()


def test_a_changed_file_is_found(tmp_path: Path) -> None:
    install(tmp_path, "a", {"a.py": "1"})
    (tmp_path / SITE / "a.py").write_text("2")
    with pytest.raises(
        BrokenPackage, match=r"the wheel a 1\.0 has files that are not what its RECORD says: .*a\.py"
    ):
        looked_at(tmp_path, "a")
    assert looked_at(tmp_path) == ()


def test_a_listed_file_that_is_not_there_is_found(tmp_path: Path) -> None:
    install(tmp_path, "a", {"a.py": "1"}, record="../../../evil.py,sha256=AAAA,3\nghost.py,sha256=AAAA,3\n")
    with pytest.raises(BrokenPackage, match="lacks files that its RECORD lists"):
        looked_at(tmp_path, "a")


def test_a_file_that_is_not_listed_is_found(tmp_path: Path) -> None:
    install(tmp_path, "a", {"a.py": "1"})
    (tmp_path / SITE / "more.py").write_text("")
    with pytest.raises(BrokenPackage, match=r"does not list: .*more\.py"):
        looked_at(tmp_path, "a")


def test_a_wheel_for_other_pythons_is_found(tmp_path: Path) -> None:
    install(tmp_path, "a", {"a.py": "1"}, headers="Requires-Python: <3")
    with pytest.raises(BrokenPackage, match=r"is for Python <3, and the target has 3\.11\.7"):
        looked_at(tmp_path, "a")


def test_a_record_among_condas_is_found(tmp_path: Path) -> None:
    install(tmp_path, "a", {"a.py": "1", "../../../conda-meta/note.txt": "{}"})
    with pytest.raises(BrokenPackage, match="would write among conda's records"):
        looked_at(tmp_path, "a")


def test_modules_inside_anothers_package_are_said(tmp_path: Path) -> None:
    install(tmp_path, "requests", {"requests/__init__.py": "import os\n"})
    install(tmp_path, "evil", {"evil.py": "", "requests/evil.py": ""})
    assert looked_at(tmp_path) == (f"evil 1.0 puts modules into a package of requests: {SITE}/requests/evil.py",)


@pytest.mark.parametrize("init", ["", "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"])
def test_modules_inside_a_namespace_are_no_news(init: str, tmp_path: Path) -> None:
    install(tmp_path, "one", {"space/__init__.py": init, "space/one.py": ""})
    install(tmp_path, "two", {"space/two.py": ""})
    assert looked_at(tmp_path) == ()


def test_names_that_differ_by_case_only_are_said(tmp_path: Path) -> None:
    install(tmp_path, "a", {"Tool.py": "", "tool.py": ""})
    assert looked_at(tmp_path) == (
        f"files of wheels whose names differ by case only: {SITE}/Tool.py, {SITE}/tool.py",
    )
