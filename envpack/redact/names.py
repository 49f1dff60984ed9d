"""Values whose name says that they are secret."""

from __future__ import annotations

from envpack.redact.address import MASK
from envpack.redact.patterns import pattern
from envpack.redact.urls import redact

ENDS_OF_NAMES = (
    r"(?:password|passwd|passphrase|secret|token|credentials?|(?:api|access|account|private|secret)[._-]?key)"
)
"""A regular expression of the ends of names whose values are secret."""

_SECRET_NAME = pattern(rf"(?i){ENDS_OF_NAMES}$")
_TEMPLATE = ("${", "{{", "<")
"""Beginnings of values that are filled in later: not the secret itself."""


def shown_value(name: str, value: str) -> str:
    """Return the value of a parameter, a property or a variable as it may be shown and stored.

    It is masked as a whole where the name ends as those of secrets do (`password`, `fs.s3a.secret.key`). Secrets
    in another value are taken out.
    """
    if value and _SECRET_NAME.search(name) and not value.startswith(_TEMPLATE):
        return MASK
    return redact(f"{name}={value}").removeprefix(f"{name}=")
