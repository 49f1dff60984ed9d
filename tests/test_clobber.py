"""Two packages that bring one file: the same one wins every time, it is said, and what would break is refused."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from envpack import digest
from envpack.config.target import Target
from envpack.errors import PackingFailed
from envpack.lock.lock import CondaPackage, Lock
from envpack.prefix.clobber import Settled, settle, winner_of
from envpack.requirements.names import CondaName, ProjectName
from tests.support.command import Desk
from tests.support.packages import reindex, write_conda
from tests.support.wheels import record_line, write_wheel

SITE = "lib/python3.11/site-packages"


@dataclass
class Prefix:
    """A prefix that is put together by hand, package by package, in any order."""

    path: Path
    shelf: Path
    packages: list[CondaPackage] = field(default_factory=list)

    def wheel(self, name: str, files: dict[str, str], requires: Sequence[str] = ()) -> None:
        """Install a wheel; `files` are below site-packages."""
        info = f"{SITE}/{name.replace('-', '_')}-1.0.dist-info"
        metadata = [f"Name: {name}", "Version: 1.0", *(f"Requires-Dist: {need}" for need in requires)]
        contents = {f"{SITE}/{path}": text for path, text in files.items()}
        contents[f"{info}/METADATA"] = "\n".join(["Metadata-Version: 2.1", *metadata, ""])
        lines = [record_line(path.removeprefix(f"{SITE}/"), text) for path, text in contents.items()]
        contents[f"{info}/RECORD"] = "".join(lines)
        self._put(f"pypi/{name}", contents)

    def conda(self, name: str, files: dict[str, str], depends: Sequence[str] = ()) -> None:
        entries = [{"_path": path, "sha256": digest.of_bytes(text.encode())} for path, text in files.items()]
        record = {
            "name": name,
            "version": "1.0",
            "files": list(files),
            "paths_data": {"paths": entries},
        }
        self._put(f"conda/{name}", {**files, f"conda-meta/{name}-1.0-0.json": json.dumps(record)})
        self.packages.append(
            CondaPackage(
                name=CondaName(name),
                version="1.0" if name != "python" else "3.11.7",
                build="0",
                build_number=0,
                subdir="noarch",
                url=f"file:///c/noarch/{name}-1.0-0.conda",
                sha256="0" * 64,
                depends=tuple(depends),
            )
        )

    def _put(self, owner: str, contents: dict[str, str]) -> None:
        for root in (self.path, self.shelf / owner):
            for path, text in contents.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)

    def settle(self, *requested: str, allowed: Sequence[str] = ()) -> Settled:
        if not any(package.name == "python" for package in self.packages):
            self.conda("python", {"lib/python3.11/os.py": ""})
        lock = Lock(
            target=Target(),
            channels=(),
            packages=tuple(self.packages),
            requested=tuple(ProjectName(name) for name in requested),
        )
        return settle(self.path, lock, stage=lambda owner: self.shelf / owner, allowed=allowed)

    def text(self, path: str) -> str:
        return (self.path / path).read_text()


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    return Prefix(tmp_path / "prefix", tmp_path / "shelf")


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_in_whatever_order_wheels_are_installed_the_same_file_is_used(order: str, prefix: Prefix) -> None:
    for name in order:
        prefix.wheel(name, {f"{name}.py": "", "LICENSE": name, "same.txt": "one"})
    settled = prefix.settle("a", "b", "c")
    assert prefix.text(f"{SITE}/LICENSE") == "a"
    assert settled.warnings == (
        f"a 1.0 and b 1.0 both bring {SITE}/LICENSE; a's is used",
        f"a 1.0 and c 1.0 both bring {SITE}/LICENSE; a's is used",
    )
    assert settled.paths == {f"{SITE}/LICENSE"}


@pytest.mark.parametrize("order", list(itertools.permutations("abz")))
def test_what_needs_another_wins_over_it(order: str, prefix: Prefix) -> None:
    needs = {"a": [], "b": ["a"], "z": ["b", 'a; extra == "x"']}
    for name in order:
        prefix.wheel(name, {f"{name}.py": "", "data.txt": name}, needs[name])
    prefix.settle()
    assert prefix.text(f"{SITE}/data.txt") == "z"


def test_a_requirement_of_another_platform_is_none(prefix: Prefix) -> None:
    prefix.wheel("a", {"data.txt": "a"})
    prefix.wheel("b", {"data.txt": "b"}, ['a; sys_platform == "win32"'])
    prefix.settle()
    assert prefix.text(f"{SITE}/data.txt") == "a"


def test_packages_that_need_each_other_are_decided_by_name() -> None:
    needs = {"pypi/a": frozenset({"pypi/b"}), "pypi/b": frozenset({"pypi/a"})}
    assert winner_of(["pypi/b", "pypi/a"], needs) == "pypi/a"


def test_an_equal_file_is_no_news(prefix: Prefix) -> None:
    for name in ("a", "b"):
        prefix.wheel(name, {f"nvidia/{name}.py": name, "nvidia/__init__.py": "", "lib.so.2": "equal"})
    assert prefix.settle("a", "b") == Settled((), ())


@pytest.mark.parametrize("path", ["nvidia/nccl/lib/libnccl.so.2", "x/fast.cpython-311-x86_64-linux-gnu.so", "l.so"])
def test_a_shared_library_is_not_replaced(path: str, prefix: Prefix) -> None:
    prefix.wheel("nccl-cu12", {path: "one"})
    prefix.wheel("nccl-cu13", {path: "other"})
    with pytest.raises(PackingFailed) as caught:
        prefix.settle()
    for word in ("nccl-cu12 1.0", "nccl-cu13 1.0", path, "shared library"):
        assert word in caught.value.message
    assert "allow-clobber" in (caught.value.hint or "")


def test_a_program_without_a_suffix_is_known_by_its_content(prefix: Prefix) -> None:
    prefix.wheel("a", {"a/tool": "\x7fELF one"})
    prefix.wheel("b", {"a/tool": "\x7fELF other"})
    with pytest.raises(PackingFailed, match="a/tool"):
        prefix.settle()


@pytest.mark.parametrize("name", ["nccl-cu13", "NCCL_cu12"])
def test_clobbering_that_is_allowed_by_name_is_neither_refused_nor_said(name: str, prefix: Prefix) -> None:
    prefix.wheel("nccl-cu13", {"lib.so": "other"})
    prefix.wheel("nccl-cu12", {"lib.so": "one"})
    settled = prefix.settle(allowed=[name])
    assert settled.warnings == ()
    assert settled.paths == {f"{SITE}/lib.so"}
    assert prefix.text(f"{SITE}/lib.so") == "one"


def test_a_requested_package_does_not_lose_its_own_module(prefix: Prefix) -> None:
    prefix.wheel("alpha", {"alpha.py": "A = 1\n", "beta/__init__.py": "STOLEN = 1\n"})
    prefix.wheel("beta", {"beta/__init__.py": "B = 1\n", "beta/more.py": ""})
    with pytest.raises(PackingFailed, match="beta would no longer have its own module beta"):
        prefix.settle("alpha", "beta")


def test_a_module_that_nobody_asked_for_is_a_warning(prefix: Prefix) -> None:
    prefix.wheel("alpha", {"alpha.py": "A = 1\n", "beta/__init__.py": "STOLEN = 1\n"})
    prefix.wheel("beta", {"beta/__init__.py": "B = 1\n"})
    (warning,) = prefix.settle("alpha").warnings
    assert "beta/__init__.py" in warning


def test_tests_at_the_top_are_a_warning(prefix: Prefix) -> None:
    for name in ("alpha", "beta"):
        prefix.wheel(name, {f"{name}.py": "", "tests/__init__.py": name, "tests/test_all.py": name})
    (warning,) = prefix.settle("alpha", "beta").warnings
    assert "tests/__init__.py" in warning


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        ("X = 1\n", ""),
        ("X = 1\n", '"""Only words."""\n'),
        ("X = 1\n", "# only a comment\n"),
        ("X = 1  # the same\n", "X = 1\n"),
        ("__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n", "import pkg_resources\n"),
    ],
)
def test_a_module_that_does_nothing_of_its_own_is_not_missed(winner: str, loser: str, prefix: Prefix) -> None:
    prefix.wheel("aa-space", {"space/__init__.py": winner, "space/a.py": ""})
    prefix.wheel("space", {"space/__init__.py": loser, "space/b.py": ""})
    assert len(prefix.settle("aa-space", "space").warnings) == 1


def test_a_wheel_wins_over_a_conda_package(prefix: Prefix) -> None:
    prefix.conda("aaa", {"share/doc.txt": "conda", f"{SITE}/LICENSE": "conda"})
    prefix.wheel("zzz", {"LICENSE": "wheel"})
    (prefix.path / SITE / "LICENSE").write_text("conda")
    (warning,) = prefix.settle("aaa", "zzz").warnings
    assert warning == f"zzz 1.0 and aaa 1.0 both bring {SITE}/LICENSE; zzz's is used"
    assert prefix.text(f"{SITE}/LICENSE") == "wheel"


def test_python_itself_is_not_replaced(prefix: Prefix) -> None:
    prefix.conda("python", {f"{SITE}/README.txt": "one"})
    prefix.wheel("evil", {"README.txt": "other"})
    with pytest.raises(PackingFailed, match="part of Python"):
        prefix.settle("evil")


def test_a_command_of_two_conda_packages_is_always_the_same_ones(desk: Desk, seed: Path, tmp_path: Path) -> None:
    own = tmp_path / "own channel"
    for name in ("bb", "aa"):
        files = {f"site-packages/{name}.py": f"def main():\n    print({name!r})\n"}
        points = [f"both = {name}:main"]
        write_conda(own, name, files=files, noarch="python", entry_points=points, depends=["python"])
    reindex(own)
    desk.write("e.yml", "channels:", f"- {own.as_uri()}", f"- {desk.channel.url}", "dependencies: [python, aa, bb]")
    digests = set()
    for _ in range(2):
        ran = desk.run("build", "e.yml", "--no-verify", "--output", "json")
        assert ran.code == 0, ran.err
        assert "aa 1.0 and bb 1.0 both bring bin/both; aa's is used" in ran.err
        digests.add(ran.json()["digest"])
        shutil.rmtree(desk.store)
        desk.forget_pieces(but=seed)
    assert len(digests) == 1


@pytest.mark.acceptance
def test_wheels_that_bring_one_file_are_built_to_one_digest_and_said(desk: Desk, seed: Path) -> None:
    shelf = desk.home / "shelf"
    shelf.mkdir()
    for name in ("gamma", "delta", "beta"):
        write_wheel(shelf, name, "1.0", files={f"{name}.py": "", "NOTICE.txt": name, "share.txt": "same"})
    desk.write("r.txt", "--no-index", "--find-links ./shelf", "gamma", "delta", "beta")
    digests = set()
    for _ in range(2):
        ran = desk.run("build", "r.txt", "--no-verify", "--output", "json")
        assert ran.code == 0, ran.err
        assert "beta 1.0 and delta 1.0 both bring lib/" in ran.err
        digests.add(ran.json()["digest"])
        shutil.rmtree(desk.store)
        desk.forget_pieces(but=seed)
    assert len(digests) == 1
    for name in ("gamma", "delta"):
        write_wheel(shelf, name, "2.0", files={f"{name}.py": "", "x/libx.so": name})
    ran = desk.run("build", "r.txt", "--no-verify", "--upgrade")
    assert ran.code == 6
    assert "x/libx.so" in ran.err
    ran = desk.run("build", "r.txt", "--no-verify", "--upgrade", "--allow-clobber", "delta")
    assert ran.code == 0, ran.err
    assert "libx.so" not in ran.err
