"""Follow a submitted job: report what is new, note it in the record, and stop on request."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from envpack.progress import SILENT
from envpack.units import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from envpack.progress import Progress
    from envpack.releases.submissions import Record

INTERRUPTED = 130
"""The exit code when the user interrupts; the job may go on."""


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """How a job ended, as far as it was followed."""

    state: Literal["succeeded", "failed", "killed", "submitted", "unknown"]
    """`submitted`: it goes on, and is no longer followed."""
    exit_code: int | None = None
    """The job's own exit code; None where the launcher does not give it."""
    said: str = ""
    """Why it failed, in a line."""


@dataclass(kw_only=True)
class JobWatch:
    """The output of following a job."""

    out: Callable[[str], object]
    """Takes each line that the job prints to its standard output."""
    log: Callable[[str], object]
    """Takes each line of the log."""
    kill: Callable[[bool], bool]
    """Asks after an interruption whether to kill the job; gets whether it would end anyway."""
    progress: Progress = SILENT
    record: Record | None = None
    deadline: float | None = None
    """When the job is killed, by the monotonic clock."""
    application: str = ""
    address: str = ""
    state: str = ""
    """The launcher's id of the job; empty before it is known."""

    def late(self) -> bool:
        """Return whether the job takes longer than it may."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def is_called(self, application: str, address: str = "") -> None:
        """Take the launcher's id of the job, and the address of its user interface."""
        if (application, address or self.address) == (self.application, self.address):
            return
        self.application, self.address = application or self.application, address or self.address
        name = f"application {self.application}" if self.application else "application"
        self.progress.info(", ".join(filter(None, (name, self.address))))
        if self.record:
            self.record.update(
                state="submitted",
                application=self.application,
                address=self.address,
            )

    def is_in(self, state: str) -> None:
        """Take the state of the job, in the launcher's words."""
        if state and state != self.state:
            self.state = state
            self.progress.info(f"state {state}")

    def has_ended(self, ended: JobResult) -> None:
        """Note how it ended."""
        if self.record:
            over = None if ended.state == "submitted" else now()
            self.record.update(state=ended.state, exit_code=ended.exit_code, ended=over, said=ended.said)
