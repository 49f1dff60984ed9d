"""Submit a job as a batch of Kyuubi, over its REST API, and follow it.

Source: Kyuubi's rest_api.md and BatchesResource.scala. The batch's name is chosen here, so that a repeated request
starts only one job.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from envpack.errors import LauncherFailed
from envpack.jobs import batch
from envpack.jobs.rest import Server
from envpack.jobs.watch import JobResult
from envpack.spark.render import render

if TYPE_CHECKING:
    from envpack.jobs.job_file import JobFile
    from envpack.jobs.plan import Planned
    from envpack.jobs.watch import JobWatch
    from envpack.spark.launcher import Launcher

_ID = "kyuubi.batch.id"
_SUCCEEDED = "FINISHED"
_OVER = {"FINISHED": "succeeded", "ERROR": "failed", "TIMEOUT": "failed", "CANCELED": "killed", "CLOSED": "killed"}
_NAME = "Kyuubi"
_LINES = 500


def check(job: JobFile, launcher: Launcher, *, dry_run: bool) -> None:  # noqa: ARG001 - there is one
    """Raise UsageError when nothing says where the server is; a dry run needs none."""
    if not dry_run:
        batch.server_of(job, _NAME)


def body(planned: Planned) -> dict[str, Any]:
    """Return the body of POST /api/v1/batches: what `envpack settings` prints, and the job's own."""
    given = json.loads(render(planned.settings, "text"))
    conf = {**given["conf"], **planned.conf, "spark.submit.pyFiles": planned.zip}
    return {
        **given,
        "name": planned.job.name,
        "resource": planned.program,
        "conf": conf,
        "args": list(planned.arguments),
    }


def text(planned: Planned) -> str:
    """Return the body of the request."""
    return json.dumps(body(planned), indent=2, ensure_ascii=False)


def run(planned: Planned, watch: JobWatch) -> JobResult:
    """Post the batch and follow it to its end."""
    return batch.follow(_Batch(planned), watch)


class _Posted(Struct):
    id: str = ""


class _Told(Struct):
    state: str
    appId: str | None = None  # noqa: N815 - Kyuubi's names, here and below
    appUrl: str | None = None  # noqa: N815
    appState: str | None = None  # noqa: N815
    appDiagnostic: str | None = None  # noqa: N815


class _Log(Struct):
    logRowSet: tuple[str, ...] | None = None  # noqa: N815


class _Batch:
    """One batch of a Kyuubi server."""

    name = _NAME

    def __init__(self, planned: Planned) -> None:
        self._server = Server(batch.server_of(planned.job, self.name), name=self.name)
        made = body(planned)
        self._id = str(uuid.uuid4())
        self._body = {**made, "conf": {**made["conf"], _ID: self._id}}
        self._lines = 0

    def post(self) -> str:
        posted = self._server.ask("POST", "/api/v1/batches", _Posted, self._body)
        if posted is None or not posted.id:
            raise LauncherFailed(
                "Kyuubi's reply has no batch id", hint="check that `server:` or --server is the address of Kyuubi"
            )
        self._id = posted.id
        return self._id

    def look(self, watch: JobWatch) -> JobResult | None:
        told = self._server.ask("GET", f"/api/v1/batches/{self._id}", _Told)
        if told is None:
            return JobResult(state="unknown", said=f"Kyuubi has forgotten the batch {self._id}")
        watch.is_called(told.appId or watch.application, told.appUrl or "")
        log = self._server.ask("GET", f"/api/v1/batches/{self._id}/localLog?from={self._lines}&size={_LINES}", _Log)
        lines = (log and log.logRowSet) or ()
        self._lines += len(lines)
        for line in lines:
            watch.log(line)
        watch.is_in(told.appState or told.state)
        if told.state not in _OVER or len(lines) == _LINES:
            return None
        return _ended(told.state, told.appState or "", told.appDiagnostic or "")

    def kill(self) -> None:
        self._server.ask("DELETE", f"/api/v1/batches/{self._id}", dict[str, object])


def _ended(state: str, application: str, diagnostic: str) -> JobResult:
    """Return how a batch ended. ERROR can mean that Kyuubi lost track of it: the application's state counts."""
    if state == _SUCCEEDED or (state == "ERROR" and application == _SUCCEEDED):
        return JobResult(state="succeeded", exit_code=0)
    said = diagnostic or f"Kyuubi says {state}"
    if state == "ERROR" and application in ("UNKNOWN", "PENDING", "RUNNING"):
        return JobResult(state="unknown", said=said)
    return JobResult(state="killed" if _OVER[state] == "killed" or application == "KILLED" else "failed", said=said)
