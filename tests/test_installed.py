"""Versions of installed packages: those that importlib.metadata gives, found without it."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from envpack.tools.versions import versions


def test_the_versions_are_those_of_the_packages_metadata() -> None:
    names = ["conda-pack", "uv", "py-rattler", "Py_Rattler", "click", "zlib-ng"]
    assert versions(*names) == [metadata.version(name) for name in names]


def test_of_two_installed_versions_the_one_that_is_imported_first_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, version in (("first", "2.0.post1"), ("second", "1.0")):
        info = tmp_path / folder / f"some_thing-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: some-thing\nVersion: {version}\n", "utf-8")
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / folder)])
    assert versions("some.thing") == ["2.0.post1"] == [metadata.version("some-thing")]


def test_a_package_with_another_kind_of_metadata_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "older-3.1-py3.11.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: older\nVersion: 3.1\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert versions("older") == ["3.1"]


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(metadata.PackageNotFoundError, match="no-such-package"):
        versions("uv", "no-such-package")


def test_the_command_line_does_not_import_the_metadata_library() -> None:
    code = "import sys, envpack.archive, envpack.build.pack_prefix; print('importlib.metadata' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
