"""Each small real package that other conda tools test with is packed, or refused for the right reason."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from envpack import digest
from envpack.archive.packing import pack
from envpack.config.target import Target
from envpack.errors import PackingFailed
from envpack.files.cache import Cache
from envpack.lock.lock import CondaPackage, Lock
from envpack.prefix.clobber import settle
from envpack.prefix.link import Login, link_conda
from envpack.requirements.names import CondaName
from tests.support.packages import write_conda

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SAMPLES = Path(__file__).resolve().parent.parent.parent / "shared" / "conda-forge" / "packages"

NO_LIST = "has a list of files that cannot be read: it has neither info/paths.json nor info/files"

REFUSED = {
    "rattler/dotslash-test-1.0.0-0.conda": NO_LIST,
    "rattler/info-only-1.0.0-0.conda": NO_LIST,
    "rattler/symlink-test-1.0.0-0.conda": NO_LIST,
    "rattler/zip64-test-1.0.0-0.conda": NO_LIST,
}
"""Those that must not be linked, with the reason; all others must be."""

IN_PLACE_OF_PYTHON = {
    "rattler/clobber-pypy-0.1.0-h4616a5c_0.conda",
    "rattler/clobber-python-0.1.0-cpython.conda",
}
"""Those that bring another `bin/python` than the environment's."""

NO_INDEX = {"rattler/ca-certificates-2024.7.4-hbcca054_0.conda"}
"""Those without an `info/index.json`: no channel can list them, and no tool installs them."""

WITH_SCRIPTS = {
    "conda/failing_post_link-1.0-0.conda",
    "conda/post_link-c-1.0-0.conda",
    "conda/post_link-d-1.0-0.conda",
    "conda/post_link-e-1.0-0.conda",
    "conda/post_link_run_in_env_package-1.0-0.conda",
    "pixi/post-link-script-package-0.1.0-hb0f4dca_0.conda",
    "rattler/link-scripts-0.1.0-h4616a5c_0.conda",
}
"""Those whose post-link script is not run, which is said."""


def names() -> list[str]:
    found = sorted(path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*-*-*.*") if path.is_file())
    return found or ["none"]


def index_of(path: Path) -> dict[str, Any] | None:
    """Return a package's `info/index.json`; None if it has none."""
    if path.suffix == ".conda":
        with zipfile.ZipFile(path) as package:
            part = next((name for name in package.namelist() if name.startswith("info-")), None)
            data = io.BytesIO(zstd.decompress(package.read(part))) if part else io.BytesIO(bytes(1024))
    else:
        data = io.BytesIO(path.read_bytes())
    with tarfile.open(fileobj=data) as tar:
        for member in tar:
            if member.name.removeprefix("./") == "info/index.json" and (file := tar.extractfile(member)):
                found: dict[str, Any] = json.load(file)
                return found
    return None


@pytest.fixture
def python(tmp_path: Path) -> CondaPackage:
    """The least that is a Python for noarch packages."""
    files = {"bin/python3.11": "#!/bin/sh\n", "lib/python3.11/os.py": ""}
    links = {"bin/python": "python3.11"}
    channel = tmp_path / "channel"
    path = write_conda(channel, "python", "3.11.7", files=files, links=links, executable=["bin/python3.11"])
    return locked(path, {"name": "python", "version": "3.11.7", "build": "0", "subdir": "noarch"})


def locked(path: Path, index: dict[str, Any]) -> CondaPackage:
    noarch = index.get("noarch")
    return CondaPackage(
        name=CondaName(index["name"]),
        version=index["version"],
        build=index["build"],
        build_number=index.get("build_number", 0),
        subdir=index.get("subdir") or "noarch",
        url=path.as_uri(),
        sha256=digest.of_file(path),
        size=path.stat().st_size,
        noarch="python" if noarch == "python" else "generic" if noarch else None,
    )


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/conda-forge/packages is not there")
@pytest.mark.parametrize("name", names())
def test_a_sample_package_is_packed_or_refused_for_its_reason(
    name: str, tmp_path: Path, python: CondaPackage
) -> None:
    index = index_of(SAMPLES / name)
    assert (index is None) == (name in NO_INDEX)
    if index is None:
        return
    place = tmp_path / "channel" / (index.get("subdir") or "noarch") / Path(name).name
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SAMPLES / name, place)
    package = locked(place, index)
    packages = [package] if package.name == "python" else [package, python]
    prefix = tmp_path / "prefix"
    prefix.mkdir()
    cache = Cache(tmp_path / "cache")
    if name in REFUSED:
        with pytest.raises(PackingFailed) as caught:
            link_conda(packages, prefix, platform="linux-64", login=Login(), cache=cache)
        assert REFUSED[name] in caught.value.message
        return
    warnings = link_conda(packages, prefix, platform="linux-64", login=Login(), cache=cache)
    assert any("post-link script, which was not run" in text for text in warnings) == (name in WITH_SCRIPTS)
    lock = Lock(target=Target(), channels=(), packages=tuple(packages))
    if name in IN_PLACE_OF_PYTHON:
        with pytest.raises(PackingFailed, match=r"both bring bin/python; .*it is part of Python"):
            settle(prefix, lock, stage=Path)
        return
    assert settle(prefix, lock, stage=Path).warnings == ()
    one, two = (pack(prefix, tmp_path / f"{n}.tar.gz").sha256 for n in (1, 2))
    assert one == two


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/conda-forge/packages is not there")
def test_sample_packages_that_clobber_one_another_give_the_same_archive_each_time(
    tmp_path: Path, python: CondaPackage
) -> None:
    chosen = [f"rattler/clobber-{n}-0.1.0-h4616a5c_0.tar.bz2" for n in (1, 2, 3)]
    chosen += [f"rattler/clobber-pynoarch-{n}-0.1.0-pyh4616a5c_0.tar.bz2" for n in (1, 2)]
    packages = [python, *(locked(SAMPLES / name, index_of(SAMPLES / name) or {}) for name in chosen)]
    digests, said = set(), set()
    for turn in range(4):
        prefix = tmp_path / f"prefix{turn}"
        prefix.mkdir()
        order = packages[turn:] + packages[:turn]
        link_conda(order, prefix, platform="linux-64", login=Login(), cache=Cache(tmp_path / "cache"))
        settled = settle(prefix, Lock(target=Target(), channels=(), packages=tuple(packages)), stage=Path)
        said.add(settled.warnings)
        digests.add(pack(prefix, tmp_path / f"{turn}.tar.gz", settled=settled.paths).sha256)
    assert len(digests) == len(said) == 1
    assert "clobber-1 0.1.0 and clobber-2 0.1.0 both bring" in "\n".join(*said)
