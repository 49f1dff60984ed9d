"""The driver of client modes: which Python of this machine it would be, and whether it fits a release."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

from envpack.doctor.finding import Finding
from envpack.errors import EnvpackError
from envpack.redact import redact
from envpack.releases import references
from envpack.spark import configuration
from envpack.spark.driver import packages_of
from envpack.spark.launchers import launcher_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpack.config.config import Config
    from envpack.doctor.finding import Level
    from envpack.releases.manifest import Manifest

SHARED = ("pandas", "pyarrow", "numpy")
"""Packages that a driver itself imports for pandas_udf, createDataFrame and toPandas, with data for its workers."""

_NOTEBOOKS = ("jupyter", "jupyter-lab", "jupyter-notebook", "ipython")
_PROPERTIES = ("spark.pyspark.driver.python", "spark.pyspark.python")
_VARIABLE = "PYSPARK_DRIVER_PYTHON"


def look(reference: str, config: Config) -> Iterator[Finding]:
    """Compare the driver's Python with a release, where the launcher has the driver on this machine."""
    try:
        if launcher_named(config.launcher).driver != "client":
            return
        manifest = references.find(reference, config).release.manifest
    except EnvpackError:  # the check of the release reports it
        return
    python, chosen = chosen_python(manifest.python_minor, os.environ)
    if os.path.basename(python) in _NOTEBOOKS:  # noqa: PTH119 - a word, perhaps no path
        text = f"{chosen}: it starts notebooks, and the driver is the Python of their kernel"
        yield _finding(
            "note", text, f"`envpack kernel {reference} --launcher {config.launcher}` makes one that fits"
        )
        return
    there = packages_of(python, SHARED) if shutil.which(python) else None
    if there is None:
        text = f"{chosen}: it is not a Python that runs here, and the release has Python {manifest.python_minor}"
        yield _finding(
            "problem", text, f"install Python {manifest.python_minor}, or export {_VARIABLE} with its path"
        )
        return
    if there["python"] != manifest.python_minor:
        text = f"{chosen}: it is Python {there['python']}, and the release has {manifest.python_minor}"
        hint = f"export {_VARIABLE} with the path of a Python {manifest.python_minor}, or --driver-python auto"
        yield _finding("problem", text, hint)
        return
    yield from _packages(python, chosen, there, manifest)


def chosen_python(minor: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the Python that would run the driver, and words for what chooses it.

    Properties win over variables (Spark's deploy/PythonRunner). Without either it is the one that the settings
    name.
    """
    properties = configuration.defaults_here(environ)
    for name in _PROPERTIES:
        if found := properties.get(name):
            return found.value, f"{found.place} sets {name}={found.value}"
    if named := environ.get(_VARIABLE):
        return named, f"{_VARIABLE}={named} is set"
    command = f"python{minor}"
    return command, f"the settings name {command}, which is {shutil.which(command) or 'not on PATH'}"


def _packages(python: str, chosen: str, there: Mapping[str, str], manifest: Manifest) -> Iterator[Finding]:
    packed = {package.name: package.version for package in manifest.packages if package.name in SHARED}
    wanted = {name: version for name, version in packed.items() if _differ(there.get(name), version)}
    if not wanted:
        what = (
            ", ".join(f"{name} {there[name]}" for name in packed) or "none of pandas, pyarrow and numpy is packed"
        )
        yield _finding("ok", f"{chosen}: Python {there['python']}, as in the release ({what})")
        return
    differences = ", ".join(
        f"{name} {there[name]} instead of {version}" if name in there else f"no {name} ({version} in the release)"
        for name, version in wanted.items()
    )
    install = " ".join(f"{name}=={version}" for name, version in wanted.items())
    yield _finding(
        "warning",
        f"{chosen}: the driver would have {differences}: pandas_udf and toPandas use both sides'",
        f"{shlex.quote(python)} -m pip install {install}",
    )


def _differ(one: str | None, other: str) -> bool:
    """Return whether two versions differ by more than a patch."""
    return one is None or one.split(".")[:2] != other.split(".")[:2]


def _finding(level: Level, text: str, hint: str | None = None) -> Finding:
    return Finding(check="driver", level=level, text=redact(text), hint=hint)
