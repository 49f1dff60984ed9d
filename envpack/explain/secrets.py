"""Properties of an application without their secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack.redact import MASK, redact
from envpack.redact.names import ENDS_OF_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET = re.compile(r"(?i)secret|password|passphrase|token|access[.]?key|credential|api[._-]?key|private[._-]?key")
"""What Spark's own spark.redaction.regex finds in a name, and what other services call their secrets."""

_OPTION = re.compile(
    rf"(?i)(?P<name>(?<![\w.-])(?:--?[\w.-]{{0,80}}{ENDS_OF_NAMES}(?:=|\s{{1,3}})|[\w.-]{{0,80}}{ENDS_OF_NAMES}=)"
    rf"|\b[\w.-]{{0,80}}{ENDS_OF_NAMES}[\"']?\s{{0,2}}:\s{{0,3}}[\"']?"
    r"|(?<![\w.-])(?:-u|--user)(?:=|\s{1,3})[^\s:\"']{1,200}:"
    r"|(?<![\w.-])-p\s{1,3}(?!\d{1,5}\b|[./~]))"
    r"(?!\*\*\*)[^\s\"'&,;]{1,500}"
)
"""An option of a command line, also the JVM's `-Dx.password=VALUE`, whose name says that its value is a secret.

Also a key with a colon, as in JSON and YAML, `-u NAME:VALUE` of curl, and `-p VALUE` if it is no port and no path.
"""

_MOST = 5_000
_LONGEST = 20_000


def shown(text: str) -> str:
    """Return a text of a log without the secrets in it, those in command lines among them."""
    return _OPTION.sub(lambda match: f"{match['name']}{MASK}", redact(text))


def without_secrets(properties: Mapping[str, str]) -> dict[str, str]:
    """Return properties by name; values of names that suggest a secret are masked, secrets in others removed.

    A log is written with Spark's own masks, but its redaction can be configured away.
    """
    kept = list(properties.items())[:_MOST]
    return {
        name: MASK if _SECRET.search(name) else shown(value[:_LONGEST]) for name, value in kept if len(name) < 300
    }
