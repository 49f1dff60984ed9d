"""YARN's own unpacker, out of PyPI's Sparks, on the archives that envpack packs."""

from __future__ import annotations

import random
import stat
from typing import TYPE_CHECKING

import pytest

from envpack.archive.formats import FORMATS
from envpack.archive.packing import pack
from tests.support.job import SPARK_3, SPARK_4

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from envpack.archive.formats import FormatName
    from tests.support.yarn import Localizer

pytestmark = pytest.mark.acceptance

SPARKS = [SPARK_3, SPARK_4]

LONG = "a" * 200
MANY = 300
LARGE = 1_000_000


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


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix of a large file that cannot be compressed, and little else."""
    prefix = tmp_path_factory.mktemp("fsdownload") / "small"
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta/history").touch()
    (prefix / "noise").write_bytes(random.Random(0).randbytes(LARGE))
    return prefix


def packed(prefix: Path, archive_format: FormatName, localizer: Localizer) -> Path:
    archive = localizer.directory / f"{prefix.name}.{archive_format}"
    pack(prefix, archive, format=archive_format)
    return archive


@pytest.fixture(scope="module", params=SPARKS)
def localizer(request: pytest.FixtureRequest, localizer_of: Callable[[str], Localizer]) -> Localizer:
    return localizer_of(request.param)


@pytest.fixture(scope="module", params=FORMATS)
def archive_format(request: pytest.FixtureRequest) -> FormatName:
    archive_format: FormatName = request.param
    return archive_format


@pytest.fixture(scope="module")
def shared(prefix: Path, archive_format: FormatName, localizer: Localizer) -> Path:
    """The prefix as a node unpacks it for all its users."""
    return localizer.unpack(packed(prefix, archive_format, localizer), "PUBLIC")


def texts(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*") if path.is_file()}


def permissions(tree: Path) -> set[tuple[str, int]]:
    """Return which kinds of things have which permissions."""
    paths = [path for path in [tree, *tree.rglob("*")] if not path.is_symlink()]
    return {("directory" if path.is_dir() else "file", stat.S_IMODE(path.stat().st_mode)) for path in paths}


def test_every_file_is_there(prefix: Path, shared: Path) -> None:
    assert texts(prefix).items() <= texts(shared).items()
    assert texts(shared / "lib64") == texts(prefix / "lib")


def test_all_may_read_and_run_what_is_public(shared: Path) -> None:
    assert permissions(shared) == {("directory", 0o755), ("file", 0o555)}


def test_the_user_alone_may_read_and_run_what_is_private(
    small: Path, archive_format: FormatName, localizer: Localizer
) -> None:
    tree = localizer.unpack(packed(small, archive_format, localizer), "PRIVATE")
    assert permissions(tree) == {("directory", 0o700), ("file", 0o500)}


def test_a_tar_keeps_links_and_a_zip_has_copies(shared: Path, archive_format: FormatName) -> None:
    links = {str(path.relative_to(shared)): str(path.readlink()) for path in shared.rglob("*") if path.is_symlink()}
    kept = {"bin/alias": "tool", "lib64": "lib", "share/far": f"{LONG}/{LONG}/{LONG}.txt"}
    assert links == (kept if FORMATS[archive_format].links else {})
    assert (shared / "bin/alias").read_text() == (shared / "bin/tool").read_text()
    assert (shared / "share/far").read_text() == "far down"


@pytest.mark.parametrize("name", ["env.tar.bz2", "env.tar.zst", "env"])
def test_an_archive_without_a_suffix_that_yarn_knows_stays_packed(name: str, localizer: Localizer) -> None:
    archive = localizer.directory / name
    archive.write_bytes(b"packed")
    assert localizer.unpack(archive, "PUBLIC").read_bytes() == b"packed"


def test_an_archive_that_ends_inside_a_file_is_refused(
    small: Path, archive_format: FormatName, localizer: Localizer
) -> None:
    archive = packed(small, archive_format, localizer)
    archive.write_bytes(archive.read_bytes()[: -LARGE // 2])
    with pytest.raises(ValueError, match="unpack failed"):
        localizer.unpack(archive, "PUBLIC")
