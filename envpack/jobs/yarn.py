"""Kill an application of YARN, by its own client or by the ResourceManager's REST API."""

from __future__ import annotations

import os
import shutil
import subprocess
from urllib.parse import urlsplit

from envpack.errors import LauncherFailed
from envpack.jobs.rest import Server

_SECONDS = 60


def kill(application: str, address: str) -> None:
    """Kill an application; `address` is where its user interface is, which is the ResourceManager's proxy.

    Raises LauncherFailed when neither way does it. Source of the REST call: Hadoop's ResourceManagerRest,
    "Cluster Application State API".
    """
    hint = f"kill it with `yarn application -kill {application}`"
    if program := shutil.which("yarn"):
        words = [program, "application", "-kill", application]
        try:
            # As in the user's shell: it may need variables of Kerberos and Hadoop.
            environ = dict(os.environ)
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_SECONDS, env=environ)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LauncherFailed(f"{application} was not killed: {error}", hint=hint) from error
        if done.returncode == 0:
            return
    parts = urlsplit(address)
    if not parts.netloc or "/proxy/" not in parts.path:
        raise LauncherFailed(
            f"{application} was not killed: `yarn` is not on PATH, and the ResourceManager's address is not known",
            hint=hint,
        )
    server = Server(f"{parts.scheme}://{parts.netloc}", name="the ResourceManager")
    try:
        server.ask("PUT", f"/ws/v1/cluster/apps/{application}/state", dict[str, object], {"state": "KILLED"})
    except LauncherFailed as error:
        raise LauncherFailed(f"{application} was not killed: {error.message}", hint=hint) from error
