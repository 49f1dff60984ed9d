"""Run an unpacked environment's Python as a node would, and import modules in it."""

from __future__ import annotations

import json
import re
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpack.archive import guard
from envpack.progress import SILENT, Progress
from envpack.redact import redact
from envpack.redact.logs import filtered_logger
from envpack.tools import cage
from envpack.tools.cage import Cage, Confine, Limits
from envpack.tools.process import lines_of
from envpack.tools.report import BrokenReport, ReportPipe
from envpack.verify.finding import Defect

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from envpack.tools.cage import Caged
    from envpack.tools.emulator import Emulator

logger = filtered_logger(__name__)

PROBE = Path(__file__).with_name("probe.py")
"""The program that the archive's Python runs."""
_LIBRARY = re.compile(r"(\S+): cannot open shared object file")
_OF_CLUSTER = re.compile(r"No module named '(pyspark|py4j)'")
OF_THE_NODE = "packages-of-the-node"
"""The name of a directory that the node's PYTHONPATH has: what is in it must come after the archive's packages."""
_SHOWN, _READ = 400, 4000
"""Characters of a message that are shown, and that are read."""
_STARTING = 60.0
_LEAVING = 5.0
"""Seconds that a process may take to end after it closed its report, usually by dying."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A directory that represents a node: the unpacked archive is its `environment`."""

    directory: Path
    """Only what `cage` makes in it may be changed."""
    variables: Mapping[str, str]
    """The settings' variables, values relative to the directory of a container."""
    timeout: float
    """Seconds that one import may take."""
    confine: Confine = Confine.BEST
    emulator: Emulator | None = None
    """The emulator of its Python, when that is for another processor."""
    progress: Progress = SILENT

    @property
    def environment(self) -> Path:
        """Where the archive is unpacked."""
        return self.directory / "environment"

    def cage(self, modules: int) -> Cage:
        """Return the cage of one process that imports so many modules, in an unused container.

        YARN links the unpacked archive into the container's directory, the only one that may be written to, and
        names a home that nobody may write to (`yarn.nodemanager.user-home-dir`, by default `/home/`). The process
        is no user of this machine. Whether modes let every user read is checked when the archive is unpacked.
        The node has packages of its own in PYTHONPATH, which are none: where they come shows which would win.
        """
        container = Path(tempfile.mkdtemp(prefix="container-", dir=self.directory))
        (container / "tmp").mkdir()
        (container / OF_THE_NODE).mkdir(mode=0o555)
        (container / "environment").symlink_to(self.environment)
        (container / "home").mkdir(mode=0o555)
        return Cage(
            directory=container,
            environ={
                "PATH": "/usr/bin:/bin",
                "HOME": str(container / "home"),
                "USER": cage.USER,
                "LOGNAME": cage.USER,
                "TMPDIR": str(container / "tmp"),
                "PYTHONPATH": str(container / OF_THE_NODE),
                **self.variables,
            },
            readable=[self.environment, *(self.emulator.readable if self.emulator else [])],
            writable=[container],
            limits=Limits(seconds=(modules + 1) * self.timeout + _STARTING),
            confine=self.confine,
            progress=self.progress,
        )


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The result of one process's imports."""

    files: frozenset[str]
    """Modules and libraries, by path from the environment."""
    missed: frozenset[str]
    """The modules that were looked for and not found, by their full names."""


@dataclass(kw_only=True)
class Trial:
    """The reports of a node's Python processes."""

    version: str | None = None
    """The version of the Python; None when it did not start."""
    path: list[str] = field(default_factory=list)
    """The real paths on its `sys.path`."""
    certificates: int | None = None
    """How many authorities TLS trusts; None when `ssl` was not imported."""
    imported: list[str] = field(default_factory=list)
    """The modules that could be imported."""
    alone: set[str] = field(default_factory=set)
    """Those of them that failed beside others, and were imported in a process of their own."""
    failed: dict[str, str] = field(default_factory=dict)
    """Every other module with the reason."""
    hung: set[str] = field(default_factory=set)
    """Those of the failed that did not end in time."""
    ended: str = ""
    """How the last process ended before it had done all, with the line it wrote about that."""
    importing: str | None = None
    """The module that was being imported when the last process ended."""
    processes: int = 0
    """How many were started."""
    loaded: Loaded | None = None
    """What the last process has loaded, if it reported that."""
    before: Loaded | None = None
    """What it had loaded before the modules that come last, if it reported that."""

    @property
    def told(self) -> set[str]:
        """The modules whose result is known."""
        return {*self.imported, *self.failed}

    def begin(self) -> None:
        """Forget the module that the last process was importing."""
        self.importing, self.ended = None, ""
        self.before = self.loaded = None
        self.processes += 1

    def fail(self, module: str, reason: str) -> None:
        """Note why a module could not be imported, replacing an earlier result."""
        with suppress(ValueError):
            self.imported.remove(module)
        self.failed[module] = reason


def try_modules(node: Node, modules: Sequence[str], last: Sequence[str] = ()) -> tuple[Trial, list[Defect]]:
    """Import modules in one process, then the `last` ones, and each that fails there once more in its own process.

    Returns the reports, and notes: on modules that fail only together with others, and on untried ones.
    """
    findings = []
    trial = Trial()
    _run_all(node, [*modules, *last], trial, frozenset(last))
    for module in [name for name in trial.failed if name not in trial.hung]:
        alone = Trial()
        _run(node, [module], alone)
        if module in alone.imported:
            trial.imported.append(module)
            trial.alone.add(module)
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
    """Return the next step for the most common reasons."""
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


def _run_all(node: Node, modules: Sequence[str], trial: Trial, last: Collection[str]) -> None:
    """Import all modules, continuing in a new process after each that ends its process."""
    left = list(modules)
    while left and _run(node, left, trial, last):
        left = [module for module in left if module not in trial.told]
    trial.failed.update((module, trial.ended) for module in left if module not in trial.told)


def _run(node: Node, modules: Sequence[str], trial: Trial, last: Collection[str] = ()) -> bool:
    """Import modules in one process until it ends; return whether it tried at least one.

    A premature end is attributed to the module that was being imported.
    """
    trial.begin()
    text = PROBE.read_text("utf-8")
    try:
        # qemu runs programs of its processor, no scripts.
        words = [*node.emulator.words, guard.program(node.environment)] if node.emulator else ["bin/python"]
        command = [*words[:-1], f"./environment/{words[-1]}", "-c", text, str(cage.REPORT)]
        with cage.start(command, node.cage(len(modules)), told=True) as caged:
            try:
                _converse(caged, modules, trial, node.timeout, last)
            except TimeoutError:
                trial.ended = f"no answer within {node.timeout:g} s"
                trial.hung.update({trial.importing} if trial.importing else ())
            except BrokenReport as broken:
                trial.ended = f"its report is not what it should be: {broken}"
            except EOFError:
                trial.ended = _end(caged)
    except OSError as error:
        trial.ended = str(error.strerror)
    if trial.importing:
        trial.fail(trial.importing, trial.ended)
    return trial.importing is not None


def _converse(caged: Caged, modules: Sequence[str], trial: Trial, timeout: float, last: Collection[str]) -> None:
    """Import one module after the other; ask what they loaded before the first of the `last` ones, and at the end.

    Raises TimeoutError, BrokenReport, and EOFError at the end of the report. A secret token distinguishes the
    probe's answers from output of modules.
    """
    report = ReportPipe(caged.report)
    hello = _event(report, timeout)
    version, path = hello.get("version"), hello.get("path")
    if not (isinstance(version, str) and isinstance(path, list) and all(isinstance(each, str) for each in path)):
        raise BrokenReport("it does not begin with a version and a path")
    trial.version, trial.path = _short(version), path
    for module in modules:
        trial.importing = module
        if module in last and trial.before is None:
            trial.before = _loaded(caged, report, timeout)
        token = secrets.token_hex(8)
        assert caged.commands is not None  # noqa: S101 - for the type checker: it was asked for
        with suppress(BrokenPipeError):
            caged.commands.write(json.dumps({"import": module, "token": token}).encode() + b"\n")
        _take_in(module, _event(report, timeout), token, trial)
        if report.is_ahead() and not _has_ended(report):
            raise BrokenReport("it says more than was asked")
    trial.importing = None
    with suppress(BrokenReport, TimeoutError, EOFError, OSError):
        trial.loaded = _loaded(caged, report, timeout)


def _loaded(caged: Caged, report: ReportPipe, timeout: float) -> Loaded:
    """Ask what was loaded; raises as `_converse` does."""
    token = secrets.token_hex(8)
    assert caged.commands is not None  # noqa: S101 - for the type checker: it was asked for
    with suppress(BrokenPipeError):
        caged.commands.write(json.dumps({"token": token}).encode() + b"\n")
    found: dict[str, set[str]] = {"files": set(), "missed": set()}
    while not (event := _event(report, timeout)).get("all"):
        if event.get("token") != token:
            raise BrokenReport("an answer is not the probe's")
        for kind, names in found.items():
            told = event.get(kind, [])
            if not (isinstance(told, list) and all(isinstance(each, str) for each in told)):
                raise BrokenReport("names that are no texts")
            names.update(told)
    return Loaded(files=frozenset(found["files"]), missed=frozenset(found["missed"]))


def _take_in(module: str, event: dict[str, Any], token: str, trial: Trial) -> None:
    if event.get("token") != token:
        raise BrokenReport("an answer is not the probe's")
    reasons, certificates = event.get("reasons"), event.get("certificates")
    if reasons is not None:
        if not (isinstance(reasons, list) and reasons and all(isinstance(each, str) for each in reasons)):
            raise BrokenReport("reasons that are no texts")
        first, *causes = reasons
        trial.failed[module] = "; caused by ".join(_short(text) for text in (first, *causes[-1:]))
        return
    if not isinstance(certificates, (int, type(None))):
        raise BrokenReport("a number that is none")
    if module == "ssl":
        trial.certificates = certificates
    trial.imported.append(module)


def _event(report: ReportPipe, timeout: float) -> dict[str, Any]:
    """Return the next object of a report; raises as `_converse` does."""
    line = report.line(timeout)
    if line is None:
        raise EOFError
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BrokenReport("a line of it is not JSON") from error
    if not isinstance(event, dict):
        raise BrokenReport("a line of it is no object")
    return event


def _has_ended(report: ReportPipe) -> bool:
    """Return whether the process is gone, which is then attributed to the next module."""
    with suppress(TimeoutError):
        return report.line(0) is None
    return False


def _end(caged: Caged) -> str:
    """Say how a process ended on its own."""
    try:
        ended = caged.wait(_LEAVING)
    except TimeoutError:
        caged.end()
        return "it closed its report and went on"
    lines = lines_of(ended.output)
    logger.info("the packed Python wrote: %s", redact("\n".join(lines)))
    end = f"the process {ended.problem or 'ended with exit code 0'}"
    telling = [line for line in lines if "rror" in line or "not found" in line] or lines
    return f"{end}: {_short(telling[-1])}" if telling else end


def _short(text: str) -> str:
    """Return a message on one line, without secrets and control characters; a long one without its middle."""
    if len(text) > _READ:
        text = f"{text[: _READ // 2]} {text[-_READ // 2 :]}"
    text = redact("".join(char for char in " ".join(text.split()) if char.isprintable()))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} ... {text[-_SHOWN // 2 :]}"
