"""Run an unpacked environment's Python as a node would, and import modules in it."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from envpack.redact import filtered_logger, redact, without_secrets
from envpack.verify.finding import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

logger = filtered_logger(__name__)

_PROBE = Path(__file__).with_name("probe.py")
_LIBRARY = re.compile(r"(\S+): cannot open shared object file")
_OF_CLUSTER = re.compile(r"No module named '(pyspark|py4j)'")
_OUTPUT = "output"
_TAIL = 1 << 16
_SHOWN = 400


def bound_by_permissions() -> tuple[str, ...]:
    """Return the words before a command that make root, too, heed read-only files; nothing for other users.

    Root without CAP_DAC_OVERRIDE is bound by permissions as a node's user is (capabilities(7)). Empty also where
    `setpriv` of util-linux is missing or not allowed to do so.
    """
    words = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
    if os.geteuid() != 0 or not shutil.which(words[0]):
        return ()
    usable = (
        subprocess.run(
            [*words, "true"], capture_output=True, check=False, env=without_secrets(os.environ)
        ).returncode
        == 0
    )
    return words if usable else ()


@dataclass(frozen=True, kw_only=True)
class Node:
    """A directory that stands for a container on a node: the unpacked archive is its `environment`."""

    directory: Path
    """The working directory of the Python processes."""
    variables: Mapping[str, str]
    """The settings' variables, values relative to `directory`."""
    timeout: float
    """Seconds that one import may take."""
    guard: tuple[str, ...] = field(default_factory=bound_by_permissions)
    """Words before each command; see `bound_by_permissions`."""

    def environ(self) -> dict[str, str]:
        """Return the whole environment of a process: what YARN gives a container, and the settings.

        HOME is YARN's (`yarn.nodemanager.user-home-dir`). Temporary files stay in the directory.
        """
        return {"PATH": "/usr/bin:/bin", "HOME": "/home/", "TMPDIR": str(self.directory / "tmp"), **self.variables}


@dataclass(kw_only=True)
class Trial:
    """What the Python processes of a node told."""

    version: str | None = None
    """Of the Python; None when it did not start."""
    path: list[str] = field(default_factory=list)
    """The real paths on its `sys.path`."""
    certificates: int | None = None
    """How many authorities TLS trusts; None when `ssl` was not imported."""
    imported: list[str] = field(default_factory=list)
    """The modules that could be imported."""
    failed: dict[str, str] = field(default_factory=dict)
    """Every other module with the reason."""
    hung: set[str] = field(default_factory=set)
    """Those of the failed that did not end in time."""
    ended: str = ""
    """How the last process ended before it had done all, with the line it wrote about that."""
    importing: str | None = None
    """The module that was being imported when the last process ended."""

    @property
    def told(self) -> set[str]:
        """The modules of which it is known how they fared."""
        return {*self.imported, *self.failed}

    def begin(self) -> None:
        """Forget what the last process was at."""
        self.importing, self.ended = None, ""

    def hear(self, event: dict[str, Any]) -> None:
        """Take in one of the probe's lines."""
        self.importing = event.get("importing")
        if "version" in event:
            self.version, self.path = event["version"], event["path"]
        elif "imported" in event:
            self.imported.append(event["imported"])
        elif "failed" in event:
            first, *causes = event["reasons"]
            self.failed[event["failed"]] = "; caused by ".join(_short(text) for text in (first, *causes[-1:]))
        elif "certificates" in event:
            self.certificates = event["certificates"]


def try_modules(node: Node, modules: Sequence[str]) -> tuple[Trial, list[Defect]]:
    """Import modules in one process, and each that fails there once more in a process of its own.

    Returns what was told, and notes: on modules that fail only beside the others, and on what was not tried.
    """
    (node.directory / "tmp").mkdir(exist_ok=True)
    findings = []
    if os.geteuid() == 0 and not node.guard:
        text = "run as root without setpriv: that nobody can write to the environment was not tried"
        findings.append(Defect(text=text, fatal=False))
    trial = Trial()
    _run_all(node, modules, trial)
    for module in [name for name in trial.failed if name not in trial.hung]:
        alone = Trial()
        _run(node, [module], alone)
        if module in alone.imported:
            trial.imported.append(module)
            text = f"{module} can be imported alone, but not beside the others: {trial.failed.pop(module)}"
            findings.append(Defect(text=text, fatal=False))
    return trial, findings


def missing_library(reason: str) -> str | None:
    """Return the library that the dynamic linker did not find, if that is the reason."""
    match = _LIBRARY.search(reason)
    return match[1] if match else None


def missing_of_cluster(reason: str) -> bool:
    """Return whether the reason is that a module is missing which Spark puts on every worker's path."""
    return bool(_OF_CLUSTER.search(reason))


def hint_for(reason: str) -> str | None:
    """Return the next step for the reasons that are met most."""
    library = missing_library(reason)
    if "GLIBC_" in reason:
        return "solve for an older glibc with --glibc"
    if "GLIBCXX_" in reason or "CXXABI_" in reason:
        return "add libstdcxx-ng from a conda channel, so that the archive carries its own libstdc++"
    if library:
        return f"add a conda package that carries {library}"
    if "No module named" in reason:
        return "add the distribution that has this module to the requirements"
    return None


def _run_all(node: Node, modules: Sequence[str], trial: Trial) -> None:
    """Import all modules, going on in a new process behind each that ends its process."""
    left = list(modules)
    while left and _run(node, left, trial):
        left = [module for module in left if module not in trial.told]
    trial.failed.update((module, trial.ended) for module in left if module not in trial.told)


def _run(node: Node, modules: Sequence[str], trial: Trial) -> bool:
    """Import modules in one process until it ends; return whether it came as far as to try one.

    What ended it before its time is laid at the door of the module announced last.
    """
    trial.begin()
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as report:
        try:
            with _process(node, writing, modules) as process:
                for event in _events(report, node.timeout):
                    trial.hear(event)
                    if "done" in event:
                        return False
                trial.ended = _end(process, node)
        except TimeoutError:
            trial.ended = f"no answer within {node.timeout:g} s"
            trial.hung.update({trial.importing} if trial.importing else ())
        except OSError as error:
            trial.ended = str(error.strerror)
    if trial.importing:
        trial.failed[trial.importing] = trial.ended
    return trial.importing is not None


@contextmanager
def _process(node: Node, writing: int, modules: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start the environment's Python on the probe, and end it with all its children when the block ends."""
    command = [*node.guard, "./environment/bin/python", "-c", _PROBE.read_text("utf-8"), str(writing), *modules]
    with (node.directory / _OUTPUT).open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=node.directory,
                env=node.environ(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            os.close(writing)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _events(report: IO[bytes], timeout: float) -> Iterator[dict[str, Any]]:
    """Yield the probe's lines as they come. Raises TimeoutError when none comes within `timeout` seconds."""
    rest = b""
    while select.select([report], [], [], timeout)[0]:
        piece = report.read(1 << 16)
        if not piece:
            return
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield json.loads(line)
    raise TimeoutError


def _end(process: subprocess.Popen[bytes], node: Node) -> str:
    """Say how a process ended that was not asked to. Raises TimeoutError when it goes on in silence."""
    try:
        code = process.wait(timeout=node.timeout)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    if code < 0:
        end = f"the process was killed by {signal.Signals(-code).name}"
    else:
        end = f"the process ended with exit code {code}"
    with (node.directory / _OUTPUT).open("rb") as output:
        output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL))
        lines = [line.strip() for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    logger.info("the packed Python wrote: %s", redact("\n".join(lines)))
    telling = [line for line in lines if "rror" in line or "not found" in line] or lines
    return f"{end}: {_short(telling[-1])}" if telling else end


def _short(text: str) -> str:
    """Return a message on one line, without secrets and, when it is long, without its middle."""
    text = redact(" ".join(text.split()))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} ... {text[-_SHOWN // 2 :]}"
