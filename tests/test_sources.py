"""Projects, source distributions and repositories become wheels: the same ones everywhere, made in the cage."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from packaging.markers import Marker

from envpack import requirements
from envpack.build.pipeline import Options
from envpack.errors import BadRequirements, EnvpackError, NotReady, PackingFailed, Unsatisfiable
from envpack.lock.file import dump, parse
from envpack.requirements.sources import SourceRef, declared_name
from envpack.sources import files, wheels
from envpack.sources.checkout import RemoteRepository, check_out
from envpack.sources.files import digest_of, project_files
from envpack.tools import cage
from envpack.tools.git import Repository
from tests.support.channel import Channel
from tests.support.missing import missing
from tests.support.processes import running
from tests.support.projects import BACKENDS, IN_TREE, Shop, commit_all, git, wheel_of, write_project, write_source
from tests.support.wheels import write_wheel


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests of this module share."""
    return tmp_path_factory.mktemp("builds")


@pytest.fixture
def shop(tmp_path: Path, full_channel: Channel, builds: Path) -> Shop:
    home = tmp_path / "home"
    home.mkdir()
    return Shop(home=home, channel=full_channel, cache=builds)


# The team's own project


@pytest.mark.parametrize(
    "line",
    ["-e .", ".", "./", "features @ file://{home}", "--editable=./", "file://{home}", "features @ ./", "{home}"],
)
def test_every_way_to_name_a_project_means_the_same(tmp_path: Path, line: str) -> None:
    write_project(tmp_path)
    (tmp_path / "env.txt").write_text(line.format(home=tmp_path))
    (found,) = requirements.read(tmp_path / "env.txt").pypi
    assert (found.name, found.url, found.text) == (
        "features",
        tmp_path.as_uri(),
        f"features @ {tmp_path.as_uri()}",
    )
    assert found.source == SourceRef(kind="project", location=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[tool.poetry]\nname = 'features'\n"),
        ("setup.cfg", "[metadata]\nname = features\n"),
        ("setup.py", "import setuptools\nsetuptools.setup(name='features', version='1')\n"),
    ],
)
def test_a_project_tells_its_name_without_being_run(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert declared_name(tmp_path) == "features"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("./nothing", "'./nothing' is neither a wheel (*.whl), nor a source distribution"),
        (
            "./empty",
            "'./empty' is not a Python project: it has no pyproject.toml, no setup.py, no setup.cfg",
        ),
        ("other @ ./project", "'./project' contains the project features, not other"),
        ("./nameless", "'./nameless' does not contain the project's name; write `NAME @ ./nameless`"),
        ("./none-1.0.tar.gz", "'./none-1.0.tar.gz': this file does not exist"),
        ("git@example.com:a/b.git", "is not a URL; write git+ssh:// in front, and `/` for the `:`"),
        ("b @ git+ssh://git@example.com:a/b.git@v1", "is not a URL; write git+ssh:// in front"),
        ("-e git+git@example.com:a/b.git#egg=b", "is not a URL; write git+ssh:// in front"),
        ("hg+https://example.com/x", "has a scheme that envpack does not support; write git+https://..."),
        (
            "git+https://example.com/x",
            "does not contain the project's name; write `NAME @ git+https://example.com/x`",
        ),
        (
            "x @ git+https://example.com/x@a..b",
            "'a..b' after `@` is not a valid name of a branch, a tag or a commit",
        ),
        ("x @ git+https://example.com/x#subdirectory=../y", "the subdirectory '../y' is not inside the source"),
    ],
)
def test_a_source_that_cannot_be_built_is_refused_with_what_to_write(
    tmp_path: Path, line: str, reason: str
) -> None:
    write_project(tmp_path / "project")
    (tmp_path / "empty").mkdir()
    (tmp_path / "nameless").mkdir()
    (tmp_path / "nameless/setup.py").write_text("from setuptools import setup\nsetup(name=open('x').read())\n")
    (tmp_path / "env.txt").write_text(line)
    with pytest.raises(BadRequirements) as caught:
        requirements.read(tmp_path / "env.txt")
    assert reason in str(caught.value)


@pytest.mark.parametrize("value", ["1", "'x'", "[]", "false", "1979-05-27"])
@pytest.mark.parametrize("name", ["project", "tool"])
def test_a_project_whose_file_has_something_else_than_a_table_is_refused(
    name: str, value: str, tmp_path: Path
) -> None:
    write_project(tmp_path / "features")
    (tmp_path / "features" / "pyproject.toml").write_text(f"{name} = {value}\n")
    (tmp_path / "env.txt").write_text("./features")
    with pytest.raises(BadRequirements, match=rf"\[{name}\] is not a table"):
        requirements.read(tmp_path / "env.txt")


@pytest.mark.parametrize(
    "line",
    [
        '-e ./features ; python_version < "3.8"',
        "-e ./features; python_version<'3.8'",
        '--editable=features[plot] ; python_version < "3.8"',
        '-e "./features" ; python_version < "3.8"',
        'features @ ./features ; python_version < "3.8"',
        './features ; python_version < "3.8"',
    ],
)
def test_the_marker_of_a_local_project_decides_whether_it_is_packed(line: str, tmp_path: Path) -> None:
    write_project(tmp_path / "features")
    file = tmp_path / "env.txt"
    for marker, applies in (("<", False), (">=", True)):
        file.write_text(line.replace("<", marker))
        (found,) = requirements.read(file).pypi
        assert found.name == "features"
        assert Marker(found.marker or "").evaluate({"python_version": "3.11"}) is applies


def test_an_editable_name_is_a_directory_and_is_asked_of_no_index(tmp_path: Path) -> None:
    write_project(tmp_path / "features")
    (tmp_path / "env.txt").write_text("-e features[plot]")
    (found,) = requirements.read(tmp_path / "env.txt").pypi
    assert (found.url, found.extras) == ((tmp_path / "features").as_uri(), ("plot",))
    (tmp_path / "env.txt").write_text("-e feature")
    with pytest.raises(BadRequirements, match="'feature' is neither"):
        requirements.read(tmp_path / "env.txt")


def test_extras_of_an_egg_are_asked_for_wherever_it_stands(tmp_path: Path) -> None:
    for fragment in ("egg=x[plot]&subdirectory=y", "subdirectory=y&egg=x[plot]"):
        (tmp_path / "env.txt").write_text(f"git+https://example.com/x@v1#{fragment}")
        (found,) = requirements.read(tmp_path / "env.txt").pypi
        assert (found.name, found.extras) == ("x", ("plot",))
        assert found.source == SourceRef(
            kind="git", location="https://example.com/x", reference="v1", subdirectory="y"
        )


LISTING = """
from importlib import metadata
def listed():
    for point in metadata.entry_points(group="setuptools.file_finders"):
        yield from point.load()("")
"""
"""What setuptools does to find the data files of a package whose project uses setuptools-scm."""


def test_backends_that_look_for_files_in_git_are_told_them(shop: Shop) -> None:
    (shop.home / "shelf").mkdir()
    finder = "[setuptools.file_finders]\nscm = setuptools_scm:listed\n"
    write_wheel(
        shop.home / "shelf",
        "setuptools_scm",
        "1.0",
        files={
            "setuptools_scm.py": "def listed(directory):\n    return []\n",
            "setuptools_scm-1.0.dist-info/entry_points.txt": finder,
        },
    )
    tree = write_source(shop.home / "inner", "inner", build_requires=("setuptools-scm",), head=LISTING)
    backend = tree / "backend.py"
    packed = 'texts |= {path: pathlib.Path(path).read_text() for path in listed() if path.startswith("data/")}'
    backend.write_text(backend.read_text().replace("    texts[f", f"    {packed}\n    texts[f", 1))
    (tree / "data").mkdir()
    (tree / "data/table.csv").write_text("1\n")
    (tree / "data/left.tmp").write_text("ignored\n")
    (tree / ".gitignore").write_text("*.tmp\n")
    commit_all(tree)
    git(tree, "tag", "v1.0")
    for line in ("inner @ ./inner", f"inner @ git+{tree.as_uri()}"):
        wheel = shop.wheel("--no-index", "--find-links shelf", line, name="inner")
        assert {path for path in shop.files(wheel) if path.startswith("data/")} == {"data/table.csv"}


def test_a_name_that_is_not_utf_8_counts_as_any_other(tmp_path: Path) -> None:
    write_project(tmp_path)
    before = digest_of(tmp_path, project_files(tmp_path))
    (tmp_path / os.fsdecode(b"new\nline \xff.txt")).write_text("x")
    assert digest_of(tmp_path, project_files(tmp_path)) != before


def test_a_project_in_a_folder_brings_its_data_and_its_programs(shop: Shop) -> None:
    write_project(shop.home / "libs/features", dependencies=("six",))
    lock = shop.lock("./libs/features")
    wheel = wheel_of(lock, "features")
    assert wheel.url == "./libs/features"
    assert {"features/__init__.py", "features/table.csv", "features-1.0.dist-info/entry_points.txt"} < {
        *shop.files(wheel)
    }
    assert [each.name for each in lock.wheels] == ["features", "six"]
    assert parse(dump(lock), "env.txt.lock") == lock


@pytest.mark.parametrize(
    "backend", [each if each == "flit" else pytest.param(each, marks=pytest.mark.acceptance) for each in BACKENDS]
)
def test_a_wheel_is_the_same_from_another_directory_at_another_time(
    tmp_path: Path, full_channel: Channel, builds: Path, backend: str
) -> None:
    found = []
    for number, (place, mask) in enumerate([("one", 0o022), ("somewhere else", 0o077)]):
        before = os.umask(mask)
        try:
            home = tmp_path / place
            home.mkdir()
            write_project(home / "features", backend=BACKENDS[backend])
        finally:
            os.umask(before)
        for path in home.rglob("*"):
            os.utime(path, (86400 * (number + 1) * 9000,) * 2)
        shutil.rmtree(builds / "built", ignore_errors=True)
        desk = Shop(home=home, channel=full_channel, cache=builds)
        found.append(desk.wheel("./features"))
    assert found[0] == found[1]
    with zipfile.ZipFile(desk.file(found[1])) as wheel:
        assert {info.date_time[0] for info in wheel.infolist()} == {2020}
        assert not any(str(tmp_path).encode() in wheel.read(name) for name in wheel.namelist())


def test_only_the_files_that_a_build_reads_count(tmp_path: Path) -> None:
    home = write_project(tmp_path / "home")
    (home / ".gitignore").write_text("ignored.txt\n")
    commit_all(home)
    store = home / "store"

    def now() -> str:
        return digest_of(home, project_files(home, without=[store]))

    before = now()
    (home / "ignored.txt").write_text("x")
    store.mkdir()
    (store / "archive").write_text("x")
    (home / "env.txt.lock").write_text("# Written by `envpack lock`. Do not edit\n")
    os.utime(home / "pyproject.toml", (1, 1))
    (home / "features/__init__.py").chmod(0o600)
    assert now() == before
    for change in (
        lambda: (home / "features/new.py").write_text(""),
        lambda: (home / "features/__init__.py").write_text("x = 1\n"),
        lambda: (home / "features/__init__.py").chmod(0o755),
        (home / "features/table.csv").unlink,
    ):
        change()
        assert now() != before
        before = now()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside.csv", "way/../../outside.csv"])
def test_a_link_out_of_a_project_is_refused(tmp_path: Path, target: str) -> None:
    shop = write_project(tmp_path / "shop")
    (tmp_path / "outside.csv").write_text("of this machine")
    (shop / "features/way").symlink_to("..")
    (shop / "features/inside.csv").symlink_to("table.csv")
    files.copy(shop, project_files(shop), tmp_path / "copied")
    (shop / "features/link.csv").symlink_to(target)
    with pytest.raises(PackingFailed, match=r"features/link.csv is a link to .*, which is outside the project"):
        files.copy(shop, project_files(shop), tmp_path / "again")


def test_what_variables_configure_git_with_holds_beside_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (("COUNT", "1"), ("KEY_0", "http.proxy"), ("VALUE_0", "http://proxy.example")):
        monkeypatch.setenv(f"GIT_CONFIG_{variable}", value)
    listed = RemoteRepository("https://me:word@git.example/x", tmp_path).git("config", "--list")
    assert "http.proxy=http://proxy.example" in listed
    assert "http.https://git.example/.extraheader=Authorization: Basic" in listed


def test_a_hook_of_another_repository_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, shop = write_project(tmp_path / "other", name="other"), write_project(tmp_path / "shop")
    commit = (commit_all(other), commit_all(shop))[1]
    for variable, place in (("DIR", ""), ("INDEX_FILE", "/index"), ("COMMON_DIR", "")):
        monkeypatch.setenv(f"GIT_{variable}", f"{other}/.git{place}")
    monkeypatch.setenv("GIT_PREFIX", "")
    before = (other / ".git/index").read_bytes()
    assert "features/table.csv" in project_files(shop)
    source = SourceRef(kind="git", location=shop.as_uri(), reference="main")
    assert check_out(source, tmp_path / "checkout")[0] == commit
    assert (other / ".git/index").read_bytes() == before


def test_a_project_of_another_user_is_not_read_as_if_git_ignored_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(tmp_path / "features")
    git(project, "init", "--quiet")
    assert "pyproject.toml" in project_files(project)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(NotReady, match="another user owns its directory") as refused:
        project_files(project)
    assert "safe.directory" in str(refused.value.hint)


def test_a_virtual_environment_without_git_is_not_the_projects(tmp_path: Path) -> None:
    shop = write_project(tmp_path / "shop", files={"env/pyvenv.cfg": "", "env/lib/x.py": ""})
    (shop / "env/python").symlink_to(sys.executable)
    assert not any(name.startswith("env/") for name in project_files(shop))


def test_the_files_of_submodules_are_the_projects(tmp_path: Path) -> None:
    inner = write_project(tmp_path / "inner", name="inner")
    commit_all(inner)
    outer = write_project(tmp_path / "outer")
    commit_all(outer)
    git(outer, "submodule", "--quiet", "add", str(inner), "libs/inner")
    (outer / "libs/inner/new.py").write_text("")
    found = project_files(outer)
    assert {"libs/inner/inner/table.csv", "libs/inner/new.py", "features/table.csv"} <= {*found}
    assert not any("/.git" in name for name in found)


def test_without_git_what_tools_leave_behind_does_not_count(tmp_path: Path) -> None:
    home = write_project(tmp_path / "home")
    before = project_files(home)
    for name in (
        "build/x.py",
        "dist/x.whl",
        "features/__pycache__/x.pyc",
        ".venv/bin/python",
        "features.egg-info/a",
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("")
    assert project_files(home) == before == ["features/__init__.py", "features/table.csv", "pyproject.toml"]


def test_a_changed_line_builds_the_project_and_solves_nothing(shop: Shop) -> None:
    write_project(shop.home, dependencies=("six",))
    first = shop.lock("-e .")
    assert not shop.locked().solved
    (shop.home / "features/__init__.py").write_text("x = 1\n")
    locked = shop.locked(options=Options(locked=True))
    assert not locked.solved
    assert wheel_of(locked.lock, "features").sha256 != wheel_of(first, "features").sha256
    assert wheel_of(locked.lock, "six") == wheel_of(first, "six")
    assert locked.lock.request != first.request
    assert locked.lock.frame == first.frame


def test_a_project_that_needs_something_else_makes_the_lock_stale(shop: Shop) -> None:
    write_project(shop.home)
    shop.lock("-e .")
    text = (shop.home / "pyproject.toml").read_text()
    (shop.home / "pyproject.toml").write_text(text.replace("dependencies = []", 'dependencies = ["six"]'))
    with pytest.raises(BadRequirements, match="does not match"):
        shop.locked(options=Options(locked=True))
    assert [wheel.name for wheel in shop.locked().lock.wheels] == ["features", "six"]


def test_what_a_project_says_of_itself_may_change_without_a_solve(shop: Shop) -> None:
    write_project(shop.home, dependencies=("six",))
    shop.lock("-e .")
    text = (shop.home / "pyproject.toml").read_text()
    (shop.home / "pyproject.toml").write_text(text.replace("of a test", "of a test again").replace("1.0", "1.1"))
    locked = shop.locked(options=Options(locked=True))
    assert (locked.solved, wheel_of(locked.lock, "features").version) == (False, "1.1")


def test_without_project_only_what_it_needs_is_had(shop: Shop) -> None:
    write_project(shop.home, dependencies=("six",))
    lock = shop.lock("-e .", without_project=True)
    assert [wheel.name for wheel in lock.wheels] == ["six"]
    assert lock.requested == ()
    (shop.home / "features/__init__.py").write_text("x = 1\n")
    assert shop.locked(options=Options(locked=True), without_project=True).lock == lock


def test_without_project_a_change_of_what_its_build_reads_for_its_needs_counts(shop: Shop) -> None:
    tree = shop.home / "inner"
    write_source(tree, "inner", head="import pathlib\nNEEDS = pathlib.Path('needs.in').read_text().split()\n")
    backend = tree / "backend.py"
    backend.write_text(backend.read_text().replace("'inner', '1.0', []", "'inner', '1.0', NEEDS"))
    (tree / "needs.in").write_text("six")
    assert [wheel.name for wheel in shop.lock("inner @ ./inner", without_project=True).wheels] == ["six"]
    (tree / "needs.in").write_text("idna")
    assert [wheel.name for wheel in shop.locked(without_project=True).lock.wheels] == ["idna"]


def test_the_configuration_names_a_project_for_all_requirements(shop: Shop) -> None:
    write_project(shop.home / "libs")
    (shop.home / "envpack.yaml").write_text("project: libs\n")
    lock = shop.lock("six")
    assert [wheel.name for wheel in lock.wheels] == ["features", "six"]
    assert wheel_of(lock, "features").url == "./libs"


def test_what_is_needed_by_a_path_is_named(shop: Shop) -> None:
    write_source(shop.home / "inner", "inner", requires=("other @ file:///build/other",))
    write_source(shop.home / "other", "other")
    with pytest.raises(Unsatisfiable, match="inner needs other by a path"):
        shop.lock("other @ ./other", "inner @ ./inner")


def test_builds_can_be_forbidden(shop: Shop) -> None:
    write_project(shop.home)
    for forbidden in (":all:", "Features"):
        with pytest.raises(Unsatisfiable, match=r"env\.txt:1: features would be built from its source"):
            shop.lock(".", no_build=(forbidden,))


def test_a_build_that_fails_says_why(shop: Shop) -> None:
    write_project(shop.home, backend=IN_TREE, files={"backend.py": "raise SystemExit('no luck today')\n"})
    with pytest.raises(PackingFailed, match="features could not be built: no luck today"):
        shop.lock(".")


@pytest.mark.parametrize(
    ("requires", "reason"),
    [
        ('["x @ https://example.com/x.whl"]', "x has a URL"),
        ('["not a name!"]', "is not a valid requirement"),
        ("7", "requires is not a list of strings"),
        ('[]\nbackend-path = ["../.."]', "is outside the project"),
    ],
)
def test_a_build_system_that_cannot_be_had_is_refused(shop: Shop, requires: str, reason: str) -> None:
    write_project(shop.home)
    text = (shop.home / "pyproject.toml").read_text()
    (shop.home / "pyproject.toml").write_text(text.replace('["flit_core >=3.9"]', requires))
    with pytest.raises(EnvpackError, match=reason):
        shop.lock(".")


HOSTILE = """
import json, os, pathlib, socket, subprocess, sys, time, zipfile
def tried(what):
    try:
        return repr(what())
    except Exception as error:
        return f"refused: {type(error).__name__}"
def connect():
    with socket.create_connection(("127.0.0.1", PORT), 2):
        return "connected"
def leave():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)  # MARK"])
        os._exit(0)
def build_wheel(out, settings=None, metadata=None):
    leave()
    seen = {
        "environment": dict(os.environ),
        "home": tried(lambda: os.listdir(os.path.expanduser("~"))),
        "secret": tried(lambda: pathlib.Path("SECRET").read_text()),
        "written": tried(lambda: pathlib.Path("OUTSIDE").write_text("x")),
        "network": tried(connect),
    }
    info = "features-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(out, "features-1.0-py3-none-any.whl"), "w") as wheel:
        texts = {
            "features.json": json.dumps(seen),
            f"{info}/METADATA": "Metadata-Version: 2.1\\nName: features\\nVersion: 1.0\\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        }
        record = "".join(f"{path},,\\n" for path in (*texts, f"{info}/RECORD"))
        for path, text in {**texts, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)
    return "features-1.0-py3-none-any.whl"
"""


def test_nothing_gets_out_of_a_hostile_build(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if cage.examine().level not in ("full", "strong"):
        missing("this machine cannot confine packaged code")
    secret, outside, mark = tmp_path / "secret", tmp_path / "outside", f"mark-{tmp_path.name}-{os.getpid()}"
    secret.write_text("the password")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret of this test")
    monkeypatch.setenv("HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: _accept(server), daemon=True).start()
        text = HOSTILE.replace("PORT", str(server.getsockname()[1])).replace("SECRET", str(secret))
        text = text.replace("OUTSIDE", str(outside)).replace("MARK", mark)
        write_project(shop.home, backend=IN_TREE, files={"backend.py": text})
        wheel = shop.wheel(".")
    seen = json.loads(zipfile.ZipFile(shop.file(wheel)).read("features.json"))
    assert "a secret of this test" not in json.dumps(seen)
    assert "AWS_SECRET_ACCESS_KEY" not in seen["environment"]
    assert seen["home"] == "[]"
    assert {seen[what].partition(":")[0] for what in ("secret", "written", "network")} == {"refused"}
    assert not outside.exists()
    deadline = time.monotonic() + 10
    while running(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running(mark)


MEDDLING = {
    "puts a link in the place of its output": """
import os, pathlib
def build_wheel(out, settings=None, metadata=None):
    os.rmdir(out)
    os.symlink("ELSEWHERE", out)
    return "features-1.0-py3-none-any.whl"
""",
    "takes its own source away": """
import os, pathlib, sys
def build_wheel(out, settings=None, metadata=None):
    here = os.getcwd()
    os.chdir("/")
    os.rename(here, here + "-gone")
    return "features-1.0-py3-none-any.whl"
""",
    "makes a wheel that is a bomb": """
import os, zipfile
def build_wheel(out, settings=None, metadata=None):
    name = "features-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(out, name), "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("features/bomb", bytes(MEGABYTE + 1))
    return name
""",
}


@pytest.mark.parametrize(
    ("what", "said"),
    [*zip(MEDDLING, ("made no wheel", "deleted its own source", "made a wheel of more than"), strict=True)],
)
def test_a_build_that_meddles_ends_in_an_error(
    shop: Shop, tmp_path: Path, what: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_wheel(elsewhere, "features", "1.0")
    monkeypatch.setattr(wheels, "MOST_BYTES", 1 << 20)
    text = MEDDLING[what].replace("ELSEWHERE", str(elsewhere)).replace("MEGABYTE", str(1 << 20))
    write_project(shop.home, backend=IN_TREE, files={"backend.py": text})
    with pytest.raises(EnvpackError, match=said):
        shop.wheel(".")


def _accept(server: socket.socket) -> None:
    try:
        server.accept()
    except OSError:
        return


@pytest.mark.parametrize("reference", ["--upload-pack=touch {mark};git-upload-pack", "--output={mark}", "-o"])
def test_a_reference_is_never_an_option_of_git(tmp_path: Path, reference: str) -> None:
    write_project(tmp_path / "theirs")
    commit_all(tmp_path / "theirs")
    mark = tmp_path / "mark"
    location = (tmp_path / "theirs").as_uri()
    asked = SourceRef(kind="git", location=location, reference=reference.format(mark=mark))
    with pytest.raises(EnvpackError):
        check_out(asked, tmp_path / "into")
    repository = Repository(tmp_path / "theirs")
    git = subprocess.run(["git", "-C", tmp_path / "theirs", "remote", "add", "origin", location], check=True)
    assert git.returncode == 0
    repository.fetched(asked.reference)
    assert not mark.exists()
