"""The environment variables that a packed environment may set; they pass through the user's shell."""

from __future__ import annotations

import re

RULED_BY = (
    "BASHOPTS", "BASH_ENV", "BASH_XTRACEFD", "CDPATH", "ENV", "EXECIGNORE", "FPATH", "GLOBIGNORE", "IFS",
    "MAILPATH", "PROMPT", "PROMPT2", "PROMPT3", "PROMPT4", "PROMPT_COMMAND", "PS0", "PS1", "PS2", "PS3", "PS4",
    "RPROMPT", "RPS1", "RPS2", "SHELLOPTS", "ZDOTDIR",
)  # fmt: skip
"""Variables whose values a shell runs or is controlled by. Source: the manuals of bash (Bourne Shell Variables,
Bash Variables) and zsh (Parameters Used By The Shell)."""

READ_ONLY = ("BASHPID", "BASH_VERSINFO", "EUID", "PPID", "UID")
"""Variables that a shell refuses to set: the lines after the first such are not run."""

LONGEST_NAME = 200
LONGEST_VALUE = 100_000

PATTERN = rf"^(?!(?:{'|'.join((*RULED_BY, *READ_ONLY))})\Z)[A-Za-z_][A-Za-z0-9_]*\Z"
"""The names that are allowed."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def problem(name: str) -> str | None:
    """Return why an environment may not have a variable of this name, as words that follow the name; or None."""
    if not _NAME.fullmatch(name):
        return "cannot be an environment variable's name"
    if name in RULED_BY:
        return "is a shell's own variable: it would control the shells of those who use the environment"
    if name in READ_ONLY:
        return "is a shell's own variable, which nobody can set"
    if len(name) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} characters"
    return None
