"""YARN's own unpacker, out of PyPI's Sparks, on the archives that envpack packs."""

from __future__ import annotations

import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from envpack.archive import pack
from envpack.manifest import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from envpack.manifest import Format
    from tests.support.yarn import Localizer

pytestmark = pytest.mark.acceptance

SPARKS = ["3.5.6", "4.0.2"]

LONG = "a" * 200
MANY = 1500


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small prefix with what unpackers get wrong."""
    prefix = tmp_path_factory.mktemp("fsdownload") / "prefix"
    files = {
        "conda-meta/history": "",
        "bin/tool": "#!/bin/sh\necho tool\n",
        "share/with blanks/naïve.txt": "text",
        f"share/{LONG}/{LONG}/{LONG}.txt": "far down",
        **{f"lib/many/module_{number}.py": f"{number}\n" for number in range(MANY)},
    }
    for name, text in files.items():
        path = prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (prefix / "bin/tool").chmod(0o755)
    (prefix / "bin/alias").symlink_to("tool")
    (prefix / "lib64").symlink_to("lib")
    (prefix / "share/far").symlink_to(f"{LONG}/{LONG}/{LONG}.txt")
    return prefix


def packed(prefix: Path, archive_format: Format, localizer: Localizer) -> Path:
    archive = localizer.directory / f"an-archive.{archive_format}"
    pack(prefix, archive, format=archive_format)
    return archive


def texts(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*") if path.is_file()}


@pytest.mark.parametrize("archive_format", FORMATS)
@pytest.mark.parametrize("version", SPARKS)
def test_every_file_is_there_for_all_to_read_and_run(
    version: str, archive_format: Format, prefix: Path, localizer_of: Callable[[str], Localizer]
) -> None:
    localizer = localizer_of(version)
    tree = localizer.unpack(packed(prefix, archive_format, localizer), "PUBLIC")
    assert texts(prefix).items() <= texts(tree).items()
    assert texts(tree / "lib64") == texts(prefix / "lib")
    for path in (path for path in [tree, *tree.rglob("*")] if not path.is_symlink()):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o555), path


@pytest.mark.parametrize("version", SPARKS)
def test_the_user_alone_may_read_what_only_they_may_read_where_it_came_from(
    version: str, prefix: Path, localizer_of: Callable[[str], Localizer]
) -> None:
    localizer = localizer_of(version)
    small = localizer.directory / "prefix"
    shutil.copytree(prefix, small, symlinks=True, ignore=shutil.ignore_patterns("many"))
    tree = localizer.unpack(packed(small, "tar.gz", localizer), "PRIVATE")
    for path in (path for path in [tree, *tree.rglob("*")] if not path.is_symlink()):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o500), path


@pytest.mark.parametrize("archive_format", FORMATS)
def test_a_tar_keeps_links_and_a_zip_has_copies(
    archive_format: Format, prefix: Path, localizer_of: Callable[[str], Localizer]
) -> None:
    localizer = localizer_of(SPARKS[0])
    tree = localizer.unpack(packed(prefix, archive_format, localizer), "PUBLIC")
    links = {str(path.relative_to(tree)): str(path.readlink()) for path in tree.rglob("*") if path.is_symlink()}
    kept = {"bin/alias": "tool", "lib64": "lib", "share/far": f"{LONG}/{LONG}/{LONG}.txt"}
    assert links == (kept if archive_format == "tar.gz" else {})
    assert (tree / "bin/alias").read_text() == (prefix / "bin/tool").read_text()
    assert (tree / "share/far").read_text() == "far down"


@pytest.mark.parametrize("name", ["env.tar.bz2", "env.tar.zst", "env"])
def test_a_name_without_a_suffix_that_yarn_knows_is_left_packed(
    name: str, localizer_of: Callable[[str], Localizer]
) -> None:
    localizer = localizer_of(SPARKS[0])
    archive = localizer.directory / name
    archive.write_bytes(b"packed")
    assert localizer.unpack(archive, "PUBLIC").read_bytes() == b"packed"


def test_an_archive_that_stops_in_the_middle_is_refused(
    prefix: Path, localizer_of: Callable[[str], Localizer]
) -> None:
    localizer = localizer_of(SPARKS[0])
    archive = packed(prefix, "tar.gz", localizer)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"failed: .*(tar|gzip)"):
        localizer.unpack(archive, "PUBLIC")
