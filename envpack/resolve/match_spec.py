"""The match spec of a Python, and what a match spec allows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack.errors import UsageError
from envpack.requirements import version_spec
from envpack.requirements.version_spec import Clause, NotAVersionSpec

if TYPE_CHECKING:
    from collections.abc import Callable

_SERIES = re.compile(r"\d+(?:\.\d+)?")
_OF_PYTHON = re.compile(r"\d+(?:\.\d+){0,2}(?:a|b|rc|a\d+|b\d+|rc\d+)?")


def of_python(wanted: str | None, said_by: str = "python") -> str:
    """Return the match spec of the requested Python: `3.11`, `3.11.7`, a version spec or none at all.

    Raises UsageError for an invalid version; `said_by` names the option or variable with it.
    """
    if wanted is None:
        return "python"
    try:
        spec = version_spec.parse(wanted)
    except NotAVersionSpec as error:
        raise _no_python(wanted, said_by, error.reason) from error
    for clause in version_spec.clauses(spec):
        if not clause.is_textual and not _OF_PYTHON.fullmatch(clause.value):
            raise _no_python(wanted, said_by, f"Python has no version {clause.value!r}")
    if isinstance(spec, Clause) and not wanted.strip().startswith("=") and _SERIES.fullmatch(spec.value):
        spec = Clause("=", spec.value) if spec.operator == "==" else spec
    return f"python {spec}"


def _no_python(wanted: str, said_by: str, reason: str) -> UsageError:
    return UsageError(
        f"{said_by}: {wanted!r} is not a version of Python: {reason}",
        hint="write it as 3.11, 3.11.7 or >=3.11,<3.13",
    )


def admitting(spec: str) -> Callable[[str], bool]:
    """Return a function that says whether a match spec allows a version, independent of build and channel.

    Raises ValueError when the spec is invalid.
    """
    # They take 0.2 s to import, and few commands need them.
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
