"""The one filter of secrets: whatever is shown, logged, stored or published passes through it.

`address` takes a URL apart into what may be known and what may be secret. `meeting` finds the secrets that this
process is given, `known` keeps them. `redact` takes them, and all that looks like one, out of a text; `streams`
applies it to standard output and standard error, `logs` to the log.
"""

from __future__ import annotations

from envpack.redact.address import MASK, VARIABLE, is_random, take_apart
from envpack.redact.errors import clean
from envpack.redact.known import hide, know, know_login, stored
from envpack.redact.meeting import (
    may_be_published,
    meet,
    meet_environment,
    meet_files,
    meet_variables,
    without_secrets,
)
from envpack.redact.names import shown_value
from envpack.redact.streams import guard_output
from envpack.redact.urls import redact

__all__ = [
    "MASK",
    "VARIABLE",
    "clean",
    "guard_output",
    "hide",
    "is_random",
    "know",
    "know_login",
    "may_be_published",
    "meet",
    "meet_environment",
    "meet_files",
    "meet_variables",
    "public",
    "redact",
    "shown_value",
    "stored",
    "take_apart",
    "without_secrets",
]


def public(url: str) -> str:
    """Return a URL as it may be stored and published: without what may be secret in it."""
    return take_apart(url).public()
