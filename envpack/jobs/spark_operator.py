"""Submit a job as a SparkApplication of the Spark Operator, with kubectl, and follow it.

Source: the operator's api/v1beta2/sparkapplication_types.go. The object's name has a unique part, since an existing
object would be changed instead of run.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from msgspec import Struct

from envpack.errors import LauncherFailed, UsageError
from envpack.jobs import batch
from envpack.jobs.answers import parsed
from envpack.jobs.watch import JobResult
from envpack.spark.render import render

if TYPE_CHECKING:
    from envpack.jobs.job_file import JobFile
    from envpack.jobs.plan import Planned
    from envpack.jobs.watch import JobWatch
    from envpack.spark.launcher import Launcher

PROGRAM = "kubectl"

_OWN_FIELDS = (
    "spark.driver.memory",
    "spark.driver.cores",
    "spark.executor.memory",
    "spark.executor.cores",
    "spark.executor.instances",
    "spark.kubernetes.namespace",
    "spark.kubernetes.container.image",
    "spark.kubernetes.authenticate.driver.serviceAccountName",
)
"""Properties for which the resource has its own fields."""

_KIND = "sparkapplications.sparkoperator.k8s.io"
_OVER = {"COMPLETED": "succeeded", "FAILED": "failed", "SUBMISSION_FAILED": "failed"}
_SECONDS = 60
_STUCK = 600.0
"""Seconds without a state after which the operator counts as absent."""
_DRIVER = "spark-kubernetes-driver"

T = TypeVar("T")


def check(job: JobFile, launcher: Launcher, *, dry_run: bool) -> None:  # noqa: ARG001 - there is one
    """Raise UsageError when nothing says which image it is."""
    if not job.kubernetes_image:
        raise UsageError(
            f"{job.path}: `image` is missing under `kubernetes`: the operator needs an image for its pods",
            hint='write `kubernetes: {image: "apache/spark:3.5.6"}`',
        )


def resource(planned: Planned) -> dict[str, Any]:
    """Return the SparkApplication. Raises UsageError when nothing says which Spark it is."""
    job = planned.job
    spark = job.spark or planned.release.manifest.target.spark
    if not spark:
        raise UsageError(
            f"{job.path}: `spark` is missing: the operator needs the version of Spark",
            hint='write `spark: "3.5"`',
        )
    spec: dict[str, Any] = yaml.safe_load(render(planned.settings, "text"))["spec"]
    made: dict[str, Any] = {"apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication"}
    made["metadata"] = {
        "name": job.name,
        **({"namespace": job.kubernetes_namespace} if job.kubernetes_namespace else {}),
    }
    driver = _pod(job.resources_driver_memory, job.resources_driver_cores)
    executor = _pod(job.resources_executor_memory, job.resources_executor_cores)
    if job.kubernetes_service_account:
        driver["serviceAccount"] = job.kubernetes_service_account
    if job.resources_executors:
        executor["instances"] = int(job.resources_executors)
    made["spec"] = {
        "type": "Python",
        "pythonVersion": "3",
        "mode": "cluster",
        "sparkVersion": spark,
        "image": job.kubernetes_image,
        "mainApplicationFile": planned.program,
        "arguments": list(planned.arguments),
        "deps": {**spec["deps"], "pyFiles": [planned.zip]},
        "sparkConf": {name: value for name, value in planned.conf.items() if name not in _OWN_FIELDS},
        "restartPolicy": {"type": "Never"},
        "driver": driver,
        "executor": executor,
    }
    return made


def text(planned: Planned) -> str:
    """Return the resource as YAML, for `kubectl create -f -`."""
    return yaml.safe_dump(resource(planned), sort_keys=False, allow_unicode=True).rstrip("\n")


def run(planned: Planned, watch: JobWatch) -> JobResult:
    """Create the resource and follow it to its end. Raises LauncherFailed where there is no kubectl."""
    made = resource(planned)
    if shutil.which(PROGRAM) is None:
        raise LauncherFailed(
            f"{PROGRAM} is not on PATH",
            hint=f"install {PROGRAM}, or apply the YAML that --dry-run prints on another machine",
        )
    made["metadata"]["name"] = f"{planned.job.name[:50].rstrip('-')}-{secrets.token_hex(3)}"
    return batch.follow(_Application(made), watch)


class _Driver(Struct):
    podName: str = ""  # noqa: N815 - Kubernetes' and the operator's names, here and below
    webUIAddress: str = ""  # noqa: N815
    webUIIngressAddress: str = ""  # noqa: N815


class _State(Struct):
    state: str = ""
    errorMessage: str = ""  # noqa: N815


class _ApplicationStatus(Struct):
    driverInfo: _Driver | None = None  # noqa: N815
    applicationState: _State | None = None  # noqa: N815


class _Told(Struct):
    status: _ApplicationStatus | None = None


class _Terminated(Struct):
    exitCode: int | None = None  # noqa: N815


class _ContainerState(Struct):
    terminated: _Terminated | None = None


class _Container(Struct):
    name: str = ""
    state: _ContainerState | None = None


class _PodStatus(Struct):
    containerStatuses: tuple[_Container, ...] | None = None  # noqa: N815


class _Pod(Struct):
    status: _PodStatus | None = None


class _Application:
    """One SparkApplication."""

    name = "SparkApplication"

    def __init__(self, made: dict[str, Any]) -> None:
        self._made = made
        self._name = str(made["metadata"]["name"])
        namespace = made["metadata"].get("namespace")
        self._in = ("-n", namespace) if namespace else ()
        self._begun = time.monotonic()
        self._logged = 0

    def post(self) -> str:
        _kubectl("apply", "-f", "-", given=json.dumps(self._made))
        return self._name

    def look(self, watch: JobWatch) -> JobResult | None:
        told = _asked("get", _KIND, self._name, *self._in, "-o", "json", kind=_Told)
        status = told.status or _ApplicationStatus()
        driver, application = status.driverInfo or _Driver(), status.applicationState or _State()
        watch.is_called(watch.application, driver.webUIAddress or driver.webUIIngressAddress)
        state, pod = application.state, driver.podName
        watch.is_in(state)
        if pod and state not in ("", "SUBMITTED"):
            self._log(pod, watch)
        if not state and time.monotonic() - self._begun > _STUCK:
            return JobResult(
                state="unknown", said="no operator takes it up: is one running, and for this namespace?"
            )
        if state not in _OVER:
            return None
        if _OVER[state] == "succeeded":
            return JobResult(state="succeeded", exit_code=0)
        said = application.errorMessage or state
        return JobResult(state="failed", exit_code=self._code_of(pod), said=said)

    def kill(self) -> None:
        _kubectl("delete", _KIND, self._name, *self._in)

    def _log(self, pod: str, watch: JobWatch) -> None:
        """Report the new lines of the driver's log; a deleted pod has none."""
        try:
            lines = _kubectl("logs", pod, *self._in, "-c", _DRIVER).splitlines()
        except LauncherFailed:
            return
        for line in lines[self._logged :]:
            watch.log(line)
        self._logged = max(self._logged, len(lines))

    def _code_of(self, pod: str) -> int | None:
        """Return the exit code of the driver's own container; others may be beside it."""
        if not pod:
            return None
        try:
            told = _asked("get", "pod", pod, *self._in, "-o", "json", kind=_Pod)
        except LauncherFailed:
            return None
        containers = (told.status and told.status.containerStatuses) or ()
        state = next((each.state for each in containers if each.name == _DRIVER), None)
        return state.terminated.exitCode if state and state.terminated else None


def _asked(*arguments: str, kind: type[T]) -> T:
    """Run kubectl and return its answer as its type. Raises LauncherFailed."""
    return parsed(_kubectl(*arguments).encode(), kind, PROGRAM)


def _kubectl(*arguments: str, given: str | None = None) -> str:
    """Run kubectl and return what it prints. Raises LauncherFailed when it fails."""
    try:
        done = subprocess.run(
            [PROGRAM, *arguments],
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
            env=dict(os.environ),  # as in the user's shell: KUBECONFIG, and its plugins' variables
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LauncherFailed(
            f"{PROGRAM} cannot be run: {error}", hint=f"test with `{PROGRAM} cluster-info`"
        ) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        raise LauncherFailed(f"{PROGRAM} {arguments[0]}: {said}", hint=f"test with `{PROGRAM} cluster-info`")
    return done.stdout


def _pod(memory: str | None, cores: str | None) -> dict[str, Any]:
    return {**({"cores": int(cores)} if cores else {}), **({"memory": memory} if memory else {})}
