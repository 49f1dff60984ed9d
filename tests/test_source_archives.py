"""Source distributions and repositories in a lock: what is recorded, what is built again, what is refused."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from envpack import digest
from envpack.archive.unpack import Extent
from envpack.build.pipeline import Options
from envpack.errors import BrokenPackage, EnvpackError, PackingFailed, Unreachable, Unsatisfiable
from envpack.lock.file import dump, parse
from envpack.requirements.sources import SourceRef
from envpack.sources import checkout, scm_version
from envpack.sources import unpack as source_archives
from envpack.sources.unpack import unpack
from tests.support.channel import Channel
from tests.support.command import Desk
from tests.support.private import PASSWORD, USER, private_git, private_index
from tests.support.projects import Shop, commit_all, git, wheel_of, write_sdist, write_source
from tests.support.wheels import write_wheel


@pytest.fixture
def shop(tmp_path: Path, channel: Channel, warm_cache: Path) -> Shop:
    home = tmp_path / "home"
    home.mkdir()
    return Shop(home=home, channel=channel, cache=warm_cache)


OFFLINE = ("--no-index", "--find-links shelf")


def test_a_project_without_a_wheel_is_built_and_its_lock_says_how(shop: Shop) -> None:
    archive = write_sdist(shop.home / "shelf", "inner")
    write_wheel(shop.home / "shelf", "outer", "1.0", requires=["inner>=1"])
    lock = shop.lock(*OFFLINE, "outer")
    wheel = wheel_of(lock, "inner")
    assert wheel.made is not None
    assert (wheel.made.kind, wheel.made.sha256) == ("archive", digest.of_file(archive))
    assert wheel.sha256 == digest.of_file(shop.file(wheel))
    assert wheel.url == archive.as_uri()
    assert not wheel.direct
    assert parse(dump(lock), "env.txt.lock") == lock


def test_the_newest_source_that_is_allowed_is_taken_and_wheels_come_first(shop: Shop) -> None:
    for version in ("1.0", "2.0", "3.0"):
        write_sdist(shop.home / "shelf", "inner", version)
    assert shop.wheel(*OFFLINE, "inner<3", name="inner").version == "2.0"
    write_wheel(shop.home / "shelf", "inner", "1.5")
    assert shop.wheel(*OFFLINE, "inner<3", name="inner", file="again.txt").made is None


@pytest.mark.parametrize(
    "case", ["a wheel", "a source", "a constraint", "two packages", "a marker", "a source and the line above it"]
)
def test_a_source_is_built_in_the_version_that_all_who_need_it_allow(shop: Shop, case: str) -> None:
    shelf = shop.home / "shelf"
    for version in ("1.0", "1.1", "1.2", "2.0"):
        write_sdist(shelf, "inner", version)
    lines = ["outer"]
    if case == "a wheel":
        write_wheel(shelf, "outer", "1.0", requires=["inner>=1.1,<1.2"])
    elif case == "a source":
        write_sdist(shelf, "outer", requires=("inner>=1.1,<1.2",))
    elif case == "a constraint":
        write_wheel(shelf, "outer", "1.0", requires=["inner"])
        (shop.home / "bounds.txt").write_text("inner>=1.1,<1.2\n")
        lines.append("-c bounds.txt")
    elif case == "two packages":
        write_wheel(shelf, "outer", "1.0", requires=["inner>=1.1"])
        write_wheel(shelf, "other", "1.0", requires=["inner<1.2"])
        lines.append("other")
    elif case == "a marker":
        apart = ["inner<1.2 ; python_version>='3'", "inner>=2 ; python_version<'3'"]
        write_wheel(shelf, "outer", "1.0", requires=apart)
    else:
        write_sdist(shelf, "outer", requires=("inner>=1.1,<1.2",))
        lines.insert(0, "inner")
    assert shop.wheel(*OFFLINE, *lines, name="inner").version == "1.1"


def test_only_binary_forbids_to_build_what_an_index_has_and_nothing_else(shop: Shop) -> None:
    write_sdist(shop.home / "shelf", "inner")
    for names in ("inner", ":all:"):
        with pytest.raises(Unsatisfiable, match="--only-binary forbids"):
            shop.lock(*OFFLINE, f"--only-binary {names}", "inner")
    assert shop.wheel(*OFFLINE, "--only-binary outer", "inner", name="inner").made
    write_source(shop.home / "outer", "outer")
    assert shop.wheel(*OFFLINE, "--only-binary :all:", "outer @ ./outer", name="outer").made


def test_a_source_that_nobody_can_agree_on_is_refused_with_who_wants_what(shop: Shop) -> None:
    shelf = shop.home / "shelf"
    for version in ("1.0", "2.0"):
        write_sdist(shelf, "inner", version, head="raise SystemExit('built in vain')\n")
    write_wheel(shelf, "outer", "1.0", requires=["inner<2"])
    write_wheel(shelf, "other", "1.0", requires=["inner>=2"])
    with pytest.raises(Unsatisfiable) as told:
        shop.lock(*OFFLINE, "outer", "other")
    assert re.search(r"outer.*inner<2", str(told.value), re.DOTALL)
    assert re.search(r"other.*inner>=2", str(told.value), re.DOTALL)


def test_what_a_source_needs_can_lead_to_an_older_one(shop: Shop) -> None:
    shelf = shop.home / "shelf"
    write_sdist(shelf, "inner", "1.0")
    write_sdist(shelf, "inner", "2.0", requires=("base>=2",))
    write_wheel(shelf, "base", "2.0")
    write_wheel(shelf, "base", "1.0")
    assert shop.wheel(*OFFLINE, "inner", "base<2", name="inner").version == "1.0"


def test_a_failed_build_counts_only_where_its_version_is_needed(shop: Shop) -> None:
    shelf = shop.home / "shelf"
    write_sdist(shelf, "inner", "1.0")
    write_sdist(shelf, "inner", "2.0", head="raise RuntimeError('no build of the second')\n")
    write_sdist(shelf, "outer", requires=("inner<2",))
    assert shop.wheel(*OFFLINE, "inner", "outer", name="inner").version == "1.0"
    with pytest.raises(EnvpackError, match="no build of the second"):
        shop.lock(*OFFLINE, "inner", file="again.txt")


def test_a_wheel_that_fits_is_not_built_though_another_version_has_to_be(shop: Shop) -> None:
    shelf = shop.home / "shelf"
    for version in ("1.0", "2.0"):
        write_sdist(shelf, "inner", version)
    write_wheel(shelf, "inner", "1.0")
    write_wheel(shelf, "outer", "1.0", requires=["inner<2"])
    assert shop.wheel(*OFFLINE, "outer", name="inner").made is None
    assert shop.wheel(*OFFLINE, "inner>=2", name="inner", file="again.txt").made is not None


def test_a_hash_in_the_requirements_is_the_sources(shop: Shop) -> None:
    archive = write_sdist(shop.home / "shelf", "inner")
    good = f"inner==1.0 --hash=sha256:{digest.of_file(archive)}"
    assert shop.wheel(*OFFLINE, good, name="inner").made is not None
    with pytest.raises(EnvpackError, match="is not the expected"):
        shop.lock(*OFFLINE, f"inner==1.0 --hash=sha256:{'0' * 64}")


def test_what_a_source_is_built_with_may_have_to_be_built_itself(shop: Shop) -> None:
    write_sdist(shop.home / "shelf", "tool")
    write_sdist(shop.home / "shelf", "inner", build_requires=("tool",), head="import tool\n")
    lock = shop.lock(*OFFLINE, "inner")
    made = wheel_of(lock, "inner").made
    assert made is not None
    (tool,) = made.requires
    assert tool.name == "tool"
    assert tool.made is not None
    assert parse(dump(lock), "env.txt.lock") == lock


def test_a_source_that_needs_itself_to_be_built_is_refused(shop: Shop) -> None:
    write_sdist(shop.home / "shelf", "inner", build_requires=("inner",))
    with pytest.raises(Unsatisfiable, match="its build needs inner itself"):
        shop.lock(*OFFLINE, "inner")


def test_a_build_that_comes_out_differently_is_refused_with_the_file(desk: Desk) -> None:
    head = "import os; open('inner.py', 'a').write(f'# {os.urandom(8).hex()}')\n"
    write_sdist(desk.home / "shelf", "inner", head=head)
    desk.write("env.txt", *OFFLINE, "inner", "six @ ./shelf/six-1-py3-none-any.whl")
    write_wheel(desk.home / "shelf", "six", "1")
    assert desk.run("lock", "env.txt").code == 0
    shutil.rmtree(desk.cache / "built")
    ran = desk.run("build", "env.txt", "--locked")
    assert ran.code == 6
    assert "the build of inner 1.0 gives a wheel that differs from the locked one: inner.py differs" in ran.err


def test_a_build_from_a_lock_alone_makes_the_same_archive(desk: Desk, seed: Path) -> None:
    write_sdist(desk.home / "shelf", "inner")
    write_source(desk.home / "zebra", "zebra")
    write_wheel(desk.home / "shelf", "zoo", "1.0")
    desk.write("env.txt", *OFFLINE, "inner", "zoo", "zebra @ ./zebra")
    first = desk.build("env.txt")
    desk.forget_pieces(but=seed)
    for name in ("built", "sources", "unchanged"):
        shutil.rmtree(desk.cache / name, ignore_errors=True)
    shutil.rmtree(desk.store)
    again = desk.build("env.txt", "--locked")
    assert again["digest"] == first["digest"]
    (archive,) = desk.store.glob("env/*/*.tar.gz")
    with tarfile.open(archive) as opened:
        modules = [name.rpartition("/")[2] for name in opened.getnames() if name.endswith(("zebra.py", "zoo.py"))]
    assert modules == ["zoo.py", "zebra.py"]


def test_compiled_code_is_built_for_this_machine_only(shop: Shop) -> None:
    head = "import pathlib\n"
    archive = write_sdist(shop.home / "shelf", "inner", head=head)
    with tarfile.open(archive) as opened:
        text = opened.extractfile("inner-1.0/backend.py").read().decode()  # type: ignore[union-attr] # it is there
    write_source(shop.home / "native", "native", head="")
    text = text.replace("'inner'", "'native'").replace("py3-none-any", "py3-none-linux_MACHINE")
    machine = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
    (shop.home / "native/backend.py").write_text(text.replace("MACHINE", machine[shop.channel.platform]))
    wheel = shop.wheel("native @ ./native", name="native")
    assert wheel.made is not None
    assert wheel.made.compiled
    with pytest.raises(Unsatisfiable, match=f"this machine cannot build it for {shop.channel.foreign}"):
        shop.lock("native @ ./native", platform=shop.channel.foreign)


def test_a_project_is_built_with_what_it_was_built_with_until_it_is_solved_again(shop: Shop) -> None:
    write_wheel_of_tool(shop, "1.0")
    tree = write_source(shop.home / "inner", "inner", build_requires=("tool",), head="import tool\n")
    shop.lock(*OFFLINE, "inner @ ./inner")
    write_wheel_of_tool(shop, "2.0")
    for options, expected in ((Options(), "1.0"), (Options(upgrade=True), "2.0")):
        (tree / "inner.py").write_text(f"# {expected}\n")
        made = wheel_of(shop.locked(options=options).lock, "inner").made
        assert made is not None
        assert [tool.version for tool in made.requires] == [expected]


def write_wheel_of_tool(shop: Shop, version: str) -> None:
    (shop.home / "shelf").mkdir(exist_ok=True)
    write_wheel(shop.home / "shelf", "tool", version)


# Private indexes


def test_what_a_private_index_has_is_never_taken_from_another_and_its_password_is_nowhere(desk: Desk) -> None:
    write_sdist(desk.home / "private", "inner")
    (desk.home / "public").mkdir()
    write_wheel(desk.home / "public", "inner", "9.0")
    with private_index(desk.home / "private") as private, private_index(desk.home / "public") as public:
        desk.write(
            "env.txt",
            f"--index-url http://{USER}:{PASSWORD}@{public}/simple",
            f"--extra-index-url http://{USER}:{PASSWORD}@{private}/simple",
            "inner",
        )
        ran = desk.run("build", "env.txt", "--verbose", "--output", "json")
    assert ran.code == 0, ran.err
    (package,) = (each for each in ran.json()["packages"] if each["name"] == "inner")
    assert package["version"] == "1.0"
    assert package["built_from"].startswith("source distribution")
    written = [*desk.store.rglob("*.json"), *desk.store.rglob("*.lock"), desk.home / "env.txt.lock"]
    texts = [ran.out, ran.err, *(path.read_text() for path in written)]
    assert not any(PASSWORD in text for text in texts)


# Repositories


def test_a_repository_is_locked_by_its_commit(shop: Shop) -> None:
    remote = write_source(shop.home / "remote", "inner").parent / "remote"
    commit = commit_all(remote)
    git(remote, "tag", "v1")
    (remote / "inner.py").write_text("VERSION = 'newer'\n")
    newer = commit_all(remote)
    for reference, expected in (("@v1", commit), ("@main", newer), ("", newer), (f"@{commit}", commit)):
        wheel = shop.wheel(f"inner @ git+{remote.as_uri()}{reference}", name="inner")
        assert wheel.made is not None
        assert (wheel.made.kind, wheel.made.commit) == ("git", expected)
        assert wheel.url == f"git+{remote.as_uri()}"


def test_a_project_below_a_repository_is_built_with_its_submodules(
    tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    module = write_source(tmp_path / "module", "inner")
    commit_all(module)
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet", "--initial-branch=main")
    git(outer, "submodule", "--quiet", "add", module.as_uri(), "libs/inner")
    commit_all(outer)
    wheel = shop.wheel(f"inner @ git+{outer.as_uri()}@main#subdirectory=libs/inner", name="inner")
    assert wheel.made is not None
    assert wheel.made.subdirectory == "libs/inner"


def test_a_checkout_has_nothing_of_gits(tmp_path: Path) -> None:
    remote = write_source(tmp_path / "remote", "inner")
    commit_all(remote)
    source = SourceRef(kind="git", location=remote.as_uri())
    checkout.check_out(source, tmp_path / "here")
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        "backend.py",
        "inner.py",
        "pyproject.toml",
    ]


def test_a_reference_that_is_not_there_and_a_repository_that_is_not_are_told_apart(tmp_path: Path) -> None:
    remote = write_source(tmp_path / "remote", "inner")
    commit_all(remote)
    with pytest.raises(PackingFailed, match="has no branch, tag or commit nowhere"):
        checkout.check_out(SourceRef(kind="git", location=remote.as_uri(), reference="nowhere"), tmp_path / "one")
    with pytest.raises(Unreachable, match="cannot be read"):
        checkout.check_out(SourceRef(kind="git", location=(tmp_path / "none").as_uri()), tmp_path / "two")


def test_a_password_of_a_repository_is_on_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "seen"
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {seen}\necho "$GIT_CONFIG_VALUE_0" >> {seen}.env\nexit 128\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    source = SourceRef(kind="git", location="https://me:the-password@git.example.com/x.git")
    with pytest.raises(Unreachable) as caught:
        checkout.check_out(source, tmp_path / "here")
    assert "the-password" not in seen.read_text() + str(caught.value) + str(caught.value.hint)
    assert "Authorization: Basic" in Path(f"{seen}.env").read_text()


# Archives that are not what they should be


def tar_of(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as opened:
        for member in members:
            opened.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, **facts: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize(
    "members",
    [
        [member("../out", size=1)],
        [member("/out", size=1)],
        [member("x/link", type=tarfile.SYMTYPE, linkname="../../out")],
        [member("x/link", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
        [member("x/link", type=tarfile.SYMTYPE, linkname="."), member("x/link/../../out", size=1)],
        [member("x/hard", type=tarfile.LNKTYPE, linkname="/etc/passwd")],
        [member("x/pipe", type=tarfile.FIFOTYPE)],
        [member("x/device", type=tarfile.CHRTYPE)],
    ],
    ids=lambda members: members[-1].name,
)
def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    archive = tar_of(tmp_path / "x-1.tar.gz", *members)
    (tmp_path / "into").mkdir()
    with pytest.raises(BrokenPackage, match=r"^the source of x "):
        unpack(archive, tmp_path / "into" / "here", shown="x")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "into/out").exists()


LATER = [
    member("p/x", type=tarfile.SYMTYPE, linkname="d/../../out"),
    member("p/d", type=tarfile.SYMTYPE, linkname=".."),
]
"""A link that stays inside until the second one changes what it passes through."""


def test_a_link_that_leads_out_through_a_later_one_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "x-1.tar.gz", *LATER)
    (tmp_path / "into").mkdir()
    with pytest.raises(BrokenPackage, match="leads out of the archive"):
        unpack(archive, tmp_path / "into" / "here", shown="x")


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.REGTYPE])
def test_nothing_is_written_through_such_a_link(tmp_path: Path, kind: bytes) -> None:
    last = member("p/x", type=kind, linkname="f", size=kind == tarfile.REGTYPE)
    archive = tar_of(tmp_path / "x-1.tar.gz", *LATER, member("f", size=1), last)
    (tmp_path / "into").mkdir()
    unpack(archive, tmp_path / "into" / "here", shown="x")
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "into/here/p/x").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["x-1.tar.gz", "x-1.tar.bz2", "x-1.tar.xz", "x-1.zip", "x-1.tar"])
def test_a_damaged_archive_is_called_damaged(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nonsense" * 200)
    with pytest.raises(BrokenPackage, match="the source of x is damaged"):
        unpack(tmp_path / name, tmp_path / "here", shown="x")


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", ""])
def test_a_tar_is_unpacked_however_it_is_compressed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x-1.tar{'.' if kind else ''}{kind}"
    with tarfile.open(path, f"w:{kind}") as opened:  # type: ignore[call-overload]  # it knows the modes one by one
        opened.addfile(member("x-1/setup.sh", size=1, mode=0o700, mtime=1), io.BytesIO(b"x"))
        opened.addfile(member("x-1/secret", size=1, mode=0o600), io.BytesIO(b"x"))
        opened.addfile(member("x-1/secret", size=1, mode=0o600), io.BytesIO(b"y"))
    tree = unpack(path, tmp_path / "here", shown="x")
    assert {file.name: (file.read_text(), file.stat().st_mode & 0o777) for file in tree.iterdir()} == {
        "setup.sh": ("x", 0o755),
        "secret": ("y", 0o644),
    }


def test_a_zip_is_a_source_distribution_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x-1.zip", "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("x-1/pyproject.toml", "")
    assert (unpack(tmp_path / "x-1.zip", tmp_path / "here", shown="x") / "pyproject.toml").is_file()


@pytest.mark.parametrize("extent", [Extent(size=99, members=10), Extent(size=1000, members=-50)])
def test_a_source_that_is_a_bomb_is_refused(
    tmp_path: Path, extent: Extent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_archives, "EXTENT", extent)
    archive = tar_of(tmp_path / "x-1.tar.gz", member("x/large", size=100))
    with pytest.raises(BrokenPackage, match="the source of x has more than the allowed"):
        unpack(archive, tmp_path / "here", shown="x")


@pytest.mark.acceptance
def test_a_compiled_wheel_is_published_beside_its_release_and_fetched_from_there(desk: Desk, seed: Path) -> None:
    machine = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}[desk.channel.platform]
    tree = write_source(desk.home / "native", "native")
    text = (tree / "backend.py").read_text().replace("py3-none-any", f"py3-none-linux_{machine}")
    # As another compiler does: other bytes each time.
    (tree / "backend.py").write_text(
        f"import os; open('native.py', 'a').write(f'# {{os.urandom(8).hex()}}')\n{text}"
    )
    desk.write("env.txt", "native @ ./native")
    first = desk.build("env.txt")
    (package,) = (each for each in first["packages"] if each["name"] == "native")
    assert package["built_from"].startswith("project sha256:")
    desk.forget_pieces(but=seed)
    for name in ("built", "unchanged"):
        shutil.rmtree(desk.cache / name, ignore_errors=True)
    for record in desk.store.glob("env/builds/*"):
        record.unlink()
    assert desk.build("env.txt", "--locked")["digest"] == first["digest"]
    sbom = next(desk.store.glob("env/*/sbom.cdx.json")).read_text()
    assert "envpack:built-from" in sbom
    desk.forget_pieces(but=seed)
    for name in ("built", "unchanged"):
        shutil.rmtree(desk.cache / name, ignore_errors=True)
    shutil.rmtree(desk.store)
    ran = desk.run("build", "env.txt", "--locked")
    assert ran.code == 6
    assert "native.py differs" in ran.err


def test_a_repository_behind_a_password_is_read_with_what_git_has(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = commit_all(write_source(tmp_path / "remotes/inner", "inner"))
    with private_git(tmp_path / "remotes") as host:
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
        (tmp_path / "gitconfig").write_text("")
        with pytest.raises(Unreachable, match="cannot be read"):
            checkout.check_out(SourceRef(kind="git", location=f"http://{host}/inner"), tmp_path / "closed")
        wrong = SourceRef(kind="git", location=f"http://{USER}:{PASSWORD}-not@{host}/inner")
        with pytest.raises(Unreachable) as told:
            checkout.check_out(wrong, tmp_path / "wrong")
        assert PASSWORD not in str(told.value)
        (tmp_path / "logins").write_text(f"http://{USER}:{PASSWORD}@{host}\n")
        helper = f"[credential]\nhelper = store --file={tmp_path / 'logins'}\n"
        (tmp_path / "gitconfig").write_text(helper)
        lock = shop.lock(f"inner @ git+http://{host}/inner@main")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        monkeypatch.setenv("GIT_PASSWORD_OF_TEAM", PASSWORD)
        again = shop.lock(
            f"inner @ git+http://{USER}:${{GIT_PASSWORD_OF_TEAM}}@{host}/inner@main", file="again.txt"
        )
    for each in (lock, again):
        made = wheel_of(each, "inner").made
        assert made is not None
        assert made.commit == commit
        assert PASSWORD not in dump(each)


def test_a_repository_is_read_over_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = commit_all(write_source(tmp_path / "inner", "inner"))
    program = tmp_path / "ssh"
    program.write_text('#!/bin/sh\n[ "$1" = git@host.example ] && eval "$2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    asked = SourceRef(kind="git", location=f"ssh://git@host.example{tmp_path}/inner", reference="main")
    assert checkout.check_out(asked, tmp_path / "here") == (commit, {})


# A version that git has


@pytest.mark.parametrize(
    ("tag", "commits", "changed", "version"),
    [
        ("v1.2", 0, False, "1.2"),
        ("v1.2", 2, False, r"1\.3\.dev2\+g[0-9a-f]+"),
        ("v1.2", 0, True, r"1\.3\.dev0\+g[0-9a-f]+\.dirty"),
        ("inner-1.2.3rc1", 1, False, r"1\.2\.3rc2\.dev1\+g[0-9a-f]+"),
        ("v1.3.dev0", 4, False, r"1\.3\.dev4\+g[0-9a-f]+"),
        ("release", 0, False, ""),
        ("v1.2-\udcff", 0, False, ""),
    ],
)
def test_a_version_that_git_has_is_the_one_of_setuptools_scm(
    tmp_path: Path, tag: str, commits: int, changed: bool, version: str
) -> None:
    tree = write_source(tmp_path / "inner", "inner")
    commit_all(tree)
    git(tree, "tag", tag)
    for _ in range(commits):
        git(tree, "commit", "--quiet", "--allow-empty", "--message", "more")
    if changed:
        (tree / "inner.py").write_text("changed\n")
    assert re.fullmatch(version, scm_version.version_at(tree))


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        (
            '[build-system]\nrequires = ["setuptools", "setuptools_scm[toml]>=8"]\n',
            "SETUPTOOLS_SCM_PRETEND_VERSION",
        ),
        ('[build-system]\nrequires = ["hatchling", "hatch-vcs"]\n', "SETUPTOOLS_SCM_PRETEND_VERSION"),
        ('[build-system]\nrequires = ["setuptools", "PBR"]\n', "PBR_VERSION"),
        ('[tool.pdm.version]\nsource = "scm"\n', "PDM_BUILD_SCM_VERSION"),
        ('[build-system]\nrequires = ["hatchling"]\n', None),
        ("build-system = 7\n", None),
        (f"[build-system]\nrequires = ['a ; {'(' * 3000}']\n", None),
        ("[", None),
    ],
)
def test_who_asks_git_for_a_version_is_told_it(tmp_path: Path, text: str, variable: str | None) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert scm_version.variable_of(tmp_path) == variable


@pytest.mark.parametrize(
    ("name", "text", "variable"),
    [
        (
            "setup.py",
            "setup(use_scm_version=True, setup_requires=['setuptools_scm'])",
            "SETUPTOOLS_SCM_PRETEND_VERSION",
        ),
        ("setup.py", "setuptools.setup(setup_requires='pbr>=2', pbr=True)", "PBR_VERSION"),
        ("setup.cfg", "[options]\nsetup_requires =\n    wheel\n    pbr>=2\n", "PBR_VERSION"),
        ("setup.py", "setup(setup_requires=needs)", None),
        ("setup.py", "setup(setup_requires=7)", None),
    ],
)
def test_who_asks_git_for_a_version_in_the_older_files_is_told_it(
    tmp_path: Path, name: str, text: str, variable: str | None
) -> None:
    (tmp_path / name).write_text(text)
    assert scm_version.variable_of(tmp_path) == variable


def test_a_build_gets_the_version_that_git_has_and_a_commit_solves_nothing(shop: Shop) -> None:
    (shop.home / "shelf").mkdir()
    write_wheel(shop.home / "shelf", "hatch_vcs", "1.0")
    tree = write_source(shop.home / "inner", "inner", build_requires=("hatch-vcs",))
    backend = tree / "backend.py"
    told = "os.environ['SETUPTOOLS_SCM_PRETEND_VERSION']"
    backend.write_text(backend.read_text().replace("'1.0', []", f"{told}, []"))
    commit_all(tree)
    git(tree, "tag", "v2.0")
    assert shop.wheel(*OFFLINE, "inner @ ./inner", name="inner").version == "2.0"
    (tree / "inner.py").write_text("# another line\n")
    commit_all(tree)
    locked = shop.locked(options=Options(locked=True))
    assert not locked.solved
    wheel = wheel_of(locked.lock, "inner")
    assert wheel.version.startswith("2.1.dev1+g")
    # A tag that comes later does not make the locked wheel another one.
    git(tree, "tag", "v3.0")
    shutil.rmtree(shop.cache / "built")
    remote = shop.wheel(*OFFLINE, f"inner @ git+{tree.as_uri()}@main", name="inner", file="git.txt")
    assert remote.version == "3.0"
    assert remote.made is not None
    assert remote.made.commit == git(tree, "rev-parse", "HEAD")


# What shows packages


KINDS = {"inner": "source distribution", "outer": "git commit COMMIT", "zebra": "project"}


@pytest.mark.acceptance
def test_all_that_shows_a_package_says_what_it_was_built_from(desk: Desk) -> None:
    write_sdist(desk.home / "shelf", "inner")
    commit = commit_all(write_source(desk.home / "remote", "outer", requires=("inner",)))
    own = write_source(desk.home / "own", "zebra", requires=("outer",))
    desk.write("env.txt", *OFFLINE, f"outer @ git+{(desk.home / 'remote').as_uri()}@main", "zebra @ ./own")
    first = desk.build("env.txt")
    built = {package["name"]: package.get("built_from", "") for package in first["packages"]}
    kinds = {name: kind.replace("COMMIT", commit) for name, kind in KINDS.items()}
    assert {name: words.partition(" sha256:")[0] for name, words in built.items() if words} == kinds

    shown, why = desk.run("show", "env").out, desk.run("show", "env", "--why", "inner").out
    assert "outer 1.0 > inner 1.0" in why
    for name, kind in kinds.items():
        assert re.search(rf"^{name} +1\.0 +{kind[:21]}  ", shown, re.MULTILINE), shown
        assert name in desk.run("search", f"{name}==1.0").out
    sbom = json.loads(desk.run("show", "env", "--output", "sbom").out)
    parts = {part["name"]: part for part in sbom["components"]}
    assert {parts[name]["purl"].partition("?")[0] for name in kinds} == {
        "pkg:pypi/inner@1.0",
        "pkg:pypi/outer@1.0",
        "pkg:generic/zebra@1.0",
    }
    assert all(parts[name]["properties"][0]["value"] == built[name] for name in kinds)

    (own / "zebra.py").write_text("# another line\n")
    desk.build("env.txt")
    before = f"env@{first['digest'][:16]}"
    told = desk.run("diff", before, "env").out
    assert re.search(r"~ zebra 1\.0 [0-9a-f]{8} -> 1\.0 [0-9a-f]{8}", told), told
    table = desk.run("diff", before, "env", "--output", "markdown").out
    assert re.search(r"1\.0 \(project\) [0-9a-f]{8} \| 1\.0 \(project\) [0-9a-f]{8} \|", table), table
    assert desk.run("catalog", "site").code == 0
    (page,) = (desk.home / "site").rglob(f"{first['digest'][:16]}.html")
    assert all(f"<td>{kind[:21]}</td>" in page.read_text() for kind in kinds.values())

    with (desk.home / "envpack.yaml").open("a") as file:
        file.write("policy:\n  deny-packages: [zebra, inner<2]\n")
    denied = desk.run("build", "env.txt")
    assert denied.code == 11
    assert all(name in denied.err for name in ("zebra 1.0", "inner 1.0"))


# What wheels are built in


@pytest.mark.acceptance
def test_what_a_wheel_is_built_in_is_kept_until_something_of_it_changes(shop: Shop) -> None:
    write_wheel_of_tool(shop, "1.0")
    tree = write_source(shop.home / "inner", "inner", build_requires=("tool",), head="import tool\n")
    shutil.rmtree(shop.cache / "tools", ignore_errors=True)

    def notes(line: str) -> dict[str, int]:
        (tree / "inner.py").write_text(f"# {line}\n")
        shop.lock(*OFFLINE, "inner @ ./inner")
        return {path.name: path.stat().st_ino for path in (shop.cache / "tools").glob("*.json")}

    first = notes("one")
    assert len(first) == 2
    assert notes("two") == first
    (module,) = (shop.cache / "tools").glob("*/lib/python*/site-packages/tool.py")
    assert list(module.parent.glob("__pycache__/tool.*.pyc"))
    was, text = module.stat(), module.read_bytes()
    module.unlink()  # others may share it
    module.write_bytes(text[:-1] + b"#")
    os.utime(module, ns=(was.st_atime_ns, was.st_mtime_ns))
    third = notes("three")
    assert third.keys() == first.keys()
    assert third != first
    killed = shop.cache / "tools" / ("0" * 64)
    killed.mkdir()
    killed.with_suffix(".lock").touch()
    for path in (*(shop.cache / "tools").glob("*.json"), killed):
        os.utime(path, (1, 1))
    shutil.rmtree(shop.cache / "built")
    write_wheel_of_tool(shop, "2.0")
    shop.lock(*OFFLINE, "inner @ ./inner", options=Options(upgrade=True))
    kept = {path.name for path in (shop.cache / "tools").glob("*.json")}
    assert len(kept) == 2
    assert len(kept & first.keys()) == 1
    assert not killed.exists()


@pytest.mark.parametrize(
    "wanted",
    [
        "inner==1.0",
        "outer",
        *(pytest.param(wanted, marks=pytest.mark.acceptance) for wanted in ("inner===1.0", "inner==1")),
    ],
)
def test_a_yanked_source_is_built_where_its_version_is_pinned(shop: Shop, wanted: str) -> None:
    shelf = shop.home / "index"
    for version in ("1.0", "2.0"):
        write_sdist(shelf / "inner", "inner", version)
    (shelf / "outer").mkdir()
    write_wheel(shelf / "outer", "outer", "1.0", requires=["inner==1.0"])
    for folder in shelf.iterdir():
        links = [
            f'<a href="{path.name}"{" data-yanked=leaks" if "inner-1" in path.name else ""}>{path.name}</a>'
            for path in folder.iterdir()
        ]
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>")
    lines = [f"--index-url {shelf.as_uri()}"]
    assert shop.wheel(*lines, "inner", name="inner").version == "2.0"
    for loose in ("inner<2", "inner==1.*"):
        with pytest.raises(Unsatisfiable):
            shop.lock(*lines, loose, file="loose.txt")
    (shop.home / "pinned.txt").write_text("\n".join([*lines, wanted]) + "\n")
    locked = shop.locked("pinned.txt")
    assert wheel_of(locked.lock, "inner").version == "1.0"
    assert any("inner 1.0 was yanked by its maintainers: leaks" in note for note in locked.notes)


def test_a_directory_that_the_source_lacks_is_said(shop: Shop) -> None:
    archive = write_sdist(shop.home, "inner")
    with pytest.raises(PackingFailed, match="has no directory nowhere") as told:
        shop.lock("--no-index", f"inner @ {archive.as_uri()}#subdirectory=nowhere")
    assert "subdirectory" in str(told.value.hint)
