"""Submit a job with spark-submit, follow its output, and find out how the job itself ended.

spark-submit's own exit code is the job's only where the driver runs on the same machine. On YARN in cluster mode
the number is in the diagnostics that it prints; on Kubernetes in cluster mode it always ends with 0 (SPARK-26365),
and prints the pod's final status.
"""

from __future__ import annotations

import errno
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from envpack.errors import LauncherFailed, UsageError
from envpack.jobs import yarn
from envpack.jobs.watch import INTERRUPTED, JobResult
from envpack.spark.paste import shell_word
from envpack.tools.process import how_it_ended, kill_group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpack.jobs.job_file import JobFile
    from envpack.jobs.plan import Planned
    from envpack.jobs.watch import JobWatch
    from envpack.spark.launcher import Launcher

PROGRAM = "spark-submit"

_UNSET = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
"""Variables of the submitting shell that would choose another Python: they reach drivers on a cluster."""

_POLL = 0.2
_GRACE = 10.0
"""Seconds for a driver to end by itself."""

_LINGER = 2.0
"""Seconds to wait for output after spark-submit has ended."""

_YARN_ID = re.compile(r"\bapplication_\d+_\d+\b")
_YARN_STATE = re.compile(r"\bapplication_\d+_\d+ \(state: (\w+)\)")
_YARN_FINAL = re.compile(r"\bfinal status: (\w+)")
_YARN_ADDRESS = re.compile(r"\btracking URL: (\S+)")
_YARN_CODE = re.compile(r"[Uu]ser application exited with (?:status )?(\d+)")
_POD = re.compile(r"\bsubmission ID (\S+:\S+)|\bpod name: (\S+)")
_PHASE = re.compile(r"\bphase: (\w+)")
_POD_CODE = re.compile(r"\bexit code: (-?\d+)")
_APPLICATION = re.compile(r"\bapp ID (app-\d+-\d+)")
_UI = re.compile(r"SparkUI.*? at (http://\S+)")
_UI_PORT = re.compile(r"Successfully started service 'SparkUI' on port (\d+)")


@dataclass(frozen=True, kw_only=True)
class SubmitCommand:
    """The command: its words, and its variables in addition to the shell's."""

    words: tuple[str, ...]
    env: Mapping[str, str]

    def text(self) -> str:
        """Return it for a shell; it is what `run` runs."""
        first = [f"env {' '.join(f'-u {name}' for name in _UNSET)}"]
        first += [f"{name}={shell_word(value)}" for name, value in self.env.items()]
        return " \\\n".join([" ".join([*first, PROGRAM]), *_in_pairs(self.words[1:])])


def check(job: JobFile, launcher: Launcher, *, dry_run: bool) -> None:  # noqa: ARG001 - a command names a master
    """Raise UsageError when nothing says which master it is."""
    if not (job.master or launcher.master):
        example = "k8s://https://HOST:PORT" if launcher.mode else "spark://HOST:7077"
        raise UsageError(
            f"{job.path}: `master` is missing: with {launcher.name} it says where to submit",
            hint=f"write `master: {example}`, or give --master",
        )


def command(planned: Planned) -> SubmitCommand:
    """Return the command that submits a job."""
    launcher, job = planned.launcher, planned.job
    mode = ("--deploy-mode", launcher.mode) if launcher.mode else ()
    words = [PROGRAM, "--master", str(planned.master), *mode, "--name", job.name, *planned.settings.arguments]
    words += [word for name, value in planned.conf.items() for word in ("--conf", f"{name}={value}")]
    words += ["--py-files", planned.zip, planned.program, *planned.arguments]
    return SubmitCommand(words=tuple(words), env=planned.env)


def text(planned: Planned) -> str:
    """Return what `--dry-run` prints."""
    return command(planned).text()


def run(planned: Planned, watch: JobWatch) -> JobResult:
    """Submit a job and follow it to its end. Raises LauncherFailed where there is no spark-submit."""
    made = command(planned)
    program = shutil.which(PROGRAM)
    if program is None:
        raise LauncherFailed(
            f"{PROGRAM} is not on PATH",
            hint="put Spark's bin on PATH, or use --launcher livy-batch; --dry-run prints the command to run on "
            "another machine",
        )
    kept = {name: value for name, value in os.environ.items() if name not in _UNSET}
    try:
        process = subprocess.Popen(
            made.words,
            executable=program,
            env={**kept, **made.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        too_long = error.errno == errno.E2BIG
        raise LauncherFailed(
            f"{program} cannot be run: {error.strerror}",
            hint="pass long values in a file of the code base"
            if too_long
            else "check that this file is executable",
        ) from error
    return _Following(planned, process, watch).to_the_end()


class _Following:
    """Reads the output of one spark-submit."""

    def __init__(self, planned: Planned, process: subprocess.Popen[bytes], watch: JobWatch) -> None:
        self._launcher = planned.launcher
        self._master = str(planned.master)
        self._process = process
        self._watch = watch
        self._lines: queue.Queue[tuple[bool, str] | None] = queue.Queue(10_000)
        self._final = self._phase = ""
        self._code: int | None = None
        self._last = ""
        for stream, is_output in ((process.stdout, True), (process.stderr, False)):
            threading.Thread(target=self._read, args=(stream, is_output), daemon=True).start()

    def to_the_end(self) -> JobResult:
        try:
            for is_output, line in self._all():
                if self._watch.late():
                    self._kill()
                    return JobResult(state="killed", said="it took longer than its timeout")
                if is_output:
                    self._watch.out(line)
                else:
                    self._take(line)
                    self._watch.log(line)
        except KeyboardInterrupt:
            return self._interrupted()
        return self._verdict(self._process.wait())

    def _all(self) -> Iterator[tuple[bool, str]]:
        """Yield every line, and regularly an empty one of the log, with whether it is from standard output."""
        open_streams, ended = 2, 0.0
        while open_streams:
            with suppress(queue.Empty):
                found = self._lines.get(timeout=_POLL)
                if found is None:
                    open_streams -= 1
                else:
                    yield found
                continue
            if self._process.poll() is not None:  # its children may hold its streams open
                ended = ended or time.monotonic()
                if time.monotonic() - ended > _LINGER:
                    return
            if self._watch.late():
                yield False, ""

    def _read(self, stream: IO[bytes] | None, is_output: bool) -> None:
        if stream:
            for line in stream:
                self._lines.put((is_output, line.decode("utf-8", "replace").rstrip("\r\n")))
        self._lines.put(None)

    def _take(self, line: str) -> None:
        """Read the application's data from a line of the log."""
        if line.strip():
            self._last = line if " ERROR " in line or "Exception" in line or not self._last else self._last
        if self._launcher.yarn:
            self._take_of_yarn(line)
        elif self._launcher.kubernetes:
            self._take_of_kubernetes(line)
        elif found := _APPLICATION.search(line):
            self._watch.is_called(found[1])
        if found := _UI.search(line):
            self._watch.is_called(self._watch.application, found[1])
        elif found := _UI_PORT.search(line):
            self._watch.is_called(self._watch.application, f"http://localhost:{found[1]}")

    def _take_of_yarn(self, line: str) -> None:
        if found := _YARN_ID.search(line):
            self._watch.is_called(found[0])
        if found := _YARN_ADDRESS.search(line):
            self._watch.is_called(self._watch.application, found[1] if found[1].startswith("http") else "")
        if found := _YARN_STATE.search(line):
            self._watch.is_in(found[1])
        if found := _YARN_FINAL.search(line):
            self._final = found[1]
        if found := _YARN_CODE.search(line):
            self._code = int(found[1])

    def _take_of_kubernetes(self, line: str) -> None:
        if found := _POD.search(line):
            self._watch.is_called(found[1] or found[2])
        if found := _PHASE.search(line):
            self._phase = found[1]
            self._watch.is_in(found[1])
        if found := _POD_CODE.search(line):
            self._code = int(found[1])

    def _verdict(self, code: int) -> JobResult:
        """Return how the job ended; `code` is spark-submit's exit code."""
        if code < 0:
            return JobResult(state="killed", exit_code=128 - code, said=f"{PROGRAM} {how_it_ended(code)}")
        cluster = self._launcher.driver == "cluster"
        if cluster and self._launcher.kubernetes and code == 0:
            return self._verdict_of_pod()
        if code == 0:
            undefined = cluster and self._launcher.yarn and self._final not in ("SUCCEEDED", "")
            return JobResult(state="submitted" if undefined else "succeeded", exit_code=0)
        if self._final == "KILLED":
            return JobResult(state="killed", exit_code=code)
        own = self._code or code
        return JobResult(state="failed", exit_code=own, said=self._why(own))

    def _verdict_of_pod(self) -> JobResult:
        if self._phase == "Succeeded":
            return JobResult(state="succeeded", exit_code=0)
        if self._phase == "Failed":
            said = "the driver's pod failed"
            return JobResult(state="failed", exit_code=self._code, said=said)
        return JobResult(state="unknown", said=f"{PROGRAM} did not say how the driver's pod ended")

    def _why(self, code: int) -> str:
        if self._code is None and not self._watch.state and self._launcher.driver == "cluster":
            return f"it was not accepted: {self._last.strip()}"
        return f"exit code {code}"

    def _interrupted(self) -> JobResult:
        here = self._launcher.driver != "cluster"
        if self._watch.kill(here):
            self._kill()
            return JobResult(state="killed", exit_code=INTERRUPTED, said="it was interrupted")
        if self._launcher.driver == "cluster":
            # The application goes on by itself; spark-submit only watches it.
            kill_group(self._process)
        return JobResult(state="submitted", exit_code=INTERRUPTED)

    def _kill(self) -> None:
        if self._launcher.driver == "cluster" and self._watch.application:
            self._watch.progress.info(f"killing {self._watch.application}")
            kill_application(
                self._watch.application,
                master=self._master,
                address=self._watch.address,
                yarn_starts_it=self._launcher.yarn,
            )
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            kill_group(self._process)


def kill_application(application: str, *, master: str, address: str, yarn_starts_it: bool) -> None:
    """Kill an application of a cluster, whether or not its spark-submit lives. Raises LauncherFailed."""
    if yarn_starts_it:
        yarn.kill(application, address)
        return
    done = subprocess.run(
        [PROGRAM, "--master", master, "--kill", application],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=dict(os.environ),  # as when it was submitted
    )
    if done.returncode:
        raise LauncherFailed(
            f"{application} was not killed: {done.stderr.strip().splitlines()[-1:] or 'spark-submit failed'}",
            hint=f"kill it with `{PROGRAM} --master {shlex.quote(master)} --kill {application}`",
        )


def _in_pairs(words: tuple[str, ...]) -> Iterator[str]:
    """Yield options with their values, then the program, then the rest, as lines of a command."""
    position = 0
    while position < len(words) and words[position].startswith("--"):
        yield " ".join(map(shell_word, words[position : position + 2]))
        position += 2
    yield " ".join(map(shell_word, words[position:]))
