"""A node's configuration for its own Python does not win over an archive."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpack.archive import guard
from envpack.archive.bytecode import Compiler
from envpack.archive.outranking import OF_PACKAGES, PYTHON, SAID, UNSET, Remedy, of_wheels
from envpack.archive.packing import pack
from envpack.archive.unpack import unpack
from envpack.releases.publish import publish as publish_archive
from envpack.spark import node, variables
from envpack.stores import open_store
from envpack.tools.cage import Confine
from envpack.verify.earlier import Content, Scene
from envpack.verify.modules import InstalledModules
from tests.support.cache import shared
from tests.support.manifests import made, manifest
from tests.support.releases import manifest_of, publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.channel import Channel
    from tests.support.command import Desk

TELL = "import numpy; print(numpy.__file__)"
NODE, ARCHIVE = "the node's", "the archive's"


def packages_of(root: Path) -> Path:
    """Return where a Python below `root` has its packages."""
    (packages,) = root.glob("lib/python3*/site-packages")
    return packages


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def packed(channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a numpy and time zones, of nobody's making."""
    return shared(tmp_path_factory, "packed for nodes", lambda home: make_packed(home, channel)) / "e.tar.gz"


def make_packed(home: Path, channel: Channel) -> None:
    channel.link(home / "prefix", "python")
    (library,) = (home / "prefix").glob("lib/python3*/os.py")
    packages = library.with_name("site-packages")
    write(packages / "numpy.py", f"whose = {ARCHIVE!r}")
    write(packages / "tzdata/zoneinfo/UTC", "")
    for name in ("numpy", "pytz"):
        folder = f"{name}-1.dist-info"
        write(packages / folder / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        files = [f"{folder}/METADATA", f"{folder}/RECORD", *(["numpy.py"] if name == "numpy" else [])]
        write(packages / folder / "RECORD", "".join(f"{file},,\n" for file in files))
    own = home / "prefix/lib/libz.so.1"
    if not own.exists():
        shutil.copyfile(_libz(), own)
    compiled(home / "prefix", home / "e.tar.gz")


def compiled(prefix: Path, out: Path) -> Path:
    """Pack a prefix as the command does, with its bytecode made aside."""
    return pack(prefix, out, compiler=compiler_beside(out, prefix)).path


def compiler_beside(out: Path, prefix: Path) -> Compiler:
    (out.parent / "bytecode").mkdir()
    return Compiler(python=prefix / "bin/python", into=out.parent / "bytecode", own=True)


def _libz() -> Path:
    """Return a library of this machine that manylinux lets wheels take from it."""
    maps = Path("/proc/self/maps").read_text()
    found = {line.split()[-1] for line in maps.splitlines() if "/libz.so.1" in line}
    return Path(found.pop()) if found else pytest.skip("this Python has loaded no libz")


@dataclass
class Node:
    """A machine with an unpacked archive, and what it has configured for its own Python."""

    directory: Path

    @property
    def environment(self) -> Path:
        return self.directory / "environment"

    @property
    def packages(self) -> Path:
        return packages_of(self.environment)

    @property
    def minor(self) -> str:
        return self.packages.parent.name

    def run(self, code: str, /, *options: str, **configured: str) -> str:
        """Run code in the packed Python; what ends it is its answer."""
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(self.directory / "home"), **configured}
        command = ["./environment/bin/python", *options, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.directory, env=environ)
        return done.stdout.strip() if done.returncode == 0 else done.stderr

    def whose(self, **configured: str) -> str:
        return self.run("import numpy; print(numpy.whose)", **configured)

    def without_launcher(self) -> None:
        program = self.environment / "bin/python"
        program.unlink()
        program.symlink_to(self.minor)

    def without_start(self) -> None:
        for path in self.packages.glob("*envpack*"):
            path.unlink()

    def without_pyvenv(self) -> None:
        (self.environment / "pyvenv.cfg").unlink()


@pytest.fixture
def machine(packed: Path, tmp_path: Path) -> Node:
    (tmp_path / "home").mkdir()
    unpack(packed, tmp_path / "environment")
    return Node(directory=tmp_path)


def user_site(machine: Node) -> dict[str, str]:
    place = machine.directory / f"home/.local/lib/{machine.minor}/site-packages"
    write(place / "numpy.py", f"whose = {NODE!r}")
    return {}


def start_file_of_the_user(machine: Node) -> dict[str, str]:
    place = machine.directory / f"elsewhere/lib/{machine.minor}/site-packages"
    write(
        place / "theirs.pth",
        "import types, sys; m = types.ModuleType('numpy'); m.whose = \"the node's\"; sys.modules['numpy'] = m",
    )
    return {"PYTHONUSERBASE": str(machine.directory / "elsewhere")}


def pythonpath(machine: Node) -> dict[str, str]:
    folder = write(machine.directory / "theirs/numpy.py", f"whose = {NODE!r}").parent
    write(folder / f"{guard.MODULE}.py", "raise SystemExit('this is not the archive')")
    return {"PYTHONPATH": f"/opt/spark/python/lib/py4j-0.10.9.7-src.zip:{folder}"}


def standard_library(machine: Node) -> dict[str, str]:
    folder = write(machine.directory / "old/encodings/__init__.py", "raise SystemExit('another Python')").parent
    return {"PYTHONPATH": str(folder.parent)}


def of(name: str, value: str) -> Callable[[Node], dict[str, str]]:
    return lambda _: {name: value}


HOME = of("PYTHONHOME", "/nowhere")
PLATLIBDIR = of("PYTHONPLATLIBDIR", "lib64")
EXECUTABLE = of("PYTHONEXECUTABLE", "/usr/bin/python3")
LAUNCHED = of("__PYVENV_LAUNCHER__", "/usr/bin/python3")
SINCE_3_9 = pytest.mark.skipif(sys.version_info < (3, 9), reason="Python reads it since 3.9")
SINCE_3_11 = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python reads it since 3.11")

EVERYTHING = (user_site, start_file_of_the_user, HOME, PLATLIBDIR, EXECUTABLE, LAUNCHED)

CASES = [
    pytest.param(user_site, Node.without_pyvenv, id="packages of the user"),
    pytest.param(start_file_of_the_user, Node.without_pyvenv, id="PYTHONUSERBASE"),
    pytest.param(pythonpath, Node.without_start, id="PYTHONPATH"),
    pytest.param(standard_library, Node.without_launcher, id="PYTHONPATH with a standard library"),
    pytest.param(HOME, Node.without_launcher, id="PYTHONHOME"),
    pytest.param(PLATLIBDIR, Node.without_launcher, id="PYTHONPLATLIBDIR", marks=SINCE_3_9),
    pytest.param(EXECUTABLE, Node.without_launcher, id="PYTHONEXECUTABLE", marks=SINCE_3_11),
    pytest.param(LAUNCHED, Node.without_launcher, id="__PYVENV_LAUNCHER__", marks=SINCE_3_11),
]


@pytest.mark.parametrize(("configure", "take_out"), CASES)
def test_the_archives_package_is_imported_whatever_the_node_says(
    machine: Node, configure: Callable[[Node], dict[str, str]], take_out: Callable[[Node], None]
) -> None:
    configured = configure(machine)
    assert machine.whose(**configured) == ARCHIVE
    take_out(machine)
    assert machine.whose(**configured) != ARCHIVE


def test_all_of_it_at_once_does_not_win(machine: Node) -> None:
    configured: dict[str, str] = {}
    for configure in EVERYTHING:
        configured |= configure(machine)
    configured["PYTHONPATH"] = f"{pythonpath(machine)['PYTHONPATH']}:{standard_library(machine)['PYTHONPATH']}"
    assert machine.whose(**configured) == ARCHIVE


def test_what_is_unset_is_what_the_table_says(machine: Node) -> None:
    configured = dict.fromkeys(UNSET, "1")
    left = machine.run("import os; print(*sorted(os.environ))", **configured, PYTHONWARNINGS="ignore").split()
    assert set(left).isdisjoint(UNSET)
    assert "PYTHONWARNINGS" in left


def test_a_python_started_by_its_own_name_imports_the_archives_package_too(machine: Node) -> None:
    configured = user_site(machine) | pythonpath(machine)
    code = "import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', sys.argv[1]], text=True))"
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(machine.directory / "home"), **configured}
    command = ["./environment/bin/python", "-c", code, "import numpy; print(numpy.whose)"]
    assert subprocess.check_output(command, cwd=machine.directory, env=environ, text=True).strip() == ARCHIVE


def test_the_launcher_works_from_a_path_a_link_and_odd_directories(machine: Node) -> None:
    odd = machine.directory / "it's odd; $HOME"
    machine.environment.rename(odd)
    link = machine.directory / "python-of-mine"
    link.symlink_to(odd / "bin/python")
    environ = {"PATH": f"{odd / 'bin'}:/usr/bin:/bin", "PYTHONHOME": "/usr"}
    for command in (["python"], ["python3"], [str(link)], [str(odd / "bin/python3")]):
        found = subprocess.check_output([*command, "-c", TELL], env=environ, text=True, cwd=machine.directory)
        assert found.strip() == str(packages_of(odd) / "numpy.py")
    own = subprocess.check_output(["./python", "-c", TELL], env={"PYTHONHOME": "/usr"}, text=True, cwd=odd / "bin")
    assert own.strip() == str(packages_of(odd) / "numpy.py")


def test_a_python_calls_itself_as_it_was_started(machine: Node) -> None:
    assert machine.run("import sys; print(sys.executable)") == f"{machine.environment}/bin/python"
    # As a Spark Connect server's sessions call it.
    session = machine.directory / "session"
    session.mkdir()
    command = [f"../{machine.environment.name}/bin/python", "-c", "import sys; print(sys.executable)"]
    said = subprocess.check_output(command, text=True, env={}, cwd=session).strip()
    assert said == f"{session}/../{machine.environment.name}/bin/python"


def test_an_environment_is_no_virtual_one(machine: Node) -> None:
    linked = machine.directory / "container"
    linked.symlink_to(machine.directory)
    machine = Node(directory=linked)
    answer = machine.run("import sys; print(sys.prefix == sys.base_prefix, sys.prefix)", "-W", "error")
    assert answer == f"True {machine.environment.resolve()}" or answer == f"True {machine.environment}"


ORDER = {
    "what the node says comes last": ("/node", ["A", "/node"]),
    "Spark's own come first": (
        "/x/pyspark.zip:/x/py4j-1-src.zip:/node",
        ["/x/pyspark.zip", "/x/py4j-1-src.zip", "A", "/node"],
    ),
    "a driver's --py-files come before Spark's": (
        "/mine/lib.zip:/x/pyspark.zip:/node",
        ["/mine/lib.zip", "/x/pyspark.zip", "A", "/node"],
    ),
    "Spark's home": ("/spark/python:/node", ["/spark/python", "A", "/node"]),
    "what YARN has put into the container": (
        "/node:/y/container_1/__pyfiles__:/y/container_1/lib.zip",
        ["/y/container_1/__pyfiles__", "/y/container_1/lib.zip", "A", "/node"],
    ),
    "a relative one is the job's": ("code:/node", ["HERE/code", "A", "/node"]),
}


@pytest.mark.parametrize(("given", "expected"), ORDER.values(), ids=ORDER)
def test_in_pythonpath_what_spark_and_the_job_say_stays_before_the_archive(
    machine: Node, given: str, expected: list[str]
) -> None:
    found = machine.run(
        "import sys; print(*sys.path, sep='\\n')",
        PYTHONPATH=given,
        SPARK_HOME="/spark",
        **({"CONTAINER_ID": "container_1"} if "container_1" in given else {}),
    ).splitlines()
    names = {str(machine.packages.resolve()): "A", str(machine.packages): "A"}
    here = str(machine.directory)
    told = [names.get(entry, entry.replace(here, "HERE")) for entry in found if entry]
    assert [entry for entry in told if entry in expected] == expected


def test_a_python_starts_from_bytecode_and_writes_nothing_into_its_environment(machine: Node) -> None:
    found = {path for path in machine.environment.rglob("*") if guard.MODULE in path.name}
    assert {path.parent.name for path in found} == {"site-packages", "__pycache__"}
    before = {path: path.lstat().st_mtime_ns for path in machine.environment.rglob("*")}
    assert machine.run(f"import {guard.MODULE}; print({guard.MODULE}.VARIABLES)") == "('PYTZ_TZDATADIR',)"
    assert {path: path.lstat().st_mtime_ns for path in machine.environment.rglob("*")} == before
    (machine.packages / f"{guard.MODULE}.py").write_text("raise SystemExit('it was compiled')")
    assert machine.whose(**pythonpath(machine)) == ARCHIVE


def test_a_job_may_say_that_a_variable_holds(machine: Node) -> None:
    assert machine.whose(**pythonpath(machine), ENVPACK_KEEP="PYTHONTZPATH,PYTHONPATH") != ARCHIVE


def test_zones_come_from_the_archive_that_has_some(machine: Node) -> None:
    ask = "import os; print(os.environ['PYTHONTZPATH'])"
    assert machine.run(ask, PYTHONTZPATH="/node") == str(machine.packages / "tzdata/zoneinfo")
    machine.without_start()
    assert machine.run(ask, PYTHONTZPATH="/node") == "/node"


def test_a_wheel_is_not_led_to_files_of_the_node(machine: Node) -> None:
    ask = "import os; print(os.environ.get('PYTZ_TZDATADIR'), os.environ.get('PROJ_DATA'))"
    assert machine.run(ask, PYTZ_TZDATADIR="/node", PROJ_DATA="/node") == "None /node"
    inside = "./environment/share/zones"
    assert machine.run(ask, PYTZ_TZDATADIR=inside) == f"{inside} None"
    assert machine.run(ask, PYTZ_TZDATADIR="/mine", ENVPACK_KEEP="PYTZ_TZDATADIR") == "/mine None"
    machine.without_start()
    assert machine.run(ask, PYTZ_TZDATADIR="/node", PROJ_DATA="/node") == "/node /node"


def test_the_archives_library_is_loaded_where_the_node_names_another(machine: Node) -> None:
    theirs = write(machine.directory / "native/libz.so.1", "").parent
    ask = "print(*{line.split()[-1] for line in open('/proc/self/maps') if 'libz.so.1' in line})"
    own = str(machine.environment / "lib/libz.so.1")
    assert machine.run(ask, LD_LIBRARY_PATH=str(theirs)) in (own, str(Path(own).resolve()))
    machine.without_start()
    if machine.run(ask):
        pytest.skip("this Python itself is linked with libz, and finds the archive's by its own path")
    assert machine.run(ask, LD_LIBRARY_PATH=str(theirs)) == ""


def test_a_script_stands_only_for_a_link_to_a_python_of_linux(tmp_path: Path) -> None:
    for name, data in (("python3.11", b"\x7fELF"), ("python3.12", b"\xcf\xfa\xed\xfe"), ("pypy", b"\x7fELF")):
        folder = tmp_path / name / "bin"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(data)
        (folder / "python").symlink_to(name)
        found = guard.launcher(str(folder / "python"), "bin/python")
        assert (found is not None) == (name == "python3.11")
    assert guard.launcher(str(tmp_path / "python3.11/bin/python3.11"), "bin/python3.11") is None


def test_the_program_behind_the_script_is_known_and_is_what_qemu_can_run(machine: Node, tmp_path: Path) -> None:
    assert guard.program(machine.environment) == f"bin/{machine.minor}"
    machine.without_launcher()
    assert guard.program(machine.environment) == "bin/python"


def test_a_zip_brings_the_same_guards_to_a_node(machine: Node, tmp_path: Path) -> None:
    """Unpacked as a person does, by `unzip`: a zip keeps no links, so the programs are there several times."""
    packed = pack(machine.environment, tmp_path / "e.zip", format="zip").path
    there = Node(directory=tmp_path / "there")
    (there.directory / "home").mkdir(parents=True)
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-q", packed, "-d", there.environment], check=True)
    else:
        unpack(packed, there.environment)
    for name in ("bin/python", "bin/python3", f"bin/{machine.minor}", "pyvenv.cfg"):
        unzipped, untarred = there.environment / name, machine.environment / name
        assert unzipped.read_bytes() == untarred.read_bytes()
        assert unzipped.stat().st_mode == untarred.stat().st_mode
    configured: dict[str, str] = {}
    for configure in (*EVERYTHING, pythonpath):
        configured |= configure(there)
    assert there.whose(**configured) == ARCHIVE


def test_packing_what_was_unpacked_gives_the_same_guards(machine: Node, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    unpack(compiled(machine.environment, tmp_path / "again.tar.gz"), tmp_path / "second")
    for path in (
        "bin/python",
        "pyvenv.cfg",
        *(str(p.relative_to(machine.environment)) for p in machine.packages.rglob("*envpack*")),
    ):
        assert (tmp_path / "second" / path).read_bytes() == (machine.environment / path).read_bytes()


def test_imports_are_made_again_where_a_python_starts_from_other_bytecode(machine: Node, tmp_path: Path) -> None:
    out, prefix = tmp_path / "again.tar.gz", machine.environment
    content = Content(pack(prefix, out, compiler=compiler_beside(out, prefix)).pieces)
    installed = InstalledModules.read(machine.environment, machine.minor.removeprefix("python"))

    def start() -> str:
        return Scene.of(content, installed, {}, Confine.BEST, b"").start

    before = start()
    (pyc,) = (path for path in content.entries if guard.MODULE in path and path.endswith(".pyc"))
    content.entries[pyc] = content.entries[pyc]._replace(sha256="0" * 64)
    assert start() != before


def test_the_table_has_every_variable_that_this_python_reads() -> None:
    known = {variable.name for variable in PYTHON}
    program = Path(sys.executable).resolve()
    library = Path(sysconfig.get_config_var("LIBDIR") or "") / (sysconfig.get_config_var("INSTSONAME") or "")
    read = set()
    for path in (program, library):
        if path.is_file():
            read |= set(re.findall(rb"[^A-Z_](PYTHON_?[A-Z_]{3,}8?)\0", path.read_bytes()))
    standard = Path(sysconfig.get_path("stdlib"))
    for path in (*standard.glob("*.py"), *standard.glob("[a-z]*/*.py")):
        if not {"site-packages", "test", "idlelib"} & set(path.parts):
            read |= set(re.findall(rb"environ(?:\.get\(|\[)['\"](_*PYTHON\w+)", path.read_bytes()))
    names = {name.decode() for name in read}
    assert len(names) > 20
    assert names - known - {"PYTHON_CLASSMETHOD", "PYTHON_DOM", "PYTHONUTF"} == set()


def test_the_table_stands_in_the_documentation() -> None:
    page = (Path(__file__).parent.parent / "docs/spark.md").read_text("utf-8")
    assert node.table() in page
    assert len(PYTHON) == len({variable.name for variable in PYTHON})
    assert all(variable.remedy is not Remedy.LAUNCHER for variable in SAID)


def test_only_wheels_that_bring_such_files_are_guarded() -> None:
    assert of_wheels(["rasterio", "numpy"]) == ("GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_DATA", "PROJ_LIB")
    assert of_wheels(["numpy"]) == ()
    assert all(row.source for row in OF_PACKAGES)


def test_a_variable_of_the_environment_that_leads_out_of_it_holds() -> None:
    release = manifest(variables={"PROJ_DATA": "/mnt/grids", "GDAL_DATA": "./environment/share/gdal"})
    assert variables.of(release, "./environment")["ENVPACK_KEEP"] == "PROJ_DATA"
    assert "ENVPACK_KEEP" not in variables.of(manifest(variables={"A": "/b"}), "./environment")


def test_who_needs_time_zones_of_the_node_is_said_once() -> None:
    def said(launcher: str, *packages: str) -> list[str]:
        settings = made(launcher, packages=packages)
        return [text for text in (*settings.notes, *settings.warnings) if "/usr/share/zoneinfo" in text]

    (warning,) = said("yarn-cluster", "pandas", "numpy")
    assert "add tzdata to the requirements" in warning
    assert said("yarn-cluster", "pandas", "tzdata") == []
    (note,) = said("k8s-cluster", "pyarrow", "pandas", "tzdata")
    assert "the image must have tzdata" in note
    assert said("k8s-cluster", "numpy") == []


SESSION = """
class Session:  # stands for Spark's, with this process as its executor; acceptance has a real one
    sparkContext = property(lambda self: self)
    def parallelize(self, values, parts):
        return self
    def flatMap(self, function):
        self.found = function(None)
        return self
    def collect(self):
        return self.found
spark = Session()
"""


def test_the_check_prints_where_what_was_asked_for_comes_from(tmp_path: Path) -> None:
    """The Python of the tests stands for an unpacked one, with all its modules."""
    here = tuple(map(str, sys.version_info[:3]))
    made = replace(manifest(packages=["packaging", "six"], python=".".join(here)), requested=("packaging",))
    version = metadata.version("packaging")
    release = replace(made, packages=tuple(replace(package, version=version) for package in made.packages))
    command = [sys.executable, "-c", SESSION + node.check(release)]

    said = subprocess.check_output(command, env={}, text=True)
    assert f" ok packaging {version} from {sys.prefix}/lib/" in said
    assert said.endswith(f"0 of 2 differ from {release.reference}\n")

    theirs = write(tmp_path / "packaging/__init__.py", "").parent.parent
    said = subprocess.check_output(command, env={"PYTHONPATH": str(theirs)}, text=True)
    assert f" DIFFERS packaging {version} from {theirs}/packaging/__init__.py" in said
    assert said.endswith(f"1 of 2 differ from {release.reference}\n")


def test_the_commands_print_scripts_that_any_python_reads(desk: Desk) -> None:
    printed = desk.run("doctor", "--node")
    assert printed.code == 0
    assert printed.out == node.script() + "\n"
    release = publish(open_store(str(desk.store)), "content")
    checked = desk.run("settings", release.reference, "--check")
    assert checked.out == node.check(release) + "\n"
    for script in (printed.out, checked.out):
        compile(script, "script", "exec")


def test_the_script_for_a_node_says_what_it_has_and_what_keeps_it_away(tmp_path: Path) -> None:
    write(tmp_path / ".local/lib/python3.11/site-packages/x.py", "")
    environ = {"HOME": str(tmp_path), "PYTHONHOME": "/opt/python", "PYTHONWARNINGS": "a-secret", "PROJ_LIB": "/p"}
    as_the_launcher_does = 'env -u PYTHONHOME "$0" -S -E -c "$1"; exit $?'
    command = ["/bin/sh", "-c", as_the_launcher_does, sys.executable, node.script()]
    said = subprocess.check_output(command, env=environ, text=True)
    assert "PYTHONHOME: /opt/python; remedy: `bin/python` unsets it" in said
    assert "PYTHONWARNINGS: set; remedy: none" in said
    assert "PROJ_LIB: /p" in said
    assert f"{tmp_path}/.local/lib/python3.11/site-packages has packages of this user" in said
    assert "a-secret" not in said


def test_an_image_without_a_shell_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    exec(node.script(), {"__name__": "__main__"})  # noqa: S102 - our own text
    assert "/bin/sh is missing: bin/python, which is a script, cannot start" in capsys.readouterr().out
    assert any("distroless" in note for note in made("k8s-cluster").notes)


def test_a_release_of_before_is_said_to_let_the_node_win(desk: Desk) -> None:
    store = open_store(str(desk.store))
    new, old = manifest_of("now", "new"), replace(manifest_of("before", "old"), packer=None)
    for each, content in ((new, "now"), (old, "before")):
        (desk.home / each.name).write_text(content)
        publish_archive(store, each, desk.home / each.name, {})
    for command in (("show",), ("settings",), ("doctor", "--timeout", "1")):
        said = {each.name: desk.run(*command, each.reference) for each in (new, old)}
        warned = {name for name, ran in said.items() if "before archives kept away" in ran.out + ran.err}
        assert warned == {"old"}, said
        assert "build it again" in said["old"].out + said["old"].err


def test_what_a_job_keeps_is_no_setting_of_envpack(desk: Desk) -> None:
    assert "ENVPACK_KEEP" not in desk.run("list", ENVPACK_KEEP="PYTHONPATH").err
    assert "ENVPACK_KEPT" in desk.run("list", ENVPACK_KEPT="PYTHONPATH").err
