"""From a prefix to one archive: the same bytes everywhere, and an environment that works where it is unpacked."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import warnings
import zipfile
import zlib
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import conda_pack
import pytest
from uv import find_uv_bin

from envpack import digest
from envpack.archive import guard
from envpack.archive.bytecode import compile_prefix
from envpack.archive.deflate import BLOCK, Block, blocks, deflated, member, part_of_stream
from envpack.archive.formats import FORMATS
from envpack.archive.members import CHUNK
from envpack.archive.packing import pack
from envpack.archive.prefixes import contains
from envpack.archive.scripts import relocatable
from envpack.errors import PackingFailed
from envpack.progress import Progress, Step
from tests.support.archives import first_difference, members, peak_memory
from tests.support.chosen import quickly
from tests.support.missing import missing
from tests.support.wheels import write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from envpack.archive.formats import FormatName
    from tests.support.channel import Channel

SITE_PACKAGES = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"

PACKAGES = ("python", "greeter", "placed", "linked", "activated", "clobber-a", "clobber-b")


class Listener(Progress):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def install_wheels(prefix: Path, folder: Path, *names: str) -> None:
    command: list[str | Path] = [
        find_uv_bin(),
        "pip",
        "install",
        "--offline",
        "--no-index",
        "--no-config",
        "--quiet",
    ]
    where: list[str | Path] = ["--find-links", folder, "--cache-dir", folder / "cache", "--prefix", prefix]
    subprocess.run([*command, *where, "--python", prefix / "bin/python", *names], check=True)


def make_environment(channel: Channel, prefix: Path, wheels: Path, *, cache: Path | None = None) -> Path:
    channel.link(prefix, *PACKAGES, cache=cache)
    write_wheel(wheels, "spoken", "1.0", scripts={"speak": "spoken:main"}, files={"spoken.py": SPOKEN})
    install_wheels(prefix, wheels, "spoken")
    compile_prefix(prefix, python=prefix / "bin/python")
    return prefix


SPOKEN = "import sys\ndef main():\n    print('spoken by', sys.prefix, *sys.argv[1:])\n"


@dataclass(frozen=True)
class Packed:
    """One environment, with its package cache, and its archives."""

    prefix: Path
    targz: Path
    zip: Path


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, channel: Channel) -> Packed:
    home = tmp_path_factory.mktemp("environment")
    (home / "wheels").mkdir()
    prefix = make_environment(channel, home / "prefix", home / "wheels", cache=home / "cache")
    made = Packed(prefix, home / "environment.tar.gz", home / "environment.zip")
    pack(prefix, made.targz)
    pack(prefix, made.zip, format="zip")
    return made


@pytest.fixture(scope="session")
def packed(environment: Packed) -> dict[str, tuple[str, bytes]]:
    """The members of the environment's archive."""
    return members(environment.targz)


@pytest.fixture(scope="session")
def unpacked(environment: Packed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment as a node unpacks it, in a directory whose name has a blank."""
    directory = tmp_path_factory.mktemp("a node") / "environment"
    directory.mkdir()
    subprocess.run(["tar", "-xzf", environment.targz, "-C", directory], check=True)
    return directory


@pytest.fixture
def small(tmp_path: Path, channel: Channel) -> Path:
    """A prefix without Python, with files that no package brought: quick to make and to pack."""
    prefix = tmp_path / "small"
    channel.link(prefix, "linked", "activated", cache=tmp_path / "cache")
    (prefix / "bin").mkdir(exist_ok=True)
    script(prefix / "bin/tool", f"#!{prefix}/bin/python\nprint('tool')\n")
    (prefix / "share/home.txt").write_text(f"home={prefix}/share\n")
    (prefix / "share/empty").mkdir()
    (prefix / "share/noise.bin").write_bytes(rng(7).randbytes(2 * BLOCK + 5) + bytes(BLOCK))
    return prefix


def rng(seed: int) -> random.Random:
    return random.Random(seed)


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def content(archive: Path, path: str) -> bytes:
    return members(archive)[path][1]


def unpack(archive: Path, directory: Path) -> Path:
    directory.mkdir()
    if archive.suffix == ".zip" and not shutil.which("unzip"):
        missing("there is no unzip on PATH")
    tool = ["unzip", "-q"] if archive.suffix == ".zip" else ["tar", "-xf"]
    where = "-d" if archive.suffix == ".zip" else "-C"
    subprocess.run([*tool, archive, where, directory], check=True)
    return directory


# The same bytes


def other_owner(prefix: Path) -> None:
    for path in prefix.rglob("*"):
        with suppress(PermissionError):  # only root may
            os.chown(path, 1234, 5678, follow_symlinks=False)


def private_modes(prefix: Path) -> None:
    for path in prefix.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700)


def other_times(prefix: Path) -> None:
    for number, path in enumerate(prefix.rglob("*")):
        os.utime(path, (number, 86400 * number), follow_symlinks=False)


def copies_instead_of_hard_links(prefix: Path) -> None:
    shutil.copytree(prefix, prefix.with_name("copy"), symlinks=True)
    shutil.rmtree(prefix)
    prefix.with_name("copy").rename(prefix)


def leftovers_of_installers(prefix: Path) -> None:
    (prefix / ".lock").touch()
    (prefix / "conda-meta/history").write_text("==> 2026-01-01 00:00:00 <==\n# cmd: conda create\n")
    (prefix / "conda-meta/pixi").write_text("a path of this machine")


@pytest.mark.parametrize("kind", quickly(FORMATS, "tar.gz", "zip"))
@pytest.mark.parametrize(
    "change",
    [other_owner, private_modes, other_times, copies_instead_of_hard_links, leftovers_of_installers],
)
def test_what_a_prefix_looks_like_on_this_machine_does_not_show(
    small: Path, tmp_path: Path, change: Callable[[Path], None], kind: FormatName
) -> None:
    one, other = tmp_path / f"one.{kind}", tmp_path / f"other.{kind}"
    pack(small, one, format=kind)
    change(small)
    pack(small, other, format=kind)
    assert first_difference(one, other) is None


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("threads", quickly([1, 3, 8], 3))
def test_the_number_of_threads_does_not_show(small: Path, tmp_path: Path, threads: int, kind: FormatName) -> None:
    one, other = tmp_path / f"one.{kind}", tmp_path / f"other.{kind}"
    pack(small, one, format=kind, threads=2)
    pack(small, other, format=kind, threads=threads)
    assert first_difference(one, other) is None


@pytest.mark.parametrize("kind", quickly(FORMATS, "tar.gz"))
@pytest.mark.parametrize(
    "surroundings",
    [{"TZ": "Pacific/Kiritimati"}, {"PYTHONHASHSEED": "4711"}, {"LC_ALL": "C", "LANG": "C"}, {"UMASK": "0o077"}],
    ids=lambda surroundings: next(iter(surroundings)),
)
def test_where_the_process_runs_does_not_show(
    small: Path, tmp_path: Path, surroundings: dict[str, str], kind: FormatName
) -> None:
    one, other = tmp_path / f"one.{kind}", tmp_path / f"other.{kind}"
    pack(small, one, format=kind)
    program = (
        "import os, sys; from pathlib import Path; from envpack.archive.packing import pack\n"
        "os.umask(int(os.environ.get('UMASK', '0o022'), 0))\n"
        "pack(Path(sys.argv[1]), Path(sys.argv[2]), format=sys.argv[3])"
    )
    command: list[str | Path] = [sys.executable, "-c", program, small, other, kind]
    subprocess.run(command, env=os.environ | surroundings, check=True)
    assert first_difference(one, other) is None


def test_the_directory_the_cache_and_the_order_of_installing_do_not_show(
    environment: Packed, channel: Channel, tmp_path: Path
) -> None:
    # Longer than a shebang may be, and with a blank: scripts in it look different. Its package cache is gone.
    prefix = tmp_path / ("l" * max(1, 200 - len(str(tmp_path)))) / "with a blank" / "prefix"
    channel.link(prefix, *reversed(PACKAGES))
    wheels = tmp_path / "other wheels"
    wheels.mkdir()
    write_wheel(wheels, "spoken", "1.0", scripts={"speak": "spoken:main"}, files={"spoken.py": SPOKEN})
    install_wheels(prefix, wheels, "spoken")
    compile_prefix(prefix, python=prefix / "bin/python", workers=3)
    for archive in (environment.targz, environment.zip):
        other = tmp_path / archive.name
        pack(prefix, other, format="zip" if archive.suffix == ".zip" else "tar.gz")
        assert first_difference(archive, other) is None


def test_nothing_of_this_machine_is_in_the_archive(
    environment: Packed, packed: dict[str, tuple[str, bytes]], channel: Channel
) -> None:
    for path, (_, data) in packed.items():
        for secret in (environment.prefix.parent, channel.path, channel.path.parent.parent):
            assert os.fsencode(secret) not in data, path


def test_the_difference_of_two_archives_is_named(small: Path, tmp_path: Path) -> None:
    pack(small, tmp_path / "one.tar.gz")
    (small / "share/empty").rmdir()
    pack(small, tmp_path / "other.tar.gz")
    difference = first_difference(tmp_path / "one.tar.gz", tmp_path / "other.tar.gz")
    assert difference
    assert difference.startswith("share/empty is only in")


# What goes in


def test_it_packs_what_conda_pack_packs(environment: Packed, tmp_path: Path) -> None:
    theirs = tmp_path / "conda-pack.tar"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        conda_pack.pack(prefix=str(environment.prefix), output=str(theirs))
    with tarfile.open(theirs) as tar:
        expected = {info.name for info in tar}
    with tarfile.open(environment.targz) as tar:
        packed = {info.name for info in tar if not info.isdir()}
        times = {info.mtime for info in tar}
    left_out = {path for path in expected - packed if not path.startswith("__clobbers__/")}
    assert left_out == {".lock", "CACHEDIR.TAG", f"{SITE_PACKAGES}/spoken-1.0.dist-info/uv_cache.json"}
    ours = {guard.PYVENV, *(f"{SITE_PACKAGES}/{name}" for name in (f"{guard.MODULE}.py", guard.FIRST, guard.LAST))}
    assert {path for path in packed - expected if not path.endswith(".pyc")} == ours
    assert times == {315532800}


def test_modes_and_owners_are_those_that_any_user_can_work_with(environment: Packed) -> None:
    with tarfile.open(environment.targz) as tar:
        infos = tar.getmembers()
    assert {(info.uid, info.gid, info.uname, info.gname) for info in infos} == {(0, 0, "", "")}
    assert {info.mode for info in infos if info.isfile()} == {0o644, 0o755}
    assert {info.mode for info in infos if info.isdir()} == {0o755}
    names = [info.name for info in infos]
    once = [info.name for info in infos if not info.isdir()]
    assert len(once) == len(set(once))
    assert not set(once) & {info.name for info in infos if info.isdir()}
    seen = {"."}
    for name in names:
        assert str(Path(name).parent) in seen, name
        seen.add(name)
    assert not [name for name in names if name.startswith(("/", "./")) or name == "."]
    folders = {info.name for info in infos if info.isdir()}
    assert {str(Path(name).parent) for name in names} <= folders | {"."}


def test_every_module_has_its_bytecode_and_other_bytecode_stays_behind(small: Path, tmp_path: Path) -> None:
    package = small / SITE_PACKAGES / "shipped"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("x = 1\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", package], check=True)
    pack(small, tmp_path / "stale.tar.gz")
    assert not [path for path in members(tmp_path / "stale.tar.gz") if "__pycache__" in path]
    compile_prefix(small, python=Path(sys.executable), into=tmp_path / "bytecode")
    pack(small, tmp_path / "packed.tar.gz", bytecode=tmp_path / "bytecode")
    pycs = [path for path in members(tmp_path / "packed.tar.gz") if path.endswith(".pyc")]
    assert [Path(path).name.split(".")[0] for path in pycs] == ["__init__"]
    compile_prefix(small, python=Path(sys.executable))
    pack(small, tmp_path / "compiled.tar.gz")
    assert first_difference(tmp_path / "packed.tar.gz", tmp_path / "compiled.tar.gz") is None


def test_one_file_of_two_packages_is_one_member_with_the_content_that_runs(environment: Packed) -> None:
    path = "etc/clobbered.txt"
    with tarfile.open(environment.targz) as tar:
        found = [tar.extractfile(info) for info in tar if info.name == path]
        assert [file.read() for file in found if file] == [(environment.prefix / path).read_bytes()]


def test_an_edited_file_is_packed_as_it_is_in_the_prefix(small: Path, tmp_path: Path) -> None:
    edited = small / "share/activated/data.txt"
    edited.unlink()
    edited.write_text("edited\n")
    pack(small, tmp_path / "out.tar.gz")
    assert content(tmp_path / "out.tar.gz", "share/activated/data.txt") == b"edited\n"


def test_an_archive_tells_its_size_and_digest(small: Path, tmp_path: Path) -> None:
    packed = pack(small, tmp_path / "out.tar.gz")
    assert packed.size == packed.path.stat().st_size
    assert packed.sha256 == digest.of_file(packed.path)
    assert packed.members == len(members(packed.path))
    assert packed.unpacked_size == sum(len(data) for _, data in members(packed.path).values())


# Metadata


def test_a_wheels_record_fits_the_files_in_the_archive(packed: dict[str, tuple[str, bytes]]) -> None:
    record = packed[f"{SITE_PACKAGES}/spoken-1.0.dist-info/RECORD"][1].decode()
    lines = [line.split(",") for line in record.splitlines()]
    assert lines == sorted(lines)
    assert "../../../bin/speak" in [line[0] for line in lines]
    for path, hashed, size in lines:
        data = packed[os.path.normpath(f"{SITE_PACKAGES}/{path}")][1]
        if not path.endswith("RECORD"):
            sha256 = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (hashed, size) == (f"sha256={sha256}", str(len(data)))


def test_where_a_local_wheel_lay_is_not_told(small: Path, tmp_path: Path) -> None:
    info = small / SITE_PACKAGES / "local-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "direct_url.json").write_text('{"url": "file:///home/someone/local-1.0.whl", "archive_info": {}}')
    (info / "uv_cache.json").write_text('{"timestamp": 1}')
    (info / "RECORD").write_text(
        "local-1.0.dist-info/direct_url.json,,\nlocal-1.0.dist-info/uv_cache.json,,\nlocal-1.0.dist-info/RECORD,,\n"
    )
    pack(small, tmp_path / "out.tar.gz")
    archived = {path: data for path, (_, data) in members(tmp_path / "out.tar.gz").items() if "local" in path}
    assert archived == {
        f"{SITE_PACKAGES}/local-1.0.dist-info": b"",
        f"{SITE_PACKAGES}/local-1.0.dist-info/RECORD": b"local-1.0.dist-info/RECORD,,\n",
    }


def test_where_a_remote_wheel_came_from_is_told_without_its_password(small: Path, tmp_path: Path) -> None:
    info = distribution(small, "remote", "1.0", {})
    (info / "direct_url.json").write_text('{"url": "https://me:secret@example.com/remote.whl", "archive_info": {}}')
    pack(small, tmp_path / "out.tar.gz")
    told = json.loads(content(tmp_path / "out.tar.gz", f"{SITE_PACKAGES}/{info.name}/direct_url.json"))
    assert told["url"] == "https://example.com/remote.whl"


def test_configuration_that_no_package_brought_stays_behind(small: Path, tmp_path: Path) -> None:
    for name in (".condarc", "pip.conf", ".netrc", ".env"):
        (small / name).write_text("password: hidden\n")
    (small / "app.conf").write_text("colour: blue\n")
    pack(small, tmp_path / "out.tar.gz")
    with tarfile.open(tmp_path / "out.tar.gz") as archive:
        assert {"app.conf", ".condarc", "pip.conf", ".netrc", ".env"} & set(archive.getnames()) == {"app.conf"}


def test_a_conda_record_names_the_package_and_no_place_on_this_machine(
    packed: dict[str, tuple[str, bytes]],
) -> None:
    (path,) = [path for path in packed if path.startswith("conda-meta/placed-")]
    record = json.loads(packed[path][1])
    assert record["name"] == "placed"
    assert record["url"] == f"file:///{Path(record['url']).parent.name}/{record['fn']}"
    assert record["link"]["source"] == record["extracted_package_dir"] == ""
    assert set(record["files"]) <= packed.keys()
    assert packed["conda-meta/history"][1] == b""


# Scripts


@pytest.mark.parametrize(
    "line",
    [
        "#!/build/prefix/bin/python\n",
        "#! /build/prefix/bin/python3.11\n",
        "#!/usr/bin/env python3\n",
        "#!/bin/sh\n'''exec' /build/prefix/bin/python \"$0\" \"$@\"\n' '''\n",
        "#!/bin/sh\n'''exec' \"/build/prefix/bin/python3.11\" \"$0\" \"$@\" #'''\n",
        "#!/bin/sh\n'''exec' '/build/prefix/bin/python3' \"$0\" \"$@\"\n' '''\n",
    ],
)
def test_every_form_of_python_script_gets_one_relocatable_form(line: str) -> None:
    expected = b'#!/bin/sh\n\'\'\'exec\' "$(dirname -- "$(realpath -- "$0")")/python" "$0" "$@"\n\' \'\'\'\nbody\n'
    assert relocatable(line.encode() + b"body\n", [b"/build/prefix"]) == expected
    assert relocatable(expected, [b"/build/prefix"]) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("#!/build/prefix/bin/perl", "#!/usr/bin/env perl"),
        ("#!/build/prefix/bin/perl -w", "#!/usr/bin/env -S perl -w"),
        ("#!/bin/bash -e", "#!/bin/bash -e"),
        ("#!/usr/bin/python3", "#!/usr/bin/python3"),
        ("#!/usr/bin/env ruby", "#!/usr/bin/env ruby"),
        ("no script", "no script"),
    ],
)
def test_other_scripts_find_their_program_on_the_path(line: str, expected: str) -> None:
    script = relocatable(f"{line}\nbody /build/elsewhere\n".encode(), [b"/build/prefix"])
    assert script.decode() == f"{expected}\nbody /build/elsewhere\n"


def test_a_script_with_code_that_is_no_text_still_finds_its_python(small: Path, tmp_path: Path) -> None:
    archived = b"PK\x05\x06\xff\xfe"
    (small / "bin/app").write_bytes(f"#!{small}/bin/python\n".encode() + archived)
    pack(small, tmp_path / "out.tar.gz")
    app = content(tmp_path / "out.tar.gz", "bin/app")
    assert app.startswith(b"#!/bin/sh\n'''exec' ")
    assert app.endswith(archived)


def test_options_of_the_interpreter_are_kept() -> None:
    assert b'/python" -I "$0" "$@"\n' in relocatable(b"#!/build/prefix/bin/python -I\n", [b"/build/prefix"])


@pytest.mark.parametrize(
    ("name", "said"), [("greet", "hello from greeter"), ("placed", "placed"), ("speak", "spoken by")]
)
def test_scripts_run_from_anywhere_with_the_archives_python(
    unpacked: Path, tmp_path: Path, name: str, said: str
) -> None:
    link = tmp_path / "a link"
    link.symlink_to(unpacked / "bin" / name)
    for program in (unpacked / "bin" / name, link):
        answer = run(program, "an argument")
        assert answer.startswith(said)
        if name == "speak":
            assert answer == f"spoken by {unpacked} an argument\n"


def run(program: Path, *arguments: str) -> str:
    """Run a script as on a node, where only the system's programs are on the path."""
    command: list[str | Path] = [program, *arguments]
    answer: subprocess.CompletedProcess[str] = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_conda_unpack_runs_as_any_user_would_run_it_and_places_the_prefix(
    environment: Packed, tmp_path: Path
) -> None:
    home = unpack(environment.targz, tmp_path / "home")
    run(home / "bin/conda-unpack")
    assert (home / "share/placed/placed.conf").read_text() == f"home={home}/share/placed\n"
    assert f"{home}/share/placed\0".encode() in (home / "share/placed/placed.bin").read_bytes()


def test_only_files_with_a_placeholder_are_rewritten_by_conda_unpack(small: Path, tmp_path: Path) -> None:
    pack(small, tmp_path / "out.tar.gz")
    source = content(tmp_path / "out.tar.gz", "bin/conda-unpack").decode()
    records = source[source.index("_prefix_records") :].partition("]")[0]
    assert "share/home.txt" in records
    assert records.count("('") == 1
    assert str(small) not in source


@pytest.mark.parametrize("start", [0, CHUNK - 20, CHUNK - 1, CHUNK, 2 * CHUNK - 3])
def test_the_prefix_is_found_wherever_it_is_in_a_file(tmp_path: Path, start: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(start) + b"/some/prefix" + bytes(7))
    assert contains(str(path), path.stat().st_size, b"/some/prefix")
    assert not contains(str(path), path.stat().st_size, b"/another/prefix")


def test_a_binary_that_names_the_prefix_is_warned_of(small: Path, tmp_path: Path) -> None:
    (small / "share/tool.bin").write_bytes(b"\xff\0" + os.fsencode(small) + b"/share\0\xfe")
    listener = Listener()
    pack(small, tmp_path / "out.tar.gz", progress=listener)
    assert listener.warnings == ["share/tool.bin contains the path of the environment on this machine"]


# Links


@pytest.mark.parametrize("package", ["hostile-absolute", "hostile-climbing"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_package_whose_link_leaves_the_prefix_is_refused(
    channel: Channel, tmp_path: Path, package: str, kind: FormatName
) -> None:
    channel.link(tmp_path / "prefix", package)
    with pytest.raises(PackingFailed, match=f"share/{package} is a link to .*etc/passwd, which is outside"):
        pack(tmp_path / "prefix", tmp_path / "out", format=kind)
    assert not list(tmp_path.glob("*out*"))


def test_a_chain_of_links_that_leaves_the_prefix_is_refused(small: Path, tmp_path: Path) -> None:
    (small / "share/up").symlink_to("..")
    (small / "share/innocent").symlink_to("up/../../etc")
    with pytest.raises(PackingFailed, match="share/innocent"):
        pack(small, tmp_path / "out.tar.gz")


def test_links_in_a_circle_are_refused(small: Path, tmp_path: Path) -> None:
    (small / "share/one").symlink_to("two")
    (small / "share/two").symlink_to("one")
    with pytest.raises(PackingFailed, match="leads back to itself"):
        pack(small, tmp_path / "out.tar.gz")


def test_an_absolute_link_into_the_prefix_becomes_relative(small: Path, tmp_path: Path) -> None:
    (small / "share/absolute").symlink_to(small / "share/linked/real.txt")
    pack(small, tmp_path / "out.tar.gz")
    unpacked = unpack(tmp_path / "out.tar.gz", tmp_path / "unpacked")
    assert str((unpacked / "share/absolute").readlink()) == "linked/real.txt"
    assert (unpacked / "share/linked/alias.txt").read_text() == "real\n"


def test_a_link_to_nothing_is_kept_in_tar_and_left_out_of_zip(small: Path, tmp_path: Path) -> None:
    (small / "share/dangling").symlink_to("not-there")
    listener = Listener()
    pack(small, tmp_path / "out.tar.gz", progress=listener)
    assert listener.warnings == []
    assert "share/dangling" in members(tmp_path / "out.tar.gz")
    pack(small, tmp_path / "out.zip", format="zip", progress=listener)
    assert listener.warnings == ["share/dangling is left out: it links to not-there, which is not there"]
    assert "share/dangling" not in members(tmp_path / "out.zip")


def test_a_zip_holds_what_links_lead_to(small: Path, tmp_path: Path) -> None:
    (small / "share/chain").symlink_to("linked-inner/inner.txt")
    pack(small, tmp_path / "out.zip", format="zip")
    packed = members(tmp_path / "out.zip")
    assert packed["share/linked/alias.txt"][1] == b"real\n"
    assert packed["share/linked-inner/inner.txt"][1] == packed["share/chain"][1] == b"inner\n"
    assert "share/linked-inner/" in packed


def test_a_zip_cannot_hold_a_directory_in_itself(small: Path, tmp_path: Path) -> None:
    (small / "share/self").symlink_to(".")
    pack(small, tmp_path / "out.tar.gz")
    with pytest.raises(PackingFailed, match="share/self links to a directory that contains it") as failure:
        pack(small, tmp_path / "out.zip", format="zip")
    assert failure.value.hint == "pack to .tar.gz instead"


def test_a_prefix_linked_softly_from_the_package_cache_is_packed_whole(small: Path, tmp_path: Path) -> None:
    pack(small, tmp_path / "one.tar.gz")
    for path in (small / "share/activated").iterdir():
        path.unlink()
        path.symlink_to(next(tmp_path.glob(f"cache/activated-*/share/activated/{path.name}")))
    pack(small, tmp_path / "other.tar.gz")
    assert first_difference(tmp_path / "one.tar.gz", tmp_path / "other.tar.gz") is None


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_what_is_neither_file_nor_link_is_refused(
    small: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small / "share")  # a socket's path must be short
    if kind == "fifo":
        os.mkfifo("odd")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("odd")
    with pytest.raises(PackingFailed, match="share/odd is neither a file nor a link"):
        pack(small, tmp_path / "out.tar.gz")


# A prefix that is not what its packages say


def test_a_missing_file_is_named_with_its_package(small: Path, tmp_path: Path) -> None:
    (small / "share/activated/data.txt").unlink()
    with pytest.raises(PackingFailed, match=r"activated 1\.0 lacks share/activated/data\.txt"):
        pack(small, tmp_path / "out.tar.gz")


def test_the_wheel_that_replaced_a_conda_package_is_named(small: Path, tmp_path: Path) -> None:
    (small / "share/activated/data.txt").unlink()
    distribution(small, "activated", "2.0", {})
    with pytest.raises(PackingFailed, match=r"lacks .*; the wheel activated 2\.0 was installed over it"):
        pack(small, tmp_path / "out.tar.gz")


def test_the_wheel_that_overwrote_a_conda_packages_file_is_named(small: Path, tmp_path: Path) -> None:
    distribution(small, "careless", "3.1", {"../../../share/activated/data.txt": "overwritten\n"})
    with pytest.raises(PackingFailed) as failure:
        pack(small, tmp_path / "out.tar.gz")
    assert "share/activated/data.txt of activated 1.0 was overwritten by the wheel careless 3.1" in str(
        failure.value
    )
    assert failure.value.hint


def test_a_wheel_with_the_very_same_file_does_no_harm(small: Path, tmp_path: Path) -> None:
    distribution(small, "namespace", "1.0", {"../../../share/activated/data.txt": "data\n"})
    pack(small, tmp_path / "out.tar.gz")


def distribution(prefix: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """Install as pip does, over whatever is there."""
    site_packages = prefix / SITE_PACKAGES
    info = site_packages / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"{info.name}/RECORD,,\n"]
    for path, text in files.items():
        (site_packages / path).unlink(missing_ok=True)
        (site_packages / path).write_text(text)
        sha256 = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={sha256},{len(text)}\n")
    (info / "RECORD").write_text("".join(lines))
    return info


def test_an_editable_package_is_named_with_what_to_do(small: Path, tmp_path: Path) -> None:
    info = distribution(small, "mine", "0.1", {})
    (info / "direct_url.json").write_text('{"url": "file:///home/me/mine", "dir_info": {"editable": true}}')
    with pytest.raises(PackingFailed, match=r"mine 0\.1 is installed in editable mode") as failure:
        pack(small, tmp_path / "out.tar.gz")
    assert "pip wheel" in str(failure.value.hint)


def test_a_pth_file_that_leads_out_is_named_with_its_wheel(small: Path, tmp_path: Path) -> None:
    distribution(small, "pathy", "1.0", {"pathy.pth": "import sys\n# nothing\npathy\n/opt/elsewhere\n"})
    with pytest.raises(
        PackingFailed, match=r"pathy\.pth \(of the wheel pathy 1\.0\) puts /opt/elsewhere on the path"
    ):
        pack(small, tmp_path / "out.tar.gz")


def test_an_egg_link_is_refused(small: Path, tmp_path: Path) -> None:
    (small / SITE_PACKAGES).mkdir(parents=True)
    (small / SITE_PACKAGES / "old.egg-link").write_text("/home/me/old\n.")
    with pytest.raises(PackingFailed, match="old is installed in development mode"):
        pack(small, tmp_path / "out.tar.gz")


def test_a_directory_that_is_no_environment_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(PackingFailed, match="is not a conda environment"):
        pack(tmp_path, tmp_path / "out.tar.gz")


# The file


def test_the_archive_is_an_ordinary_gzip_file_of_members(
    environment: Packed, packed: dict[str, tuple[str, bytes]]
) -> None:
    archive = environment.targz
    subprocess.run(["gzip", "-t", archive], check=True)
    listed = subprocess.run(["tar", "-tzf", archive], check=True, capture_output=True, text=True).stdout
    assert len(set(listed.splitlines())) == len(packed)
    with gzip.open(archive) as file:
        size = sum(len(chunk) for chunk in iter(lambda: file.read(1 << 20), b""))
    with subprocess.Popen(["zcat", archive], stdout=subprocess.PIPE) as zcat:
        assert int(subprocess.run(["wc", "-c"], stdin=zcat.stdout, check=True, capture_output=True).stdout) == size
    data = archive.read_bytes()
    sizes = []
    while data:
        assert data[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
        one = zlib.decompressobj(wbits=31)
        sizes.append(len(one.decompress(data)))
        data = one.unused_data
    assert sum(sizes) == size
    assert len(sizes) > 1


JAVA_READER = """
import java.io.*; import java.util.zip.*;
class Reader { public static void main(String[] a) throws Exception {
  long size = 0, count = 0; byte[] buffer = new byte[1 << 16]; int n;
  InputStream file = new BufferedInputStream(new FileInputStream(a[0]));
  if (a[0].endsWith(".zip")) {
    ZipInputStream zip = new ZipInputStream(file);
    while (zip.getNextEntry() != null) { count++; while ((n = zip.read(buffer)) > 0) size += n; }
  } else {
    InputStream gzip = new GZIPInputStream(file); count = 1; while ((n = gzip.read(buffer)) > 0) size += n;
  }
  System.out.println(count + " " + size);
} }
"""


@pytest.mark.skipif(not shutil.which("javac"), reason="there is no Java compiler")
def test_java_reads_both_formats_as_streams(environment: Packed, tmp_path: Path) -> None:
    (tmp_path / "Reader.java").write_text(JAVA_READER)
    subprocess.run(["javac", "-d", tmp_path, tmp_path / "Reader.java"], check=True)

    def read(archive: Path) -> list[int]:
        command: list[str | Path] = ["java", "-cp", tmp_path, "Reader", archive]
        return [int(part) for part in subprocess.run(command, check=True, capture_output=True).stdout.split()]

    packed = members(environment.zip)
    assert read(environment.zip) == [len(packed), sum(len(data) for _, data in packed.values())]
    assert read(environment.targz)[1] == len(gzip.decompress(environment.targz.read_bytes()))


def test_a_zip_is_what_hadoop_can_unpack(environment: Packed, tmp_path: Path) -> None:
    with zipfile.ZipFile(environment.zip) as file:
        for info in file.infolist():
            mode = info.external_attr >> 16
            assert not info.flag_bits & 0x08, "a data descriptor"
            assert info.create_system == 3
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert stat.S_IMODE(mode) in (0o644, 0o755)
            assert stat.S_ISDIR(mode) == info.is_dir()
            assert not stat.S_ISLNK(mode)
        assert file.testzip() is None
    home = unpack(environment.zip, tmp_path / "home")
    assert run(home / "bin/speak") == f"spoken by {home}\n"


@pytest.mark.parametrize("kind", FORMATS)
def test_names_that_are_long_or_not_ascii_survive(small: Path, tmp_path: Path, kind: FormatName) -> None:
    names = ["share/" + "deep/" * 60 + "leaf.txt", "share/grüße 日本.txt", "share/" + "n" * 200]
    for name in names:
        (small / name).parent.mkdir(parents=True, exist_ok=True)
        (small / name).write_text(name)
    (small / "share/far").symlink_to(names[0].removeprefix("share/"))
    pack(small, tmp_path / f"out.{kind}", format=kind)
    home = unpack(tmp_path / f"out.{kind}", tmp_path / "home")
    assert [(home / name).read_text() for name in names] == names
    assert (home / "share/far").read_text() == names[0]


def test_a_name_that_is_no_text_goes_into_a_tar_and_not_into_a_zip(small: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"share/caf\xe9")
    (small / name).write_text("latin")
    pack(small, tmp_path / "out.tar.gz")
    assert (unpack(tmp_path / "out.tar.gz", tmp_path / "home") / name).read_text() == "latin"
    with pytest.raises(PackingFailed, match="not UTF-8"):
        pack(small, tmp_path / "out.zip", format="zip")


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_blocks_join_to_one_deflate_stream_or_one_file_of_members(size: int) -> None:
    data = rng(size).randbytes(size // 2) + bytes(size - size // 2)
    cut = list(blocks(iter([data[: size // 3], data[size // 3 :]])))
    assert b"".join(block.data for block in cut) == data
    assert [block.last for block in cut] == [False] * (len(cut) - 1) + [True]
    parts = list(deflated(cut, part_of_stream, level=4, threads=2))
    assert zlib.decompress(b"".join(part.data for part in parts), wbits=-15) == data
    members = list(deflated(cut, member, level=4, threads=2))
    assert gzip.decompress(b"".join(one.data for one in members)) == data


COMPRESSED = {
    part_of_stream: "dd7fc6e5938c02013f2f6b317e1dd830522d6f66fc634b23f5737084d859efe5",
    member: "15bb27e83ddf9498fc0a497b5cbd21284cd11a9ae13e995336c14f1d6b4229bc",
}


def test_compressed_bytes_are_the_ones_that_other_processors_gave() -> None:
    # Measured on x86-64 with SSE2 alone up to AVX-512 and on aarch64. With another version of a compressor the
    # digest may change, and PACKER with it; if it changes without one, archives are no longer the same everywhere.
    text = b"".join(b"%d squared is %d\n" % (number, number * number) for number in range(60_000))
    noise = rng(1).randbytes(100_000)
    stream = [
        Block(text, b"", last=False),
        Block(noise + text[:9000], text[-32768:], last=True),
    ]
    for making, expected in COMPRESSED.items():
        pieces = b"".join(piece.data for piece in deflated(stream, making, level=4, threads=2))
        assert digest.of_bytes(pieces) == expected


class Interrupted(Progress):
    """Presses Ctrl-C in the middle."""

    class _Step(Step):
        def advance(self, amount: int) -> None:  # noqa: ARG002 - says what it cannot know
            raise KeyboardInterrupt

    def step(self, *_: object, **__: object) -> AbstractContextManager[Step]:  # type: ignore[override] # enough
        return nullcontext(self._Step())


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_is_left_when_packing_is_interrupted(small: Path, tmp_path: Path, kind: FormatName) -> None:
    out = tmp_path / "out" / "archive"
    out.parent.mkdir()
    with pytest.raises(KeyboardInterrupt):
        pack(small, out, format=kind, progress=Interrupted())
    assert list(out.parent.iterdir()) == []


def test_a_full_disk_is_said_to_be_full(small: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        with pytest.raises(PackingFailed, match="no space is left"):
            pack(small, disk / "out.tar.gz")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_output_that_cannot_be_written_is_named(small: Path, tmp_path: Path) -> None:
    with pytest.raises(PackingFailed, match=r"cannot write .*missing/out"):
        pack(small, tmp_path / "missing" / "out.tar.gz")


def test_the_archive_gets_the_permissions_of_any_new_file(small: Path, tmp_path: Path) -> None:
    pack(small, tmp_path / "out.tar.gz")
    (tmp_path / "ordinary").touch()
    assert (tmp_path / "out.tar.gz").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.acceptance
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
@pytest.mark.parametrize("kind", quickly(FORMATS, "tar.gz", "zip"))
def test_memory_does_not_grow_with_the_size_of_a_file(small: Path, tmp_path: Path, kind: FormatName) -> None:
    with (small / "share/large.bin").open("wb") as file:
        file.truncate(500 << 20)
    assert peak_memory(small, tmp_path / f"out.{kind}", kind) < 200 << 20
