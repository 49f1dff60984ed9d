"""Kill a submitted job from any machine, by its record: the client that submitted it need not live."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack.errors import LauncherFailed, UsageError
from envpack.jobs import yarn
from envpack.jobs.rest import Server
from envpack.units import now

if TYPE_CHECKING:
    from envpack.releases.submissions import Record

_OF_YARN = re.compile(r"application_\d+_\d+")
_BATCHES = {"Livy": "/batches/", "Kyuubi": "/api/v1/batches/"}
"""Where a server has its batches, by the first word of what a record calls the application."""

_GOES_ON = ("submitting", "submitted", "unknown")


def kill(record: Record, server: str | None) -> None:
    """Kill the job of a record, and note it there; `server` is the address of Livy or Kyuubi.

    Raises UsageError when the job has ended or cannot be killed from here, LauncherFailed when it was not killed.
    """
    job = record.value
    if job.state not in _GOES_ON:
        raise UsageError(
            f"the job {job.job} has already ended: {job.state}", hint="`envpack job history` shows how it ended"
        )
    service, _, batch = job.application.partition(" ")
    if _OF_YARN.fullmatch(job.application):
        yarn.kill(job.application, job.address)
    elif service in _BATCHES and batch:
        if not server:
            raise UsageError(
                f"{job.application}: the address of {service} is not known", hint="give --server http://HOST:PORT"
            )
        if Server(server, name=service).ask("DELETE", f"{_BATCHES[service]}{batch}", dict[str, object]) is None:
            raise LauncherFailed(
                f"{service} has no batch {batch}", hint=f"it may have ended: {service} removes such batches"
            )
    else:
        shown = job.application or "a job without an id"
        raise UsageError(
            f"envpack cannot kill {shown} of {job.launcher}",
            hint="use the launcher's own command; envpack kills applications on YARN and batches of Livy and "
            "Kyuubi",
        )
    record.update(state="killed", ended=now(), said="it was killed by envpack job kill")
