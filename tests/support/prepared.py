"""The command line at once: its script is run in a fork of a process that has imported its modules.

To import them takes a third of a second, longer than most commands that tests give. Each command still runs the
installed script in a process, a directory, an environment and with files of its own. What a process takes from its
environment when it starts (Python's variables, the locale) makes `Desk.run` start it as a shell does, and so
do `Desk.start` and all tests that send signals, look at a terminal or measure.

Run as a program, this module is the process that waits: `prepared.py SOCKET`, until its standard input ends.
"""

from __future__ import annotations

import array
import ast
import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import TextIO

AT_START = ("PYTHON", "LANG", "LC_", "LD_")
"""How the variables begin that a process takes from its environment once, when it starts."""

_LIMITS = (resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_FSIZE)
_FOREIGN = ("compile_share", "probe", "confine", "_script", "__main__")
"""Modules that run in other Pythons, and the one that runs a command when it is imported."""

_FACTS = (("envpack.packages.licenses", "_licensing"), ("envpack.resolve.mapping", "known"))
"""What envpack reads of its own files or of a library's once, whatever a command is about."""


class Prepared:
    """The process that waits, as tests see it."""

    def __init__(self) -> None:
        """Start it."""
        self._folder = tempfile.mkdtemp(prefix="prepared-")
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        self._address = str(Path(self._folder, "s"))
        self._taken = _taken_at_start(os.environ)
        command = [sys.executable, __file__, self._address]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def close(self) -> None:
        """End it."""
        self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def can_run(self, environment: Mapping[str, str]) -> bool:
        """Return whether a command would find all in it that it takes from its environment when it starts."""
        return _taken_at_start(environment) == self._taken

    def run(
        self, command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a script with arguments and return what became of it, as `subprocess.run` does."""
        request = {
            "command": list(command),
            "cwd": str(cwd),
            "environment": dict(environment),
            "umask": _umask(),
            "limits": [resource.getrlimit(kind) for kind in _LIMITS],
        }
        outputs: list[bytes] = [b"", b""]
        with socket.socket(socket.AF_UNIX) as wire, contextlib.ExitStack() as files:
            wire.connect(self._address)
            readers = []
            ends = []
            for number in range(2):
                end, start = os.pipe()
                ends.append(start)
                file = files.enter_context(os.fdopen(end, "rb"))
                readers.append(threading.Thread(target=_read, args=(file, outputs, number)))
            _send(wire, json.dumps(request).encode(), ends)
            for start in ends:
                os.close(start)
            for reader in readers:
                reader.start()
            answers = wire.makefile()
            pid = int(answers.readline())
            wire.settimeout(seconds)
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(command), seconds) from None
            finally:
                for reader in readers:
                    reader.join()
        out, err = (output.decode() for output in outputs)
        return subprocess.CompletedProcess(list(command), code, out, err)


def _taken_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(AT_START)}


def _umask() -> int:
    """Return this process's; to ask for it as usual changes it for a moment, for all threads."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Umask:"))
    return int(line.split()[1], 8)


def _read(file: Any, outputs: list[bytes], number: int) -> None:
    outputs[number] = file.read()


def _send(wire: socket.socket, request: bytes, files: list[int]) -> None:
    size = len(request).to_bytes(8, "big")
    wire.sendmsg([size], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))])
    wire.sendall(request)


def _receive(wire: socket.socket) -> tuple[dict[str, Any], list[int]]:
    files = array.array("i")
    size, ancillary, _, _ = wire.recvmsg(8, socket.CMSG_SPACE(2 * files.itemsize))
    for _, _, data in ancillary:
        files.frombytes(data)
    with wire.makefile("rb") as file:
        return json.loads(file.read(int.from_bytes(size, "big"))), list(files)


def _wait_for_commands(address: str) -> None:
    gc.disable()
    import_all()
    assert threading.active_count() == 1
    gc.freeze()
    gc.enable()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, _forget_ended)
    os.write(1, b"ready\n")
    while True:
        ready, _, _ = select.select([listener.fileno(), 0], [], [])
        if 0 in ready:
            return
        wire, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _attend(wire)
        wire.close()


def import_all() -> None:
    """Import envpack's modules and what their functions import, and read what is read once."""
    import envpack  # noqa: PLC0415 - the tests import it themselves

    names = [module.name for module in pkgutil.walk_packages(envpack.__path__, "envpack.")]
    for name in (name for name in names if not name.endswith(_FOREIGN)):
        module = importlib.import_module(name)
        for needed in _needed_later(Path(str(module.__file__)).read_text("utf-8")):
            with contextlib.suppress(ImportError):  # those of another platform or another Python
                importlib.import_module(needed)
    for name, function in _FACTS:
        getattr(importlib.import_module(name), function)()


def _needed_later(source: str) -> Iterator[str]:
    """Yield the modules that the functions of a module import."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from (each.name for each in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    yield node.module


def _forget_ended(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _attend(wire: socket.socket) -> None:
    """Run one command in a child and tell how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, files = _receive(wire)
    child = os.fork()
    if child == 0:
        wire.close()
        os._exit(_run(request, files))
    for file in files:
        os.close(file)
    with contextlib.suppress(OSError):  # nobody waits for a command that took too long
        wire.sendall(b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        wire.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _run(request: dict[str, Any], files: list[int]) -> int:
    """Run the script in this process, as a Python that was just started does."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, *files)):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding=sys.stdin.encoding)  # noqa: SIM115 - for as long as the process lives
    sys.stdout, sys.stderr = _writing(1, sys.stdout), _writing(2, sys.stderr)
    # A stream that another is put in the place of would be closed if nothing had it.
    held = [sys.stdin, sys.stdout, sys.stderr]
    for kind, limit in zip(_LIMITS, request["limits"], strict=True):
        resource.setrlimit(kind, limit)
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    script, *_ = sys.argv = request["command"]
    sys.path[0] = str(Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001 - as Python does with what nobody catches
        traceback.print_exc()
        return 1
    finally:
        for stream in held[1:]:
            stream.flush()
    return 0


def _writing(number: int, like: TextIO) -> TextIO:
    return open(number, "w", 1 if number == 2 else -1, encoding=like.encoding, errors=like.errors)


if __name__ == "__main__":
    _wait_for_commands(sys.argv[1])
