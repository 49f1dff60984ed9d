"""The options that a line of a requirements file may have, as in pip."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace

from envpack.requirements.text import Refused, did_you_mean, quoted

WITH_VALUE = {
    "--requirement": "-r",
    "--constraint": "-c",
    "--editable": "-e",
    "--index-url": "-i",
    "--find-links": "-f",
    "--config-settings": "-C",
    "--extra-index-url": None,
    "--hash": None,
    "--only-binary": None,
    "--no-binary": None,
    "--trusted-host": None,
    "--use-feature": None,
    "--global-option": None,
    "--install-option": None,
}
"""The options that take a value, and their short forms (pip's requirements file format, "Supported options")."""

FLAGS = ("--no-index", "--pre", "--prefer-binary", "--require-hashes")
"""The options that take none."""

_ALIASES = {"--pypi-url": "--index-url", "--config-setting": "--config-settings"}
_SHORT = {short: name for name, short in WITH_VALUE.items() if short}
_FIRST_OPTION = re.compile(r"(?:^|(?<=\s))-")
_MARKED = re.compile(r"(?P<editable>\s*(?:-e|--editable(?=[=\s])).*?)(?P<marker>\s;.*|;\s.*)", re.DOTALL)
"""An editable line with a marker, which begins where a blank is at its semicolon: a URL may contain others."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a line."""

    name: str
    """The long form, such as `--index-url`."""
    value: str = ""
    """Empty for a flag."""


def split(line: str) -> tuple[str, tuple[Option, ...]]:
    """Return the requirement of a line, which may be empty, and its options.

    The options begin at the first word with a leading dash; quotes work as in a shell. Raises Refused
    when an option is unknown or lacks its value.
    """
    if marked := _MARKED.fullmatch(line):
        # A marker has quotes of its own, which must not be taken away.
        options = _options(_words(marked["editable"]))
        if options[-1].name != "--editable":
            raise Refused(f"the marker {quoted(marked['marker'].strip('; '))} must follow the path directly")
        return "", (*options[:-1], replace(options[-1], value=f"{options[-1].value} {marked['marker'].strip()}"))
    start = _FIRST_OPTION.search(line)
    if start is None:
        return line, ()
    return line[: start.start()].strip(), tuple(_options(_words(line[start.start() :])))


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise Refused(f"the options of this line cannot be parsed: {str(error).lower()}") from error


def _options(words: list[str]) -> list[Option]:
    found = []
    rest = iter(words)
    for word in rest:
        name, equals, value = _named(word)
        if name in FLAGS:
            if equals:
                raise Refused(f"{name} takes no value")
        elif not equals:
            value = next(rest, "")
        if name in WITH_VALUE and not value:
            raise Refused(f"{name} needs a value")
        found.append(Option(name=name, value=value))
    return found


def _named(word: str) -> tuple[str, bool, str]:
    """Return an option's long name, whether its value is in the same word, and that value."""
    if word.startswith("--"):
        written, equals, value = word.partition("=")
        name = _ALIASES.get(written, written)
    else:
        # `-rbase.txt` and `-r base.txt` are the same.
        written, value = word[:2], word[2:]
        name, equals = _SHORT.get(written, written), value
    if name not in WITH_VALUE and name not in FLAGS:
        raise Refused(_unknown(word.partition("=")[0]))
    return name, bool(equals), value


def _unknown(written: str) -> str:
    known = [*WITH_VALUE, *FLAGS]
    if not written.startswith("-"):
        return f"{quoted(written)} comes after an option; write the requirement before its options"
    return f"{quoted(written)} is not an option of a requirements file{did_you_mean(written, known)}"
