"""Choose how a job is submitted: one entry for each way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from envpack.errors import UsageError
from envpack.jobs import kyuubi, livy, spark_operator, spark_submit
from envpack.spark.launchers import LAUNCHERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpack.jobs.job_file import JobFile
    from envpack.jobs.plan import Planned
    from envpack.jobs.watch import JobResult, JobWatch
    from envpack.spark.launcher import Launcher, Natural


class Submitter(Protocol):
    """A module that submits jobs in one way."""

    def check(self, job: JobFile, launcher: Launcher, *, dry_run: bool) -> None:
        """Raise UsageError when the job file lacks what this way needs; before any work begins."""
        ...

    def text(self, planned: Planned) -> str:
        """Return what is submitted, ready to paste. Raises UsageError when something is missing."""
        ...

    def run(self, planned: Planned, watch: JobWatch) -> JobResult:
        """Submit the job and follow it. Raises LauncherFailed when it cannot be submitted."""
        ...


SUBMITTERS: Mapping[Natural, Submitter] = {
    "submit": spark_submit,
    "livy": livy,
    "kyuubi": kyuubi,
    "operator": spark_operator,
}
"""By the launcher's own text."""


def submitter_of(launcher: Launcher) -> Submitter:
    """Return the module that submits for a launcher; raises UsageError when there is none."""
    found = SUBMITTERS.get(launcher.text)
    if found is None:
        able = ", ".join(name for name, each in LAUNCHERS.items() if each.text in SUBMITTERS)
        raise UsageError(
            f"envpack cannot submit with {launcher.name}: it can only print the settings",
            hint=f"run `envpack settings REF --launcher {launcher.name}`; envpack submits with {able}",
        )
    return found
