"""Keep files that envpack makes from being open to every user, and give commands the umask that the person has."""

from __future__ import annotations

import os

_WRITE_BY_ALL = 0o002

_given: int | None = None


def tighten() -> None:
    """Let nothing be made that every user may write to: another could put files into the caches."""
    global _given  # noqa: PLW0603 - it belongs to the process, as the umask itself
    _given = os.umask(0o077)
    os.umask(_given | _WRITE_BY_ALL)


def restore() -> None:
    """Set what the process was started with, for a command that takes its place."""
    if _given is not None:
        os.umask(_given)
