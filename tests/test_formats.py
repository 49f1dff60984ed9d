"""Locks of other tools and explicit lists are taken as they are; what looks like one is recognised."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rattler import LockFile

from envpack import digest
from envpack.config.target import Target
from envpack.errors import BadRequirements, Unreachable, Unsatisfiable
from envpack.files.cache import Cache
from envpack.lock.file import dump
from envpack.lock.lock import Lock
from envpack.requirements import Requirements, read
from envpack.resolve.request import Request
from envpack.resolve.solve import resolve
from tests.support.replica.records import sample
from tests.support.small_channel import PYTHONS, write_channel

TAKEN = (
    "conda-lock-conda-1.yml",
    "conda-lock-conda-2.yml",
    "pixi5-conda-1.lock",
    "pixi5-conda-2.lock",
    "pixi5-pypi-2.lock",
    "pixi6-conda-1.lock",
    "pixi6-conda-2.lock",
    "pixi6-pypi-1.lock",
    "pixi7-pypi-1.lock",
)

# What is built from its source on linux-64, and what has nothing in pixi's environment `default`.
REFUSED = {
    "pixi5-pypi-1.lock": "'./package_with_extras' is not a wheel",
    "pixi6-pypi-2.lock": "'.' is not a package file",
    "pixi7-conda-1.lock": "'sdl_example[10db969c] @ .' would be built from source",
    "pixi7-conda-2.lock": "choose one with --environment: all, py, rust",
}


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    return write_channel(
        tmp_path / "channel", {"six 1.2": ["python"], "under_score 1": [], "top 1": ["six", "python"]}
    )


def locked(file: Path | str, target: Target | None = None, environment: str | None = None) -> Lock:
    asked = read(Path(file), environment=environment)
    request = Request(requirements=asked, target=target or Target(), channels=asked.channels or ("conda-forge",))
    cache = Cache(Path("cache").absolute())
    with cache.scratch() as scratch:
        return resolve(request, cache=cache, scratch=scratch).lock


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text, "utf-8")
    return path


def problems(file: Path | str, environment: str | None = None) -> str:
    with pytest.raises(BadRequirements) as caught:
        read(Path(file), environment=environment)
    return str(caught.value)


@pytest.mark.parametrize("name", TAKEN)
def test_a_real_lock_is_taken_as_it_is_without_a_question(name: str) -> None:
    file = sample() / "locks" / name
    lock = locked(file)
    assert lock.python
    assert len(lock.packages) >= 18
    if file.suffix != ".lock":  # rattler reads no conda-lock file of today
        return
    environment = LockFile.from_path(file).default_environment()
    assert environment
    theirs = {
        str(package.location)
        for platform, packages in environment.packages_by_platform().items()
        for package in packages
        if platform.name == "linux-64"
    }
    assert {*(package.url for package in lock.packages), *(wheel.url for wheel in lock.wheels)} == theirs
    for record in environment.conda_repodata_records()["linux-64"]:
        ours = next(package for package in lock.packages if package.name == record.name.normalized)
        assert (ours.version, ours.build, ours.build_number, ours.subdir, set(ours.depends)) == (
            str(record.version),
            str(record.build),
            record.build_number,
            record.subdir,
            set(record.depends),
        )
        assert record.sha256
        assert ours.sha256 == record.sha256.hex()


def test_every_lock_of_the_sample_is_in_a_table() -> None:
    there = {path.name for path in (sample() / "locks").iterdir() if path.suffix != ".tsv"}
    assert there == {*TAKEN, *REFUSED}


@pytest.mark.parametrize("name", REFUSED)
def test_a_real_lock_of_sources_is_refused_for_its_platform_alone(name: str) -> None:
    with pytest.raises(BadRequirements) as caught:
        locked(sample() / "locks" / name)
    assert REFUSED[name] in str(caught.value)


def test_our_own_lock_of_a_foreign_one_is_read_by_rattler_too() -> None:
    lock = locked(sample() / "locks" / "pixi7-pypi-1.lock")
    environment = LockFile.from_path(write("own.lock", dump(lock))).default_environment()
    assert environment
    (packages,) = environment.packages_by_platform().values()
    ours = {*(package.name for package in lock.packages), *(wheel.name for wheel in lock.wheels)}
    assert {package.name for package in packages} == ours


def explicit(channel: Path, *names: str, digests: str = "sha256") -> str:
    lines = ["# This file may be used to create an environment using:", "# platform: linux-64", "@EXPLICIT"]
    for name in names:
        (path,) = (channel / "noarch").glob(f"{name}-*.conda")
        sha256 = digest.of_file(path)
        behind = {"sha256": f"#{sha256}", "prefixed": f"#sha256:{sha256}", "none": ""}[digests]
        lines.append(f"{path.as_uri()}{behind}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("digests", ["sha256", "prefixed", "none"])
def test_an_explicit_list_is_taken_as_it_is(channel: Path, digests: str) -> None:
    text = explicit(channel, f"python-{PYTHONS[0]}", "six", "top", "under_score", digests=digests)
    lock = locked(write("list.txt", text))
    assert [(package.name, package.version) for package in lock.packages] == [
        ("python", PYTHONS[0]),
        ("six", "1.2"),
        ("top", "1"),
        ("under_score", "1"),
    ]
    assert lock.packages[2].depends == ("six", "python")
    assert lock.requested == ("top",)


def test_an_explicit_list_needs_no_index_where_it_has_the_digests(channel: Path) -> None:
    text = explicit(channel, f"python-{PYTHONS[0]}", "six")
    for name in ("noarch", "linux-64"):
        shutil.rmtree(channel / name / "repodata.json", ignore_errors=True)
        for index in (channel / name).glob("repodata*"):
            index.unlink()
    assert [package.name for package in locked(write("list.txt", text)).packages] == ["python", "six"]


def test_a_digest_that_nobody_knows_is_asked_for() -> None:
    text = "@EXPLICIT\nhttp://127.0.0.1:9/c/linux-64/python-3.12.1-0.conda#d7c89558ba9fa0495403155b64376d81\n"
    with pytest.raises(Unreachable):
        locked(write("list.txt", text))


def test_a_file_that_its_channel_has_with_another_digest_is_refused(channel: Path) -> None:
    text = (
        explicit(channel, f"python-{PYTHONS[0]}") + f"{(channel / 'noarch/six-1.2-0.conda').as_uri()}#{'0' * 32}\n"
    )
    with pytest.raises(Unsatisfiable, match=r"list\.txt:5: its channel has another file with this name"):
        locked(write("list.txt", text))


def test_wheels_that_conda_lock_writes_into_an_explicit_list_are_taken(channel: Path) -> None:
    url = "https://example.com/packages/idna-3.10-py3-none-any.whl"
    text = explicit(channel, f"python-{PYTHONS[0]}") + f"# pip idna @ {url} --hash=sha256:{'1' * 64}\n"
    (wheel,) = locked(write("list.txt", text)).wheels
    assert (wheel.name, wheel.version, wheel.url, wheel.sha256) == ("idna", "3.10", url, "1" * 64)


def test_every_problem_of_an_explicit_list_has_its_line() -> None:
    text = "@EXPLICIT\nnumpy=1.26\nhttps://example.com/c/linux-64/a-1-0.conda#zz\nhttps://example.com/c/linux-64/a.conda\n"
    told = problems(write("list.txt", text))
    assert "list.txt:2: 'numpy=1.26' is not a package file" in told
    assert "list.txt:3: 'zz' is not an MD5 or a SHA-256 hash" in told
    assert "list.txt:4: 'a.conda' is not the file name of a conda package" in told


def test_a_list_without_python_or_for_another_platform_is_refused(channel: Path) -> None:
    with pytest.raises(BadRequirements, match="the explicit list has no Python"):
        locked(write("list.txt", explicit(channel, "six")))
    text = f"@EXPLICIT\nhttps://example.com/c/osx-64/a-1-0.conda#{'0' * 64}\n"
    with pytest.raises(BadRequirements, match="packages for osx-64, not for linux-64"):
        locked(write("list.txt", text))


def test_what_the_nodes_lack_is_said_of_a_lock_too() -> None:
    text = f"""\
version: 6
environments:
  default:
    channels: []
    packages:
      linux-64:
      - conda: https://example.com/c/linux-64/python-3.12.1-0.conda
packages:
- conda: https://example.com/c/linux-64/python-3.12.1-0.conda
  sha256: {"0" * 64}
  depends: [__glibc >=2.34, '__unix']
"""
    with pytest.raises(Unsatisfiable, match=r"python needs __glibc >=2\.34, which the nodes do not have"):
        locked(write("pixi.lock", text), Target(glibc="2.28"))
    assert locked("pixi.lock", Target(glibc="2.36")).python == "3.12.1"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt.lock", "version: 6\nenvironments: {}\nenvpack: {}\n", "is a lock that envpack wrote; give a.txt"),
        ("pixi.lock", "version: 4\nenvironments: {}\n", "is pixi's lock format 4; envpack reads 5, 6 and 7"),
        ("conda-lock.yml", "metadata: {}\npackage: []\nversion: 2\n", "a conda-lock file of version 2"),
        ("poetry.lock", "[metadata]\nlock-version = '2.0'\n", "is Poetry's lock format 2.0; envpack reads 2.1"),
    ],
)
def test_a_lock_that_cannot_be_built_is_recognised(name: str, text: str, told: str) -> None:
    assert told in problems(write(name, text))


def test_one_of_several_environments_is_chosen() -> None:
    def environment(name: str, version: str) -> str:
        packages = f"- conda: https://example.com/c/linux-64/python-{version}-0.conda"
        return f"  {name}:\n    channels: []\n    packages:\n      linux-64:\n      {packages}\n"

    known = "".join(
        f"- conda: https://example.com/c/linux-64/python-{version}-0.conda\n  sha256: {'0' * 64}\n"
        for version in ("3.11.1", "3.12.1")
    )
    both = environment("default", "3.11.1") + environment("new", "3.12.1")
    file = write("pixi.lock", f"version: 7\nenvironments:\n{both}packages:\n{known}")
    assert (locked(file).python, locked(file, environment="new").python) == ("3.11.1", "3.12.1")
    assert read(file).warnings == ("pixi.lock: the environment 'default' is taken; --environment takes new",)
    assert "--environment: default, new" in problems(file, "old")
    assert (
        read(write("env.txt", "six"), environment="new").warnings[0].startswith("env.txt: --environment new has no")
    )


@pytest.mark.parametrize("include", ["-r", "-c"])
def test_a_lock_that_is_included_is_recognised(include: str) -> None:
    write("list.txt", "@EXPLICIT\nhttps://example.com/c/noarch/a-1-0.conda\n")
    write("pixi.lock", "version: 6\nenvironments: {}\n")
    for name in ("list.txt", "pixi.lock"):
        assert "include only files of requirement lines" in problems(write("env.txt", f"{include} {name}\n"))


def test_what_conda_env_export_writes_is_read() -> None:
    text = """\
name: base
channels:
  - conda-forge
  - defaults
dependencies:
  - _libgcc_mutex=0.1=conda_forge
  - ld_impl_linux-64=2.40=hf3520f5_1
  - ruamel.yaml=0.17=py311h459d7ec_1
  - numpy=1.26.4=py311h64a7726_0
  - pip:
      - idna==3.10
prefix: /opt/conda
"""
    asked = read(write("environment.yml", text))
    assert [str(each.spec) for each in asked.conda][2:] == [
        'ruamel.yaml[version="==0.17", build="py311h459d7ec_1"]',
        'numpy[version="==1.26.4", build="py311h64a7726_0"]',
    ]
    assert (asked.channels, asked.warnings) == (("conda-forge", "defaults"), ())


def test_what_conda_list_export_writes_is_read() -> None:
    text = """\
# This file may be used to create an environment using:
# $ conda create --name <env> --file <this file>
# platform: linux-64
_libgcc_mutex=0.1=conda_forge
idna=3.10=pypi_0
"""
    asked: Requirements = read(write("list.txt", text))
    assert [str(each.spec) for each in asked.conda] == ['_libgcc_mutex[version="==0.1", build="conda_forge"]']
    assert [line.text for line in asked.pypi] == ["idna==3.10"]


def test_keys_that_conda_passes_over_are_a_warning() -> None:
    asked = read(
        write("env.yml", "platforms: [linux-64]\ncategory: dev\nx-own: 1\nprefix: /x\ndependencies: [six]\n")
    )
    assert asked.warnings == (
        "env.yml:1: the key 'platforms' has no effect, as in conda",
        "env.yml:2: the key 'category' has no effect, as in conda",
        "env.yml:3: the key 'x-own' has no effect, as in conda",
    )
