"""Submit a job as a batch of Livy, over its REST API, and follow it.

Source: Livy's docs/rest-api.md; the states are those of SessionState.scala. Livy keeps the last lines of
spark-submit's output, YARN's diagnostics among them, and forgets a batch ten minutes after its end.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

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

_OVER: dict[str, Literal["succeeded", "failed", "killed"]] = {
    "success": "succeeded",
    "dead": "failed",
    "error": "failed",
    "killed": "killed",
}
_NAME = "Livy"
_LINES = 100
_CODE = re.compile(r"[Uu]ser application exited with (?:status )?(\d+)")


def check(job: JobFile, launcher: Launcher, *, dry_run: bool) -> None:  # noqa: ARG001 - there is one
    """Raise UsageError when nothing says where the server is; a dry run needs none."""
    if not dry_run:
        batch.server_of(job, _NAME)


def body(planned: Planned) -> dict[str, Any]:
    """Return the body of POST /batches: what `envpack settings` prints, and the job's own."""
    given = json.loads(render(planned.settings, "text"))
    conf = {**planned.conf, "spark.app.name": planned.job.name}
    arguments = list(planned.arguments)
    return {**given, "file": planned.program, "pyFiles": [planned.zip], "args": arguments, "conf": conf}


def text(planned: Planned) -> str:
    """Return the body of the request."""
    return json.dumps(body(planned), indent=2, ensure_ascii=False)


def run(planned: Planned, watch: JobWatch) -> JobResult:
    """Post the batch and follow it to its end."""
    return batch.follow(_Batch(planned), watch)


class _Posted(Struct):
    id: int | None = None


class _Pages(Struct):
    sparkUiUrl: str | None = None  # noqa: N815 - Livy's name


class _Told(Struct):
    state: str
    appId: str | None = None  # noqa: N815 - Livy's name
    appInfo: _Pages | None = None  # noqa: N815 - Livy's name


class _Log(Struct):
    log: tuple[str, ...] | None = None


class _Batch:
    """One batch of a Livy server."""

    name = _NAME

    def __init__(self, planned: Planned) -> None:
        self._server = Server(batch.server_of(planned.job, self.name), name=self.name)
        self._body = body(planned)
        self._path = ""
        self._printed: list[str] = []
        self._code: int | None = None

    def post(self) -> str:
        posted = self._server.ask("POST", "/batches", _Posted, self._body)
        if posted is None or posted.id is None:
            raise LauncherFailed(
                "Livy's reply has no batch id", hint="check that `server:` or --server is the address of Livy"
            )
        self._path = f"/batches/{posted.id}"
        return str(posted.id)

    def look(self, watch: JobWatch) -> JobResult | None:
        told = self._server.ask("GET", self._path, _Told)
        if told is None:
            application = f": ask YARN for {watch.application}" if watch.application else ""
            return JobResult(state="unknown", said=f"Livy has forgotten {self._path}{application}")
        page = told.appInfo.sparkUiUrl if told.appInfo else None
        watch.is_called(told.appId or watch.application, page or "")
        for line in self._new_lines():
            watch.log(line)
            if found := _CODE.search(line):
                self._code = int(found[1])
        watch.is_in(told.state)
        if told.state not in _OVER:
            return None
        ended = _OVER[told.state]
        said = "" if ended == "succeeded" else f"Livy says {told.state}"
        return JobResult(state=ended, exit_code=0 if ended == "succeeded" else self._code, said=said)

    def kill(self) -> None:
        self._server.ask("DELETE", self._path, dict[str, object])

    def _new_lines(self) -> list[str]:
        """Return the new lines; Livy keeps only the last ones, and their numbers change."""
        told = self._server.ask("GET", f"{self._path}/log?from=-1&size={_LINES}", _Log)
        lines = [
            line
            for line in (told and told.log) or ()
            if line.strip() not in ("stdout:", "stderr:", "YARN Diagnostics:", "")
        ]
        before = self._printed
        start = next((cut for cut in range(len(before) + 1) if lines[: len(before) - cut] == before[cut:]), 0)
        new = lines[len(before) - start :]
        self._printed = lines
        return new
