"""The cage that packaged code runs in: what gets out of it, what works in it, what is left of it."""

from __future__ import annotations

import ast
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import envpack
from envpack.errors import NotReady, UsageError
from envpack.files.remove import remove
from envpack.progress import Progress
from envpack.tools import cage
from envpack.tools.cage import Cage, Confine, Ended, Limits, Walls
from envpack.tools.report import LONGEST_LINE, BrokenReport, ReportPipe
from tests.support.hostile import let_loose, python
from tests.support.missing import missing
from tests.support.on_disk import on_disk
from tests.support.processes import running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these walls")

PLANS = ["namespaces", "landlock"]
PYTHON, NEEDED = python()


@pytest.fixture(params=PLANS)
def walls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Walls:
    """What stands around a command: all that there is, or what a container allows."""
    monkeypatch.setattr(cage, "_hopeless", {"user", "root"} if request.param == "landlock" else set())
    found = cage.examine()
    if (found.plan == "landlock") != (request.param == "landlock") or found.level not in ("full", "strong"):
        missing(f"this machine has no {request.param}: {found.reason}")
    return found


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A directory outside /dev/shm, which a cage without namespaces shares."""
    with on_disk(tmp_path) as directory:
        yield directory


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


@pytest.fixture
def settings(scratch: Path) -> Cage:
    return Cage(directory=scratch, environ={"PATH": "/usr/bin:/bin"}, readable=NEEDED, writable=[scratch])


def run(settings: Cage, code: str, *arguments: str, timeout: float = 60) -> Ended:
    return cage.run([PYTHON, "-I", "-c", code, *arguments], settings, timeout=timeout)


def printed(settings: Cage, code: str, *arguments: str) -> str:
    ended = run(settings, code, *arguments)
    assert ended.problem is None, ended.output.decode()
    return ended.output.decode().strip()


def unmistakable() -> str:
    """Return seconds to sleep by which a process is found among all others."""
    return str(random.randint(10**8, 10**9))


# --- nothing gets out -----------------------------------------------------------------------------------------


def test_no_act_of_hostile_code_gets_out(walls: Walls, tmp_path: Path) -> None:
    seen = let_loose(tmp_path)
    assert (seen.out, seen.level) == ([], walls.level)
    assert seen.tried > 50


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
OF_DOCKER = [
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "net_raw",
    "sys_chroot",
    "mknod",
    "setfcap",
]
"""The capabilities of root in a container."""
CONTAINER = ["setpriv", "--inh-caps=-all", f"--bounding-set=-all,{','.join(f'+{name}' for name in OF_DOCKER)}"]
REFUSING = ["-m", "tests.support.as_in_docker"]


@pytest.mark.parametrize(
    ("before", "refused", "levels"),
    [
        (NOBODY, "", {"full", "strong"}),
        (NOBODY, "namespaces", {"strong"}),
        (CONTAINER, "namespaces", {"strong"}),
        (CONTAINER, "", {"full", "strong"}),
        ([], "landlock", {"full"}),
        ([], "proc", {"strong"}),
        (["setpriv", "--inh-caps=-all", "--bounding-set=-all"], "", {"full", "strong"}),
    ],
    ids=[
        "a user",
        "a user in docker",
        "root in docker",
        "root in kubernetes",
        "no landlock",
        "no mounts",
        "bare root",
    ],
)
def test_nor_does_one_where_less_is_allowed(before: list[str], refused: str, levels: set[str]) -> None:
    if before and (os.geteuid() != 0 or not shutil.which("setpriv")):
        missing("only root can become somebody else, with setpriv")
    if refused == "landlock" and "namespaces" not in (found := cage.examine()).names:
        missing(f"this machine has nothing but Landlock: {found.reason}")
    interpreter = _for_everybody(before)
    words = [interpreter, *REFUSING, refused] if refused else []
    command = [*before, *words, interpreter, "-B", "-m", "tests.support.hostile"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env=_environ(), timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["out"] == []
    assert seen["level"] in levels


def _environ() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(envpack.__file__).parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _for_everybody(before: list[str]) -> str:
    """Return a Python that whoever `before` makes of us can start, and that can read this project."""
    check = "import sys; assert sys.version_info >= (3, 10); import ctypes, envpack.tools.cage"
    for candidate in (sys.executable, "/usr/bin/python3"):
        words = [*before, "/bin/sh", "-c", 'exec "$0" "$@"', candidate, "-B", "-c", check]
        if (
            Path(candidate).exists()
            and subprocess.run(words, capture_output=True, cwd="/", env=_environ()).returncode == 0
        ):
            return candidate
    return missing("no Python here can be started by another user")


@pytest.mark.parametrize("modes", [True, False])
def test_a_link_in_its_scratch_leads_nowhere(
    walls: Walls, settings: Cage, scratch: Path, tmp_path: Path, modes: bool
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    code = "import os, sys; os.symlink(sys.argv[1], 'link'); open('link').read()"
    ended = run(replace(settings, changes_modes=modes), code, str(outside))
    assert ended.code == 1
    assert outside.read_text() == "mine"


# --- nothing is left ------------------------------------------------------------------------------------------

DAEMON = """
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        subprocess.Popen(["sleep", sys.argv[1]], start_new_session=True).wait()
    os._exit(0)
os.wait()
"""

RACER = """
import os, subprocess, sys, time
subprocess.Popen(["sleep", sys.argv[1]], start_new_session=True)
if os.fork():
    time.sleep(0.3)
    os._exit(0)
while True:
    os.setsid() if os.getsid(0) != os.getpid() else None
    if os.fork():
        os._exit(0)
"""

IGNORANT = """
import os, signal, subprocess, sys
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
subprocess.Popen(["sh", "-c", f"kill -STOP $$; sleep {sys.argv[1]}"], start_new_session=True)
"""


@pytest.mark.parametrize("code", [DAEMON, RACER, IGNORANT], ids=["daemon", "racer", "ignorant"])
def test_no_process_is_left(walls: Walls, settings: Cage, code: str) -> None:
    seconds = unmistakable()
    run(settings, code, seconds)
    assert not running(seconds)


def test_nothing_is_left_of_a_command_that_does_not_end_in_time(walls: Walls, settings: Cage) -> None:
    seconds = unmistakable()
    ended = cage.run(["/bin/sh", "-c", f"sleep {seconds} & sleep {seconds}"], settings, timeout=0.3)
    assert (ended.code, ended.problem) == (None, "did not end within 0.3 s")
    assert not running(seconds)


def test_nothing_is_left_when_envpack_is_killed(walls: Walls, scratch: Path) -> None:
    seconds = unmistakable()
    plans = "{'user', 'root'}" if walls.plan == "landlock" else "set()"
    code = f"""
from pathlib import Path
from envpack.tools import cage
cage._hopeless = {plans}
print(flush=True)
cage.run(["/bin/sh", "-c", "touch started; sleep {seconds}"],
         cage.Cage(directory=Path({str(scratch)!r}), environ={{}}, writable=[Path({str(scratch)!r})]))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    until((scratch / "started").exists)
    process.kill()
    process.wait()
    until(lambda: not running(f"sleep\0{seconds}"))


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- nothing is used up ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "limits", "problem"),
    [
        ("while True: print('x' * 1000)", Limits(output=1 << 20), "printed more than 1 MB"),
        ("import os\nwhile True: os.write(2, bytes(1 << 16))", Limits(output=1 << 20), "printed more than 1 MB"),
        ("import time; time.sleep(600)", Limits(seconds=0.5), "did not end within 0.5 s"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", Limits(), "stopped itself by SIGSTOP"),
        ("import os, signal; os.kill(0, signal.SIGSTOP)", Limits(), "stopped itself by SIGSTOP"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Limits(), "was killed by SIGKILL"),
        ("import os; os.abort()", Limits(), "was killed by SIGABRT"),
        (
            "for n in range(10**6): open(str(n), 'wb').write(bytes(1 << 20))",
            Limits(disk=32 << 20),
            "wrote more than 32 MB",
        ),
        (
            (
                "import os\nkept = []\nfor n in range(900):\n    kept.append(open('x', 'wb', 0)); os.unlink('x')\n"
                "    kept[-1].write(bytes(1 << 20))\nimport time; time.sleep(30)"
            ),
            Limits(disk=32 << 20, seconds=60),
            "wrote more than 32 MB",
        ),
        (
            (
                "import os, time\nkept = [os.memfd_create('x') for n in range(9)]\n"
                "for n in kept: os.write(n, bytes(1 << 23))\ntime.sleep(30)"
            ),
            Limits(disk=32 << 20, seconds=60),
            "wrote more than 32 MB",
        ),
        (
            "import time\nfor n in range(3000): open(str(n), 'w').close()\ntime.sleep(30)",
            Limits(disk=1 << 20, seconds=60),
            "wrote more than 1 MB",
        ),
        (
            "import os, time\nfor n in range(60): os.fork() or time.sleep(600)\ntime.sleep(600)",
            Limits(processes=30, seconds=20),
            "started more than 30 processes",
        ),
        (
            "import mmap, time\nm=mmap.mmap(-1, 2**28)\nfor _ in range(256): m.write(bytes(2**20))\ntime.sleep(9)",
            Limits(memory=128 << 20, seconds=20),
            "used more than 128 MB of memory",
        ),
    ],
    ids=[
        "print",
        "write",
        "sleep",
        "stop",
        "stop all",
        "kill",
        "abort",
        "disk",
        "removed files",
        "files in memory",
        "empty files",
        "fork",
        "shared memory",
    ],
)
def test_a_command_is_ended_with_a_reason(
    walls: Walls, settings: Cage, code: str, limits: Limits, problem: str
) -> None:
    ended = run(replace(settings, limits=limits), code)
    if "processes" in problem and ended.code is not None:  # the kernel was first
        assert b"BlockingIOError" in ended.output
    else:
        assert ended.code is None or ended.code < 0
        assert str(ended.problem).startswith(problem)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = bytearray(1 << 31)", "MemoryError"),
        ("open('x', 'wb').write(bytes(2 << 20))", "File too large"),
        (
            "import threading as t, time\nwhile True: t.Thread(target=time.sleep, args=[60], daemon=True).start()",
            "can't start",
        ),
        ("import os, time\nwhile True: os.fork() or time.sleep(60)", "temporarily unavailable"),
        ("print('no end', end='')", ""),
    ],
    ids=["memory", "large file", "threads", "fork bomb", "nothing"],
)
def test_what_is_too_much_is_refused(walls: Walls, settings: Cage, code: str, told: str) -> None:
    small = Limits(memory=512 << 20, file_size=1 << 20, processes=64, seconds=20)
    ended = run(replace(settings, limits=small), code)
    stopped = str(ended.problem).startswith(("started more than 64", "used more than"))
    assert told in ended.output.decode() or (stopped and told), ended


@pytest.mark.acceptance
def test_a_scratch_of_strange_files_is_removed(walls: Walls, settings: Cage, tmp_path: Path) -> None:
    code = r"""
import os
os.mkfifo("fifo"); os.symlink("/", "root"); os.symlink("loop", "loop"); open(b"\xff\n\x1b[2J", "w").close()
os.mkdir("closed"); open("closed/file", "w").close()
for _ in range(1200):
    os.mkdir("deep"); os.chdir("deep")
"""
    printed(settings, code)
    remove(settings.directory)
    assert list(tmp_path.iterdir()) == []


# --- what has to work -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import multiprocessing as m; m.Lock(); m.Semaphore(2); m.Event()",
        "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: assert p.map(abs, [-1]) == [1]",
        "import threading as t\nfor x in [t.Thread(target=len, args=['']) for _ in range(20)]: x.start(); x.join()",
        "import ssl; ssl.create_default_context()",
        "import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8')",
        "import asyncio; asyncio.run(asyncio.sleep(0))",
        "import subprocess; assert subprocess.run(['sh', '-c', 'exit 3']).returncode == 3",
        "import tempfile; tempfile.NamedTemporaryFile().write(b'x')",
        "import os; assert len(os.urandom(8)) == 8; open('/dev/null', 'w').write('x')",
        "import mmap; mmap.mmap(-1, 4096)",
        "import os; os.cpu_count(); os.sched_getaffinity(0); os.getloadavg()",
        "import platform; platform.platform(); platform.libc_ver()",
        "import uuid; uuid.uuid1(); import zoneinfo",
        "import ctypes; ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)()",
        "import signal; signal.alarm(5); signal.alarm(0)",
        "import os; os.kill(os.getpid(), 0); assert open('/proc/self/status').read()",
        "import sqlite3; sqlite3.connect('x.db').execute('create table t (x)')",
        "import os; p, c = os.pipe(), os.fork()\nif not c: os._exit(7)\nassert os.waitpid(c, 0)[1] == 7 << 8",
        "import socket; a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'",
    ],
)
def test_what_packages_do_works(walls: Walls, settings: Cage, code: str) -> None:
    printed(settings, code)


def test_with_namespaces_it_has_a_network_of_its_own_and_no_processes_but_its_own(settings: Cage) -> None:
    if cage.examine().plan not in ("user", "root"):
        missing("this machine has no namespaces")
    code = """
import getpass, multiprocessing, os, socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname())
socket.gethostbyname(socket.gethostname())
assert getpass.getuser()
local = socket.socket(socket.AF_UNIX); local.bind("s")
assert sorted(int(name) for name in os.listdir("/proc") if name.isdigit())[-1] < 10
with multiprocessing.get_context("forkserver").Pool(1) as pool:
    assert pool.map(abs, [-1]) == [1]
"""
    printed(settings, code)


def test_an_interpreter_sees_its_prefix_and_its_scratch_at_their_own_paths(
    walls: Walls, settings: Cage, scratch: Path
) -> None:
    assert printed(settings, "import os, sys; print(os.getcwd(), sys.prefix)") == f"{scratch} {NEEDED[0]}"


def test_it_finds_the_variables_that_it_was_given_and_no_others(
    walls: Walls, settings: Cage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    assert json.loads(printed(settings, code)).keys() <= {"PATH", "LC_CTYPE"}


def test_a_build_may_change_modes_and_is_done_where_every_build_is_done(
    walls: Walls, settings: Cage, scratch: Path
) -> None:
    (scratch / "setup.py").write_text("")
    code = "import os; os.chmod('setup.py', 0o755); os.utime('setup.py', (0, 0)); print(os.getcwd())"
    place = printed(replace(settings, changes_modes=True, shown_at=Path("/build/it")), code)
    assert place == ("/build/it" if walls.level == "full" else str(scratch))
    facts = (scratch / "setup.py").stat()
    assert (facts.st_mode & 0o777, facts.st_mtime) == (0o755, 0)


def test_a_compiler_can_be_reached(walls: Walls, settings: Cage, scratch: Path) -> None:
    if not shutil.which("cc"):
        missing("there is no C compiler")
    (scratch / "x.c").write_text("int main(void) { return 3; }\n")
    command = ["/bin/sh", "-c", "cc -o x x.c && ./x"]
    environ = {**settings.environ, "TMPDIR": str(scratch)}
    assert cage.run(command, replace(settings, environ=environ, changes_modes=True)).code == 3


def test_commands_and_reports_go_through_pipes(walls: Walls, settings: Cage) -> None:
    code = "import os, sys; [os.write(3, line.upper().encode()) for line in sys.stdin]"
    with cage.start([PYTHON, "-I", "-c", code], settings, told=True) as caged:
        assert caged.commands
        report = ReportPipe(caged.report)
        for word in (b"one", b"two"):
            caged.commands.write(word + b"\n")
            assert report.line(30) == word.upper()
        caged.commands.close()
        assert report.line(30) is None
        assert caged.wait(30).code == 0


def test_many_cages_stand_side_by_side(walls: Walls, settings: Cage, tmp_path: Path) -> None:
    def one(number: int) -> str:
        place = tmp_path / str(number)
        place.mkdir()
        own = replace(settings, directory=place, writable=[place])
        return printed(own, "import sys; open('file', 'w').write('x'); print(sys.argv[1])", str(number))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(one, range(12))) == [str(number) for number in range(12)]


@pytest.mark.parametrize("command", ["/nowhere/python", "/etc/os-release"])
def test_a_command_that_cannot_be_run_is_an_error(walls: Walls, settings: Cage, command: str) -> None:
    with pytest.raises(OSError, match=r"No such file|Permission denied|Exec format"):
        cage.run([command], settings)


# --- what it reports is not believed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [f"'x' * {LONGEST_LINE + 2}", "b'no end'.decode()", "('x' * 1000 + chr(10)) * 20000"],
    ids=["a line without end", "half a line", "too much"],
)
def test_a_report_is_bounded(walls: Walls, settings: Cage, payload: str) -> None:
    code = f"import os\nwith os.fdopen(3, 'w') as report: report.write({payload})"
    with cage.start([PYTHON, "-I", "-c", code], settings) as caged, pytest.raises(BrokenReport):
        list(iter(partial(ReportPipe(caged.report).line, 30), None))


# --- what a person is told ------------------------------------------------------------------------------------


class Warnings(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def warn(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture
def no_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cage, "_plans", lambda _: ["none"])
    monkeypatch.setattr(cage, "_said", set())
    monkeypatch.setattr(cage, "_admitted", {})


def test_what_is_missing_is_said_once(no_walls: None, settings: Cage) -> None:
    told = Warnings()
    for _ in range(2):
        run(replace(settings, progress=told), "")
    assert told.told == [
        "packaged code is not wholly confined on this machine: it can reach files, network, other processes"
    ]


def test_require_runs_nothing_where_walls_are_missing(no_walls: None, settings: Cage, scratch: Path) -> None:
    with pytest.raises(NotReady, match="could reach files, network, other processes"):
        run(replace(settings, confine=Confine.REQUIRE), "open('file', 'w')")
    assert list(scratch.iterdir()) == []


def test_off_confines_nothing_and_still_leaves_no_process(settings: Cage, tmp_path: Path) -> None:
    told, seconds = Warnings(), unmistakable()
    code = f"import sys; open(sys.argv[2], 'w').write('x')\n{DAEMON}"
    run(replace(settings, confine=Confine.OFF, progress=told), code, seconds, str(tmp_path / "file"))
    assert (tmp_path / "file").exists()
    assert not running(seconds)
    assert told.told == []


def test_a_word_that_is_none_of_the_three_is_refused() -> None:
    assert Confine.named("require") is Confine.REQUIRE
    with pytest.raises(UsageError, match="confine must be one of require, best, off, not 'full'"):
        Confine.named("full")


# --- nothing goes past it -------------------------------------------------------------------------------------

FREE = {
    "channel/interpreter.py": "asks the Python that the person names to be carried by a channel",
    "channel/libraries.py": "asks the system's loader, which lists and starts nothing, and patchelf",
    "cli/pull.py": "becomes the command that the person gave",
    "jobs/spark_operator.py": "runs kubectl",
    "jobs/spark_submit.py": "runs the spark-submit of this machine",
    "jobs/yarn.py": "runs yarn",
    "sources/checkout.py": "runs git, with what a repository could have it run switched off",
    "spark/driver.py": "asks a Python of this machine for its version",
    "tools/cage.py": "starts the launcher of cages, with envpack's own Python",
    "tools/git.py": "runs git",
    "tools/seatbelt.py": "tries macOS' sandbox",
    "tools/stand_in.py": "asks envpack's own Python",
    "tools/uv_access.py": "asks the keyring program that the person has chosen",
    "tools/uv.py": "runs uv, which is given no packaged Python to start",
    "tools/walls/inmate.py": "becomes the command, within the walls",
}
"""Every module that starts a program by itself, and why it may: none of these programs is a package's."""

STARTERS = {"subprocess": None, "os": ("exec", "spawn", "posix_spawn", "system", "popen", "fork"), "pty": None}


def test_no_module_starts_a_program_outside_the_cage_that_has_no_reason() -> None:
    root = Path(envpack.__file__).parent
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if starts_programs(path)}
    found -= {"tools/walls/launcher.py"}  # forks, and only that
    assert found - FREE.keys() == set()
    assert FREE.keys() - found == set()


def starts_programs(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            module, name = node.func.value.id, node.func.attr
            if module in STARTERS and (STARTERS[module] is None or name.startswith(STARTERS[module] or ())):
                return True
            if module == "asyncio" and name.startswith("create_subprocess"):
                return True
        if isinstance(node, ast.ImportFrom) and node.module == "subprocess":
            return True
    return False
