"""pyproject.toml, pylock.toml, uv.lock, standard input and several files: what they are read as."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.markers import Marker
from uv import find_uv_bin

from envpack import requirements
from envpack.build.pipeline import write_pylock
from envpack.config.target import Target
from envpack.errors import BadRequirements, Unsatisfiable
from tests.support.channel import Channel
from tests.support.command import Desk
from tests.support.projects import Shop, write_sdist, write_source
from tests.support.wheels import write_wheel

PYPROJECT = """
[project]
name = "app"
version = "1"
requires-python = ">=3.10,<4"
dependencies = [
    "requests>=2",
    "six; python_version < '3'",
]
[project.optional-dependencies]
plot = ["idna"]
all = ["app[plot]", "certifi"]
[dependency-groups]
dev = ["attrs", {include-group = "test"}]
test = ["iniconfig"]
"""


def names(path: Path, **given: tuple[str, ...]) -> list[str]:
    return [line.name for line in requirements.read(path, **given).pypi]  # type: ignore[arg-type] # names of options


def test_a_pyproject_asks_for_what_its_project_needs(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(PYPROJECT)
    asked = requirements.read(path)
    assert [(line.text, line.origin.line) for line in asked.pypi] == [
        ("requests>=2", 7),
        ('six; python_version < "3"', 8),
    ]
    assert (asked.stem, asked.conda_first, asked.requires_python) == ("app", True, "<4,>=3.10")
    assert names(path, extras=("all",)) == ["requests", "six", "certifi", "idna"]
    assert names(path, groups=("dev",)) == ["requests", "six", "attrs", "iniconfig"]


@pytest.mark.parametrize(
    ("text", "given", "reason"),
    [
        ("[project", {}, "is not TOML"),
        ("[tool.black]\nx = 1", {}, "has neither [project] nor [dependency-groups]"),
        (PYPROJECT, {"extras": ("plott",)}, "has no extra plott; did you mean plot?"),
        (PYPROJECT, {"groups": ("tests",)}, "has no dependency group tests; did you mean test?"),
        (
            "[dependency-groups]\na = [{include-group='a'}]",
            {"groups": ("a",)},
            "include each other in a cycle: a -> a",
        ),
        ("[project]\nname='x'\ndynamic=['dependencies']", {}, "dependencies are worked out by its build"),
        (
            "[project]\nname='x'\nrequires-python='3'\ndependencies=['six']",
            {},
            "requires-python '3' is not a version",
        ),
        ("[project]\nname='x'\ndependencies=['six=1']", {}, ":3: 'six=1' is not a valid requirement"),
        ("[project]\nname='x'\ndependencies='six'", {}, ":3: dependencies is not a list of strings"),
        ("[project]\nname='x'\ndependencies=['six', 5]", {}, ":3: dependencies is not a list of strings"),
        ("[project]\nname='x'\n[project.optional-dependencies]\na='six'", {}, ":4: the extra a is not a list"),
        ("[dependency-groups]\na='six'", {}, ":2: the group a is not a list"),
        ("project=5", {}, ":1: project is not a table"),
        ("[project]\nname='x", {}, ":2: is not TOML"),
        ("[project]\nname x", {}, ":2: is not TOML"),
        ("[project]\nname='x'\n[tool.uv.index]\nname='a'", {}, ":3: index is not a list of tables"),
        ("[project]\nname='x'\n[[tool.uv.index]]\nname='a'", {}, ":4: the index a has no url"),
        ("[project]\nname='x'\n[tool.uv.sources]\nsix='a'", {}, ":4: the source of six is not a table"),
        ("[project]\nname='x'\n[tool.uv]\nextra-index-url='a'", {}, ":4: extra-index-url of [tool.uv]"),
    ],
)
def test_a_pyproject_that_cannot_be_read_says_why(
    tmp_path: Path, text: str, given: dict[str, tuple[str, ...]], reason: str
) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(text)
    with pytest.raises(BadRequirements) as caught:
        names(path, **given)
    assert reason in str(caught.value)


def test_older_settings_of_uv_name_indexes_and_folders_as_well(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    (tmp_path / "my shelf").mkdir()
    text = "[project]\nname='x'\nversion='1'\ndependencies=['six']\n[tool.uv]\n"
    path.write_text(text + "index-url='https://a.example/simple'\nextra-index-url=['https://b.example/simple']\n")
    found = requirements.read(path).indexes
    assert (found.index_url, found.extra_index_urls) == ("https://a.example/simple", ("https://b.example/simple",))
    path.write_text(text + "no-index=true\nfind-links=['my shelf']\n")
    found = requirements.read(path).indexes
    assert (found.no_index, found.find_links) == (True, (str(tmp_path / "my shelf"),))


def test_an_index_of_uvs_sources_owns_a_name_that_only_another_package_needs(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    text = "[project]\nname='x'\nversion='1'\ndependencies=['six']\n[tool.uv.sources]\nacme-core={index='p'}\n"
    path.write_text(text + "[[tool.uv.index]]\nname='p'\nurl='https://p.example/simple'\nexplicit=true\n")
    assert requirements.read(path).indexes.owner_of("acme-core") == "https://p.example/simple"
    path.write_text(text)
    with pytest.raises(BadRequirements, match=r":6: acme-core uses the index p, which"):
        requirements.read(path)


UV = """
[project]
name = "app"
version = "1"
dependencies = ["a[x]>=1 ; python_version > '3'", "b", "c", "d", "e", "f"]
[project.optional-dependencies]
gpu = ["g"]
[tool.uv.sources]
A = { git = "https://example.com/a.git", tag = "v1", subdirectory = "libs/a" }
b = { path = "libs/b", editable = true }
c = { url = "https://example.com/c-1-py3-none-any.whl" }
d = { index = "acme" }
e = [
  { git = "ssh://git@example.com/e", marker = "sys_platform == 'linux'" },
  { index = "acme", marker = "sys_platform != 'linux'" },
]
g = { index = "acme", extra = "gpu" }
[[tool.uv.index]]
name = "acme"
url = "https://pypi.acme.example/simple"
explicit = true
[[tool.uv.index]]
url = "https://mirror.example/simple"
default = true
[[tool.uv.index]]
name = "more"
url = "https://more.example/simple"
"""


def test_where_uv_would_take_a_requirement_from_is_where_it_comes_from(tmp_path: Path) -> None:
    write_source(tmp_path / "libs/b", "b")
    path = tmp_path / "pyproject.toml"
    path.write_text(UV)
    asked = requirements.read(path, extras=("gpu",))
    assert [(line.name, line.url or line.specifier, line.marker) for line in asked.pypi] == [
        ("a", "git+https://example.com/a.git@v1#subdirectory=libs/a", 'python_version > "3"'),
        ("b", (tmp_path / "libs/b").as_uri(), None),
        ("c", "https://example.com/c-1-py3-none-any.whl", None),
        ("d", "", None),
        ("e", "git+ssh://git@example.com/e", 'sys_platform == "linux"'),
        ("e", "", 'sys_platform != "linux"'),
        ("e", "", 'sys_platform != "linux" and sys_platform == "linux"'),
        ("f", "", None),
        ("g", "", None),
    ]
    acme = "https://pypi.acme.example/simple"
    assert asked.indexes.index_url == "https://mirror.example/simple"
    assert asked.indexes.extra_index_urls == ("https://more.example/simple",)
    assert asked.indexes.owners == (("d", acme), ("e", acme), ("g", acme))
    for broken, reason in (
        (UV.replace('d = { index = "acme" }', "d = { workspace = true }"), "d is a member of the uv workspace"),
        (
            UV.replace('d = { index = "acme" }', 'd = { index = "other" }'),
            "which no [[tool.uv.index]] of this file defines",
        ),
        (UV.replace("https://pypi.acme.example", "pypi.acme.example"), "begin it with https://"),
        (
            UV.replace("sys_platform == 'linux'", "sys_platform === 'linux'"),
            "e: the marker in [tool.uv.sources] is not",
        ),
        (UV.replace("sys_platform == 'linux'", "(" * 3000), "e: the marker in [tool.uv.sources] is not valid"),
        (UV.replace('"libs/b"', '"--hash x"'), "b: its path must be a string without spaces"),
    ):
        path.write_text(broken)
        with pytest.raises(BadRequirements) as caught:
            requirements.read(path)
        assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("marker", "line", "there"),
    [
        ("sys_platform == 'darwin'", "a>=1", {"a": ">=1"}),
        ("sys_platform == 'darwin'", "a>=1 ; os_name == 'nt'", {}),
        ("sys_platform == 'linux'", "a>=1", {"a": "https://example.com/a-1-py3-none-any.whl"}),
        ("python_version < '3.9' or sys_platform == 'darwin' and os_name == 'posix'", "a>=1", {"a": ">=1"}),
        ("(python_version < '3.9' or 'lin' in sys_platform) and os_name not in 'posix'", "a>=1", {"a": ">=1"}),
    ],
)
def test_where_no_source_of_uv_applies_the_indexes_are_asked(
    tmp_path: Path, marker: str, line: str, there: dict[str, str]
) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(
        f'[project]\nname = "app"\ndependencies = ["{line}"]\n[tool.uv.sources]\n'
        f'a = {{ url = "https://example.com/a-1-py3-none-any.whl", marker = "{marker}" }}\n'
    )
    assert needed(path) == there


def uv(directory: Path, *arguments: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    subprocess.run([find_uv_bin(), *arguments, "--quiet"], cwd=directory, env=kept, check=True)


@pytest.fixture
def app(tmp_path: Path, channel: Channel, warm_cache: Path) -> Shop:
    """A project that uv has locked: with a wheel, a source distribution, a folder and markers."""
    home = tmp_path / "app"
    home.mkdir()
    shelf = home / "shelf"
    write_sdist(shelf, "inner")
    write_wheel(shelf, "outer", "1.0", requires=["inner; python_version >= '3'", "never; python_version < '3'"])
    write_wheel(shelf, "never", "1.0")
    write_wheel(shelf, "plot", "1.0")
    write_wheel(shelf, "tester", "1.0")
    write_source(home / "libs/local", "local")
    with (home / "libs/local/pyproject.toml").open("a") as file:
        file.write('[project]\nname = "local"\nversion = "1.0"\n')
    (home / "pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["outer", "local"]\n'
        '[project.optional-dependencies]\nplot = ["plot"]\n[dependency-groups]\ndev = ["tester"]\n'
        '[tool.uv]\nfind-links = ["./shelf"]\nno-index = true\nno-build-package = ["outer"]\n'
        '[tool.uv.sources]\nlocal = { path = "libs/local" }\n'
        '[[tool.uv.dependency-metadata]]\nname = "inner"\nversion = "1.0"\n'
    )
    return Shop(home=home, channel=channel, cache=warm_cache)


@pytest.mark.acceptance
def test_an_environment_holds_what_uv_has_locked(app: Shop) -> None:
    uv(app.home, "lock")
    uv(app.home, "export", "--no-dev", "--format", "pylock.toml", "--output-file", "pylock.toml")
    for file in ("uv.lock", "pylock.toml"):
        lock = app.locked(file).lock
        assert [wheel.name for wheel in lock.wheels] == ["inner", "local", "outer"], file
        assert [wheel.made is not None for wheel in lock.wheels] == [True, True, False], file
    assert [wheel.name for wheel in app.locked("uv.lock", extra=("plot",), group=("dev",)).lock.wheels] == [
        "inner",
        "local",
        "outer",
        "plot",
        "tester",
    ]


@pytest.mark.acceptance
def test_what_a_lock_names_comes_from_a_channel_only_where_that_is_asked_for(app: Shop) -> None:
    """The channel has a package of the same name and version."""
    write_wheel(app.home / "shelf", "activated", "1.0")
    project = app.home / "pyproject.toml"
    project.write_text(project.read_text().replace('["outer", "local"]', '["outer", "activated"]'))
    uv(app.home, "lock")
    uv(app.home, "export", "--no-dev", "--format", "pylock.toml", "--output-file", "pylock.toml")
    for file in ("uv.lock", "pylock.toml"):
        for asked in ((), ("activated",)):
            lock = app.locked(file, from_conda=asked).lock
            places = [{str(each.name) for each in part} for part in (lock.wheels, lock.packages)]
            assert ["activated" in names for names in places] == [not asked, bool(asked)], (file, asked)


def test_a_locked_directory_may_have_blanks_and_an_extra_is_found_however_it_is_written(tmp_path: Path) -> None:
    for folder in ("my libs/fü", "lib"):
        write_source(tmp_path / folder, "inner")
    lock = 'version = 1\n[[package]]\nname = "app"\nsource = { virtual = "." }\n'
    lock += '[package.optional-dependencies]\nfine-plots = [{ name = "inner" }]\n'
    lock += '[[package]]\nname = "inner"\nsource = { editable = "PLACE" }\n'
    for place, found in (("my libs/fü", "my libs/fü"), ("./lib", "lib"), (str(tmp_path / "lib"), "lib")):
        path = tmp_path / "uv.lock"
        path.write_text(lock.replace("PLACE", place))
        (line,) = requirements.read(path, extras=("Fine_Plots",)).pypi
        assert line.url == (tmp_path / found).as_uri()


def test_what_conflicting_extras_need_is_taken_for_the_chosen_one(tmp_path: Path) -> None:
    lock = 'version = 1\n[[package]]\nname = "app"\nsource = { virtual = "." }\n'
    lock += 'dependencies = [{ name = "a", version = "1", marker = "extra == \'extra-3-app-cpu\'" },'
    lock += (
        '{ name = "a", version = "2", marker = "extra != \'extra-3-app-cpu\' or extra == \'extra-3-app-gpu\'" }]\n'
    )
    lock += "[package.optional-dependencies]\ncpu = []\ngpu = []\n"
    for version in "12":
        lock += (
            f'[[package]]\nname = "a"\nversion = "{version}"\nsource = {{ registry = "https://pypi.org/simple" }}\n'
        )
        wheel = f'url = "https://example.com/a-{version}-py3-none-any.whl", hash = "sha256:{"0" * 64}"'
        lock += f"wheels = [{{ {wheel} }}]\n"
    (tmp_path / "uv.lock").write_text(lock)
    for extras, version in (((), "2"), (("cpu",), "1"), (("gpu",), "2")):
        assert needed(tmp_path / "uv.lock", extras=extras) == {"a": f"=={version}"}


def test_markers_of_a_uv_lock_come_together_on_the_way(tmp_path: Path) -> None:
    wheel = 'wheels = [{ url = "https://example.com/NAME-1-py3-none-any.whl", hash = "sha256:' + "0" * 64 + '" }]\n'
    registry = 'version = "1"\nsource = { registry = "https://pypi.org/simple" }\n'
    text = 'version = 1\nrequires-python = ">=3.10"\n[[package]]\nname = "app"\nversion = "1"\n'
    text += 'source = { virtual = "." }\ndependencies = [{ name = "a", marker = "python_version < \'3.12\'" }, '
    text += '{ name = "b" }, { name = "c", marker = "os_name == \'nt\'" }]\n'
    for name, needs in (
        ("a", '[{ name = "d", marker = "sys_platform == \'linux\'" }]'),
        ("b", '[{ name = "a", marker = "python_version > \'3.13\'" }, { name = "b" }]'),
        ("c", '[{ name = "b" }]'),
        ("d", '[{ name = "a" }]'),
    ):
        text += f'[[package]]\nname = "{name}"\n{registry}dependencies = {needs}\n{wheel.replace("NAME", name)}'
    path = tmp_path / "uv.lock"
    path.write_text(text)
    found = {str(line.name): line.marker for line in requirements.read(path).pypi}
    assert found["b"] is None

    def holds(name: str, python: str) -> bool:
        marker = found[name]
        return marker is None or Marker(marker).evaluate({**Target().marker_environment(python), "extra": ""})

    for name in ("a", "d"):
        assert [holds(name, python) for python in ("3.11.1", "3.12.1", "3.14.1")] == [True, False, True], name
    assert not holds("c", "3.11.1")


def test_groups_and_extras_of_a_pylock_are_chosen(tmp_path: Path) -> None:
    text = 'lock-version = "1.0"\ndefault-groups = ["base"]\n'
    for name, marker in (
        ("a", "'base' in dependency_groups"),
        ("b", "'dev' in dependency_groups or 'x' in extras"),
        ("c", "'x' not in extras"),
    ):
        text += f'[[packages]]\nname = "{name}"\nversion = "1"\nmarker = "{marker}"\n'
        url = f"https://example.com/{name}-1-py3-none-any.whl"
        text += f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{"0" * 64}" }} }}]\n'
    path = tmp_path / "pylock.toml"
    path.write_text(text)

    def chosen(**given: tuple[str, ...]) -> str:
        asked = requirements.read(path, **given).pypi  # type: ignore[arg-type] # names of options
        environment = {**Target().marker_environment("3.12.1"), "extra": ""}
        return "".join(line.name for line in asked if not line.marker or Marker(line.marker).evaluate(environment))

    assert chosen() == "ac"
    assert chosen(groups=("DEV",)) == "bc"
    assert chosen(extras=("X",)) == "ab"


@pytest.mark.parametrize(
    ("environments", "fits"),
    [
        ("[\"sys_platform == 'win32'\", \"sys_platform == 'linux'\"]", True),
        ("[\"sys_platform == 'win32'\", \"sys_platform == 'darwin'\"]", False),
        ('["sys_platform =="]', None),
    ],
)
def test_a_pylock_is_for_its_own_environments(app: Shop, environments: str, fits: bool | None) -> None:
    wheel = app.home / "shelf/plot-1.0-py3-none-any.whl"
    digits = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (app.home / "pylock.toml").write_text(
        f'lock-version = "1.0"\nenvironments = {environments}\nextras = ["x"]\n'
        '[[packages]]\nname = "plot"\nversion = "1.0"\n'
        f'wheels = [{{ url = "{wheel.as_uri()}", hashes = {{ sha256 = "{digits}" }} }}]\n'
    )
    if fits:
        assert [each.name for each in app.locked("pylock.toml").lock.wheels] == ["plot"]
        with pytest.raises(BadRequirements, match="has no extra y"):
            app.locked("pylock.toml", extra=("y",))
    elif fits is None:
        with pytest.raises(BadRequirements, match=r"pylock.toml:2: 'sys_platform ==' is not a marker"):
            app.locked("pylock.toml")
    else:
        with pytest.raises(Unsatisfiable, match=r"is not locked for linux-64 with Python 3\.\S+, but for"):
            app.locked("pylock.toml")


def test_standard_input_and_several_files_are_one_environment(desk: Desk) -> None:
    shelf = desk.home / "shelf"
    shelf.mkdir()
    for name in ("one", "two"):
        write_wheel(shelf, name, "1.0")
    desk.write("a.txt", "--no-index", "--find-links shelf", "one")
    desk.write("b.txt", "two")
    ran = desk.run("lock", "-r", "a.txt", "-r", "b.txt", "--name", "both", "--output", "json")
    assert ran.code == 0, ran.err
    assert {package["name"] for package in ran.json()["packages"]} > {"one", "two"}
    assert (desk.home / "both.txt.lock").is_file()
    command = desk.command("lock", "-", "--name", "piped", "--output", "json")
    given = {"cwd": desk.home, "env": desk.environment, "capture_output": True, "text": True}
    done = subprocess.run(command, input="-r a.txt\n", **given)  # type: ignore[call-overload] # options of a process
    assert done.returncode == 0, done.stderr
    assert (desk.home / "piped.txt.lock").is_file()
    for arguments, reason in (
        (["-"], "need a name"),
        ([], "give one FILE"),
        (["a.txt", "-r", "b.txt"], "give one FILE"),
    ):
        ran = desk.run("lock", *arguments)
        assert (ran.code, reason in ran.err) == (2, True)


def test_a_lock_is_written_as_pylock_and_is_the_same_environment_when_it_is_read(app: Shop) -> None:
    lock = app.lock("--no-index", "--find-links shelf", "outer", "./libs/local")
    path = write_pylock(app.home / "env.txt", lock)
    assert path.name == "pylock.env.toml"
    again = app.locked(path.name).lock
    assert [(wheel.name, wheel.sha256) for wheel in again.wheels] == [
        (wheel.name, wheel.sha256) for wheel in lock.wheels
    ]
    # uv reads it, too.
    here = ("--python", sys.executable, "--target", "there")
    uv(app.home, "pip", "install", "--dry-run", *here, "--offline", "--requirements", path.name)


POETRY = """# This file is automatically @generated by Poetry 2.1.4 and should not be changed by hand.

[[package]]
name = "attrs"
version = "25.4.0"
optional = false
python-versions = ">=3.9"
groups = ["lint"]
files = [
    {file = "attrs-25.4.0-py3-none-any.whl", hash = "sha256:ONE"},
]

[[package]]
name = "colorama"
version = "0.4.6"
optional = false
groups = ["main"]
markers = "sys_platform == \\"win32\\""
files = [
    {file = "colorama-0.4.6-py2.py3-none-any.whl", hash = "sha256:ONE"},
    {file = "colorama-0.4.6.tar.gz", hash = "sha256:TWO"},
]

[[package]]
name = "idna"
version = "3.11"
optional = true
groups = ["main", "dev"]
files = [
    {file = "idna-3.11-py3-none-any.whl", hash = "sha256:ONE"},
]

[package.markers]
main = "extra == \\"plot\\" and python_version > \\"3\\""

[[package]]
name = "inner"
version = "1.0"
optional = false
groups = ["main"]
files = []

[package.source]
type = "git"
url = "https://example.com/inner.git"
reference = "main"
resolved_reference = "0123456789012345678901234567890123456789"
subdirectory = "libs/inner"

[[package]]
name = "local"
version = "1.0"
optional = false
groups = ["main"]
files = []
develop = true

[package.source]
type = "directory"
url = "libs/local"

[[package]]
name = "private"
version = "2.0"
optional = false
groups = ["main"]
files = [
    {file = "private-2.0-py3-none-any.whl", hash = "sha256:ONE"},
]

[package.source]
type = "legacy"
url = "https://pypi.acme.example/simple"
reference = "acme"

[extras]
plot = ["idna"]

[metadata]
lock-version = "2.1"
python-versions = "^3.10"
content-hash = "THREE"
""".replace("ONE", "1" * 64).replace("TWO", "2" * 64)


def poetry_lock(folder: Path, text: str = POETRY) -> Path:
    write_source(folder / "libs/local", "local")
    (folder / "poetry.lock").write_text(text)
    return folder / "poetry.lock"


def needed(path: Path, **given: tuple[str, ...]) -> dict[str, str]:
    """Return what is needed with Python 3.12 on Linux, by name, as its line has it."""
    asked = requirements.read(path, **given).pypi  # type: ignore[arg-type] # names of options
    environment = {**Target().marker_environment("3.12.1"), "extra": ""}
    return {
        str(line.name): line.specifier or str(line.address or line.url)
        for line in asked
        if not line.marker or Marker(line.marker).evaluate(environment)
    }


def test_a_lock_of_poetry_names_what_its_groups_and_extras_need(tmp_path: Path) -> None:
    path = poetry_lock(tmp_path)
    repository = (
        "git+https://example.com/inner.git@0123456789012345678901234567890123456789#subdirectory=libs/inner"
    )
    main = {"inner": repository, "local": (tmp_path / "libs/local").as_uri(), "private": "==2.0"}
    assert needed(path) == main
    assert needed(path, extras=("Plot",)) == {**main, "idna": "==3.11"}
    assert needed(path, groups=("dev", "lint")) == {**main, "idna": "==3.11", "attrs": "==25.4.0"}
    asked = requirements.read(path)
    assert asked.exact
    assert asked.requires_python == "<4,>=3.10"
    assert asked.indexes.extra_index_urls == ("https://pypi.acme.example/simple",)
    (private,) = (line for line in asked.pypi if line.name == "private")
    assert private.hashes == (f"sha256:{'1' * 64}",)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT + '[build-system]\nrequires = ["poetry-core"]\n')
    assert {*needed(path)} == {*main, "app"}
    (tmp_path / "pyproject.toml").write_text(PYPROJECT + "[build-system]\n[tool.poetry]\npackage-mode = false\n")
    assert {*needed(path)} == {*main}


@pytest.mark.parametrize(
    ("old", "new", "given", "reason"),
    [
        ('"2.1"', '"2.0"', {}, "is Poetry's lock format 2.0; envpack reads 2.1"),
        ("", "", {"extras": ("plots",)}, "has no extra plots; did you mean plot?"),
        ("", "", {"groups": ("devel",)}, "has no dependency group devel; did you mean dev?"),
        ('"directory"', '"svn"', {}, ":51: local has a source that envpack cannot read: its type is 'svn'"),
        (f'"sha256:{"1" * 64}"', '"md5:1"', {}, "private has no file with a SHA-256"),
        ('"2.0"', '"2.0 --hash=x"', {}, "private: its version must be a string without spaces"),
        ("[[package]]", "[[package", {}, "is not TOML"),
        ("https://pypi.acme.example", "https://[pypi", {}, "poetry.lock: "),
    ],
)
def test_a_lock_of_poetry_that_cannot_be_read_says_why(
    tmp_path: Path, old: str, new: str, given: dict[str, tuple[str, ...]], reason: str
) -> None:
    with pytest.raises(BadRequirements) as caught:
        names(poetry_lock(tmp_path, POETRY.replace(old, new) if old else POETRY), **given)
    assert reason in str(caught.value)


def test_pythons_of_a_poetry_lock_that_are_no_versions_are_a_warning(tmp_path: Path) -> None:
    path = poetry_lock(tmp_path)
    for wanted in (f"^{'9' * 5000}", "^3.9 || ^3.11", "~"):
        path.write_text(POETRY.replace('"^3.10"', f'"{wanted}"'))
        asked = requirements.read(path)
        assert asked.requires_python == ""
        assert "is not a specifier of PEP 440, and not regarded" in "".join(asked.warnings)
