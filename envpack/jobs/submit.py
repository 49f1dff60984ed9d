"""Submit a job: the order of the steps, from the plan to the end of the job."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from envpack import digest
from envpack.errors import EnvpackError, Gone, StoreRefused
from envpack.jobs import code, launch
from envpack.jobs.plan import RUNNER, deliver
from envpack.jobs.shown import without_secrets
from envpack.progress import SILENT
from envpack.redact import MASK
from envpack.releases import keys, lookup, removal_notice, submissions
from envpack.releases.provenance import who
from envpack.units import human_size, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.files.cache import Cache
    from envpack.jobs.plan import Planned
    from envpack.jobs.watch import JobResult, JobWatch
    from envpack.progress import Progress
    from envpack.releases.submissions import Record


def text(planned: Planned) -> str:
    """Return the submission without its secrets: a command, a request's body, a resource. Nothing is changed."""
    return launch.submitter_of(planned.launcher).text(without_secrets(planned))


def submit(planned: Planned, watch: JobWatch, cache: Cache) -> JobResult:
    """Send the code, write the record, submit the job, follow it to its end.

    Raises LauncherFailed when it cannot be submitted, and the errors of the store.
    """
    submitter = launch.submitter_of(planned.launcher)
    submitter.text(planned)  # fails before anything is sent
    progress = watch.progress
    watch.record = _recorded(planned, cache, progress)
    if planned.job.timeout:
        watch.deadline = time.monotonic() + span(planned.job.timeout)
    try:
        ended = submitter.run(planned, watch)
    except EnvpackError as error:
        if watch.record and not watch.application:  # a job with an id may go on
            watch.record.update(state="failed", said=error.message)
        raise
    watch.has_ended(ended)
    return ended


def lacking(planned: Planned) -> Iterator[str]:
    """Yield what the printed command needs and what is missing. Raises Conflict for other content."""
    if without_secrets(planned) != planned:
        yield f"{MASK} is printed for each secret: put the value in, or let the job read it at run time"
    if planned.launcher.driver == "local":
        if planned.directory and not planned.directory.is_dir():
            reference = planned.release.manifest.reference
            yield f"{planned.directory} does not exist yet: `envpack run {reference} -- true` unpacks it"
        if not (Path(planned.program).is_file() and Path(planned.zip).is_file()):
            yield "this code is not in the cache yet: `envpack submit` puts it there"
        return
    runner = keys.runner(digest.of_bytes(RUNNER.read_bytes()))
    if code.there(planned.store, planned.code) is None or planned.store.size(runner) is None:
        yield f"this code is not in the store yet: `envpack job code {planned.job.path}` sends it"


def send(planned: Planned, cache: Cache, progress: Progress = SILENT) -> None:
    """Put the code where the launcher reads it, unless it exists."""
    sent = deliver(planned, cache)
    size = f", {human_size(len(planned.bundle.data))}" if planned.bundle else ""
    progress.info(f"code {planned.code[:16]}{size}, {'sent' if sent else 'was there'}")


def _recorded(planned: Planned, cache: Cache, progress: Progress) -> Record | None:
    """Send the code and write the record, so that a simultaneous removal sees both."""
    manifest = planned.release.manifest
    record = submissions.new(
        planned.store,
        job=planned.job.name,
        release=manifest.name,
        digest=manifest.digest,
        code=planned.code,
        entrypoint=planned.module,
        parameters=submissions.masked(planned.parameters),
        launcher=planned.launcher.name,
        by=who(os.environ)[0],
    )
    send(planned, cache, progress)

    def put(_removed: bool) -> None:
        if planned.bundle and code.there(planned.store, planned.code) is None:
            code.send(planned.store, planned.bundle)
        record.write()

    def put_beside_code(_removed: bool) -> None:
        removal_notice.beside_removals(planned.store, keys.code_folder(planned.code), put)

    try:
        removal_notice.beside_removals(planned.store, keys.folder(manifest.name, manifest.digest), put_beside_code)
    except StoreRefused as error:
        progress.warn(f"the submission is not recorded: {error.message}")
        return None
    if lookup.at(planned.store, manifest.name, manifest.digest) is None:
        raise Gone(f"{manifest.reference} was just removed", hint="run `envpack build FILE` again")
    return record
