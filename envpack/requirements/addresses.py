"""URLs of a requirements file: what of them may be stored, and which cannot be stored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urldefrag, urlsplit

from envpack.redact import meet, meet_variables, take_apart
from envpack.requirements.text import Refused, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BEGINNING = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/|\$\{?[A-Za-z_]")
_END = re.compile(r"[#;\[\]\"'\s]|$")
_VARIABLE = re.compile(r"\$(?P<brace>\{)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?(brace)\})")


def notice(line: str, written: str, values: Mapping[str, str]) -> None:
    """Pass the secrets of a line to the filter of secrets.

    `written` is the line before its variables were filled in; `values` holds the variables by name.
    """
    meet(line)
    meet_variables(_normal(written, values), values)


def as_written(part: str, line: str, values: Mapping[str, str]) -> str:
    """Return the part of a line that becomes `part` when the variables are filled in; variables are `${NAME}`."""
    for candidate in _candidates(line) if values else ():
        if urldefrag(_filled(candidate, values))[0] == urldefrag(part)[0]:
            return _normal(candidate, values)
    return part


def storable(written: str) -> str:
    """Return an address as a lock holds it: with `${VARIABLE}` as written, and without any secret."""
    return take_apart(written).public()


def check_storable(written: str) -> None:
    """Raise Refused for the address of a wheel that a lock could not contain without a secret."""
    if lost := take_apart(written).lost():
        what = " and ".join(lost)
        variable = re.sub(r"\W+", "_", "TOKEN" if "the path" in lost else lost[0]).strip("_").upper() or "TOKEN"
        raise Refused(
            f"the URL {quoted(take_apart(written).shown())} may contain a secret ({what}), and locks are "
            f"published: replace it by ${{{variable}}} and set that variable, put user and password into a "
            "netrc file, or download the wheel and give its directory with --find-links"
        )


def checked_login(url: str) -> str:
    """Return a URL whose name and password can be separated from the rest; raise Refused for others."""
    found = take_apart(url)
    parts = _split(url)
    if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        raise Refused(
            f"{quoted(found.shown())} has a host or a password, which a file:// URL cannot have; write file:///PATH"
        )
    if (
        "@" in found.userinfo
        or found.userinfo != parts.netloc.rpartition("@")[0]
        or re.search(r"\s", found.userinfo)
    ):
        raise Refused(
            f"the password in {quoted(found.shown())} has reserved characters: write `%40` for `@`, `%2F` for "
            "`/`, `%23` for `#`, `%3F` for `?` and `%20` for a space"
        )
    return url


def checked_index(url: str) -> str:
    """Return the URL of an index or of a page of links unchanged. Raises Refused for anything else."""
    parts = _split(url)
    if parts.scheme == "file" or (parts.scheme in ("http", "https") and parts.netloc):
        return checked_login(url)
    raise Refused(f"{quoted(url)} is not a URL; begin it with https://, http:// or file://")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:  # a bracket where no IPv6 address is
        raise Refused(f"{quoted(take_apart(url).shown())} is not a valid URL") from error


def name_of_file(url: str) -> str:
    """Return the name of the file that a URL leads to, decoded."""
    return unquote(urlsplit(url).path).rpartition("/")[2]


def _candidates(line: str) -> Iterator[str]:
    for beginning in _BEGINNING.finditer(line):
        for end in _END.finditer(line, beginning.end()):
            yield line[beginning.start() : end.start()]


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values.get(match["name"], match[0]), text)


def _normal(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: f"${{{match['name']}}}" if match["name"] in values else match[0], text)
