"""The match spec of a Python, and what a match spec allows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MINOR = re.compile(r"\d+\.\d+")
_FULL = re.compile(r"\d+\.\d+\.\d+\w*")


def of_python(wanted: str | None) -> str:
    """Return the match spec of the Python a person asked for: `3.11`, `3.11.7`, a version spec or none at all."""
    if wanted is None:
        return "python"
    if _MINOR.fullmatch(wanted):
        return f"python {wanted}.*"
    if _FULL.fullmatch(wanted):
        return f"python =={wanted}"
    return f"python {wanted}"


def admitting(spec: str) -> Callable[[str], bool]:
    """Return what says of a version whether a match spec allows it, whatever its build and channel.

    Raises ValueError when the spec is none.
    """
    # They take 0.2 s to import, which few commands have to spend.
    from rattler import MatchSpec, Version, VersionSpec  # noqa: PLC0415
    from rattler.exceptions import InvalidMatchSpecError  # noqa: PLC0415

    try:
        version = MatchSpec(spec).version
    except InvalidMatchSpecError as error:
        raise ValueError(str(error)) from error
    if version is None:
        return lambda _: True
    allowed = VersionSpec(str(version))
    return lambda text: allowed.matches(Version(text))
