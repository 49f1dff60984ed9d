"""Follow a job that a server runs: post it, poll it, delete it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from envpack.errors import LauncherFailed, UsageError
from envpack.jobs.watch import INTERRUPTED, JobResult

if TYPE_CHECKING:
    from envpack.jobs.job_file import JobFile
    from envpack.jobs.watch import JobWatch

_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_FAILURES = 10
"""Consecutive polls that may fail before following ends; the job goes on."""


class Batch(Protocol):
    """A job of a server."""

    name: str
    """The server's, for people."""

    def post(self) -> str:
        """Submit it, once; return its id on the server. Raises LauncherFailed when it is refused."""
        ...

    def look(self, watch: JobWatch) -> JobResult | None:
        """Report what is new; return how it ended, or None while it runs. Raises LauncherFailed."""
        ...

    def kill(self) -> None:
        """Kill it. Raises LauncherFailed when the server does not."""
        ...


def follow(batch: Batch, watch: JobWatch) -> JobResult:
    """Submit a job and follow it to its end."""
    watch.is_called(f"{batch.name} {batch.post()}")
    try:
        return _to_the_end(batch, watch)
    except KeyboardInterrupt:
        if not watch.kill(False):
            return JobResult(state="submitted", exit_code=INTERRUPTED)
        batch.kill()
        return JobResult(state="killed", exit_code=INTERRUPTED, said="it was interrupted")


def server_of(job: JobFile, name: str) -> str:
    """Return the address of a job's server; raises UsageError when nothing says it."""
    if not job.server:
        raise UsageError(
            f"{job.path}: `server` is missing: the address of {name} is not known",
            hint="write `server: http://HOST:PORT`, or give --server",
        )
    return job.server


def _to_the_end(batch: Batch, watch: JobWatch) -> JobResult:
    failures, pause = 0, _PAUSE
    while True:
        try:
            if ended := batch.look(watch):
                return ended
            failures = 0
        except LauncherFailed as error:
            failures += 1
            if failures == _FAILURES:
                raise LauncherFailed(f"{error.message}; the job may still run", hint=error.hint) from error
        if watch.late():
            batch.kill()
            return JobResult(state="killed", said="it took longer than its timeout")
        time.sleep(pause)
        pause = min(pause * 1.3, _LONGEST_PAUSE)
