"""Find or check the local Python that runs the driver in client modes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.errors import UsageError
from envpack.redact import without_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTO = "auto"
"""The choice to search for one."""

_PACKAGES = """\
import json, sys
from importlib import metadata
found = {"python": "%d.%d" % sys.version_info[:2]}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""

_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def choose_driver_python(choice: str | None, minor: str) -> str | None:
    """Return the Python that `--driver-python` names, or None when it was not given.

    `choice` is a path, the name of a command or `auto`; `minor` is the version inside the archive, such as
    `3.11`. Raises UsageError when it is missing or another Python, or when `auto` finds none.
    """
    if choice is None:
        return None
    if choice == AUTO:
        return str(find_driver_python(minor))
    if not shutil.which(choice):
        raise UsageError(
            f"--driver-python: {choice} does not exist on this machine",
            hint=f"give a Python {minor} on this machine, or --driver-python {AUTO} to find one",
        )
    version = _version(choice)
    if version != minor:
        what = f"Python {version}" if version else "not a Python"
        raise UsageError(
            f"{choice} is {what}, but the archive has Python {minor}: driver and workers need the same minor "
            "version",
            hint=f"give a Python {minor}, or --driver-python {AUTO} to find one",
        )
    return str(Path(choice).absolute()) if "/" in choice else choice


def find_driver_python(minor: str) -> Path:
    """Return the path of a Python of this minor version from PATH; raises UsageError when there is none."""
    for name in (f"python{minor}", "python3", "python"):
        found = shutil.which(name)
        if found and _version(found) == minor:
            return Path(found).absolute()
    raise UsageError(
        f"no Python {minor} for the driver is on PATH, and the archive has Python {minor}",
        hint=f"install Python {minor}, or give its path with --driver-python",
    )


def packages_of(python: str, names: Sequence[str]) -> dict[str, str] | None:
    """Return the version of `python` (its minor one) and of the packages that it has of `names`, as a driver's.

    None when it is not a working Python. The user's packages count, as for a driver.
    """
    import json

    answer = _said(python, "-c", _PACKAGES, *names)
    try:
        value = json.loads(answer or "")
    except ValueError:
        return None
    return {str(name): str(version) for name, version in value.items()} if isinstance(value, dict) else None


def _version(python: str) -> str | None:
    """Return a Python's minor version, or None when it does not run."""
    answer = _said(python, "-I", "-c", _VERSION)
    return None if answer is None else answer.strip()


def _said(python: str, *arguments: str) -> str | None:
    import subprocess

    try:
        answer = subprocess.run(
            [python, *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
            env=without_secrets(os.environ),
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return answer.stdout
