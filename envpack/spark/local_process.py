"""The variables for a process in a release that is unpacked on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.archive.outranking import UNSET
from envpack.errors import UsageError
from envpack.spark import variables
from envpack.spark.launchers import LAUNCHERS, launcher_named
from envpack.spark.render import variables_without_submit
from envpack.spark.settings import settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpack.releases.manifest import Manifest

LOCAL = "local"
"""The launcher for a machine that is its own cluster."""

_HERE = {"local", "client"}
_BORROWED = frozenset({*UNSET, "VIRTUAL_ENV"})
"""Variables that make a Python search its library elsewhere, or say that another environment is active."""


def has_driver_here(launcher: str) -> bool:
    """Return whether a launcher runs the driver on the machine that starts the application."""
    return launcher_named(launcher).driver in _HERE


def launcher_here(launcher: str, *, asked: bool) -> str:
    """Return the launcher for a driver on this machine; a configured one only if its driver runs here."""
    return launcher if asked or has_driver_here(launcher) else LOCAL


def variables_in(
    manifest: Manifest, archive_uri: str, directory: Path, *, launcher: str = LOCAL, spark: str | None = None
) -> dict[str, str]:
    """Return the variables for a driver that runs in a release unpacked at `directory`.

    With the launcher `local` its workers do too; with others they unpack the archive on their nodes. Raises
    UsageError when the launcher's driver runs elsewhere or it cannot work with the release.
    """
    python = str(directory / "bin" / "python")
    own = variables.of(manifest, str(directory))
    if launcher == LOCAL:
        return {**own, "PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
    if not has_driver_here(launcher):
        choices = [name for name in LAUNCHERS if has_driver_here(name)]
        raise UsageError(
            f"the driver of {launcher} does not run on this machine", hint=f"choose one of {', '.join(choices)}"
        )
    settings = settings_for(manifest, archive_uri, launcher=launcher, spark=spark, driver_python=python)
    return {**(variables_without_submit(settings) or {}), **own}


def environ_in(directory: Path, own: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a process: its Python first on PATH, then the previous entries."""
    kept = {name: value for name, value in environ.items() if name not in _BORROWED}
    path = environ.get("PATH", "/usr/bin:/bin")
    return {**kept, **own, "PATH": f"{directory / 'bin'}:{path}"}
