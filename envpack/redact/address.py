"""A URL, taken apart into what may be known and what may be secret."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from envpack.redact.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = "***"
"""What is shown in the place of a secret."""

VARIABLE = pattern(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
"""A value that the environment fills in, in the notation of pip's requirements file format."""

_PREFIX = pattern(r"(?:[A-Za-z][A-Za-z0-9+.-]*)?:?//|[A-Za-z][A-Za-z0-9+.-]*:/|")
_PORT = pattern(r"[^:@]*:\d{0,5}")
_NAME = r"(?:localhost|\[[0-9A-Fa-f:.]+\]|\d{1,3}(?:\.\d{1,3}){3}|[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,})"
_SURE_HOST = pattern(rf"{_NAME}(?::\d{{0,5}})?|[^:@]*:\d{{1,5}}")
_HOST_AHEAD = pattern(rf"(?:{_NAME}(?::\d{{1,5}})?|[\w-]+:\d{{1,5}})(?=[/?#]|$)")
_HOST_AND_PATH_AHEAD = pattern(rf"(?:{_NAME}(?::\d{{1,5}})?|[\w-]+:\d{{1,5}})(?=/)")

_ENCODED_SLASH = pattern("%2F", re.IGNORECASE)
_SEGMENT_VALUE = pattern(r";[^;=]*=([^;]*)")
"""The value of a parameter of a path segment, such as `;jsessionid=...` (RFC 3986, section 3.3)."""

_MARKED = ("t", "priv")
"""Path segments that are followed by a token: anaconda.org's, Quetz's and Artifactory's `/t/`, packagecloud's
`/priv/`."""

_NOT_OF_THE_WEB = pattern(r"(?:s3[an]?|gs|gcs|file|hdfs|abfss?|wasbs?|local|dbfs|ssh|git):", re.IGNORECASE)
"""Schemes whose paths hold no tokens."""

_BELOW_PROJECT = 8
"""How many segments after a project's name its files may be."""

_CONTAINER = pattern(r"(?:abfss?|wasbs?):", re.IGNORECASE)
"""Schemes that write the container where others write a name: `abfss://container@account/path`."""

_HEX = pattern(r"[0-9A-Fa-f]{32,128}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_WORD = pattern(r"[\w-]{16,}")
_FLAG = pattern(r"true|false|yes|no|on|off|[01]?", re.IGNORECASE)
_KIND = pattern(r"[a-z][a-z.]{0,11}", re.IGNORECASE)
_REVISION = pattern(r"[0-9a-f]{7,64}|(?:refs/(?:heads|tags)/)?[A-Za-z0-9][\w./-]{0,60}")
_FILE = pattern(r"[\w./+!~ -]{1,250}\.(?:whl|conda|gz|bz2|xz|zst|zip|tar|txt|html|json)", re.IGNORECASE)
_DIGEST = pattern(r"(?:(?:sha\d{1,3}|md5|blake2b)[:=])?[0-9A-Fa-f]{32,128}", re.IGNORECASE)

HARMLESS = {
    **dict.fromkeys(("raw", "inline", "download", "dl", "plain"), _FLAG),
    **dict.fromkeys(("format", "alt", "archive", "type"), _KIND),
    **dict.fromkeys(("ref", "ref_type", "at", "branch", "version", "revision"), _REVISION),
    **dict.fromkeys(("path", "file", "filename"), _FILE),
    **dict.fromkeys(("sha256", "sha384", "sha512", "sha1", "md5", "checksum", "digest"), _DIGEST),
}
"""Parameters that say which file is meant, and what their values look like where they are no secrets."""

_ALPHABETS = (str.islower, str.isupper, str.isdigit)


class Address(NamedTuple):
    """The parts of a URL as they are written, `${VARIABLE}` included."""

    prefix: str
    """The scheme with its separator, such as `https://`; empty where there is none."""
    userinfo: str
    host: str
    """With the port."""
    path: str
    query: str
    fragment: str

    @property
    def user(self) -> str:
        """The name, decoded; empty where there is none."""
        return _unquoted(self.userinfo.partition(":")[0])

    @property
    def password(self) -> str:
        """The password, decoded; empty where there is none."""
        return _unquoted(self.userinfo.partition(":")[2])

    def secrets(self) -> Iterator[str]:
        """Yield every part that may be secret, as written and decoded: passwords, tokens, values of parameters.

        A user's name is one where it has no password, or looks like a token.
        """
        user, colon, password = self.userinfo.partition(":")
        token_as_user = (
            (not password and not self._names_container()) or password in _NO_PASSWORDS or is_random(user)
        )
        found = [user] if token_as_user else []
        found += [self.userinfo, password] if colon and password not in _NO_PASSWORDS else []
        for segment in (segment for segment, secret in self._segments() if secret):
            found += [segment, *_ENCODED_SLASH.split(segment), *_SEGMENT_VALUE.findall(segment)]
        found += [value for _, _, value, harmless in _pairs(self.query) if not harmless]
        found += [value for _, _, value, kept in _fragments(self.fragment) if not kept]
        for each in found:
            if each and not _is_variable(each.replace(":", "")):
                yield from dict.fromkeys((each, _unquoted(each)))

    def public(self) -> str:
        """Return the URL without any of its secrets: as it may be stored and published.

        `${VARIABLE}` stays where it is a whole part.
        """
        query = [pair for pair, _, _, harmless in _pairs(self.query) if harmless]
        fragment = [pair for pair, _, _, kept in _fragments(self.fragment) if kept]
        return self._put_together(query, fragment)

    def shown(self) -> str:
        """Return the URL for a message: as `public`, and parameters that are left out keep their names."""
        query = [pair if harmless else f"{name}{MASK}" for pair, name, _, harmless in _pairs(self.query)]
        fragment = [pair if kept else f"{name}{MASK}" for pair, name, _, kept in _fragments(self.fragment)]
        return self._put_together(query, fragment)

    def lost(self) -> tuple[str, ...]:
        """Return what `public` leaves out although the fetch needs it: parameters, `the path`.

        Names and passwords are no part of it: they may come from elsewhere, as from a netrc file.
        """
        query = [name.rstrip("=") or "the query" for _, name, _, harmless in _pairs(self.query) if not harmless]
        path = ["the path"] if any(secret for _, secret in self._segments()) else []
        return (*path, *query)

    def _put_together(self, query: list[str], fragment: list[str]) -> str:
        kept = self._names_container() or _is_variable(self.userinfo.replace(":", ""))
        userinfo = f"{self.userinfo}@" if kept else ""
        path = "/".join(segment for segment, secret in _without_markers(self._segments()) if not secret)
        end = (f"?{'&'.join(query)}" if query else "") + (f"#{'&'.join(fragment)}" if fragment else "")
        return f"{self.prefix}{userinfo}{self.host}{path}{end}"

    def _names_container(self) -> bool:
        return bool(self.userinfo and ":" not in self.userinfo and _CONTAINER.match(self.prefix))

    def _segments(self) -> list[tuple[str, bool]]:
        """Return the segments of the path, each with whether it may be secret."""
        segments = self.path.split("/")
        if not self.prefix or _NOT_OF_THE_WEB.match(self.prefix):
            return [(segment, False) for segment in segments]
        return [(segment, _is_secret(segments, number)) for number, segment in enumerate(segments)]


_NO_PASSWORDS = ("x-oauth-basic", "x-token-auth")
"""Passwords that say that the user's name is a token."""


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def take_apart(url: str) -> Address:
    """Return the parts of a URL, or of what was meant to be one; every text has parts.

    Names and passwords reach to the last `@` of the authority (RFC 3986, section 3.2). One that holds a bare `/`,
    `?` or `#`, which ends the authority too early, is found by what is left: a name and no port before it, a host
    behind a later `@`.
    """
    prefix = match[0] if (match := _PREFIX.match(url)) else ""
    rest = url[len(prefix) :]
    local = prefix.lower().startswith("file:") and rest.startswith("/")
    end = 0 if local else next((index for index, letter in enumerate(rest) if letter in "/?#"), len(rest))
    userinfo, _, host = rest[:end].rpartition("@")
    tail = rest[end:]
    if not local and (cut := _end_of_stray(rest[:end], tail)):
        userinfo, host = f"{rest[:end]}{tail[: cut - 1]}", ""
        tail = tail[cut:]
        ahead = re.match(r"[^/?#]*", tail)
        host, tail = (ahead[0], tail[ahead.end() :]) if ahead else ("", tail)
    before, hash_sign, fragment = tail.partition("#")
    path, _, query = before.partition("?")
    return Address(
        prefix=prefix, userinfo=userinfo, host=host, path=path, query=query, fragment=fragment if hash_sign else ""
    )


def is_random(text: str) -> bool:
    """Return whether a word looks like a generated token: long, and letters and digits mixed without order."""
    if not _WORD.fullmatch(text) or _HEX.fullmatch(text):
        return False
    kinds = [next((n for n, belongs in enumerate(_ALPHABETS) if belongs(letter)), 3) for letter in text]
    changes = sum(one != other for one, other in pairwise(kinds))
    return changes >= 0.4 * len(text) and len({*kinds} - {3}) > 1


def _end_of_stray(authority: str, tail: str) -> int:
    """Return where in `tail` the host begins, if name and password reach into it; else 0."""
    at = tail.rfind("@") + 1
    host = authority.rpartition("@")[2]
    if not at or not authority:
        return 0
    if _SURE_HOST.fullmatch(host):
        # `user:12/34@host/`: a port as well as the beginning of a password, where the name has no dot.
        reaches = _PORT.fullmatch(host) and "." not in host and not host.startswith(("localhost:", "["))
        return at if reaches and "/" not in tail[1:at] and _HOST_AND_PATH_AHEAD.match(tail, at) else 0
    ahead = _HOST_AHEAD if ":" in authority and not _PORT.fullmatch(host) else _HOST_AND_PATH_AHEAD
    if ahead.match(tail, at):
        return at
    # `user:pa/ss@host`: no port, so no host before it, with anything after the `@`.
    return at if ":" in host and not _PORT.fullmatch(host) else 0


def _is_variable(text: str) -> bool:
    return bool(text) and not VARIABLE.sub("", text)


def _is_secret(segments: list[str], number: int) -> bool:
    segment = segments[number]
    if not segment or VARIABLE.search(segment):
        return False
    if any(value and value != MASK for value in _SEGMENT_VALUE.findall(segment)):
        return True
    if len(inner := _ENCODED_SLASH.split(segment)) > 1:
        return any(_is_secret(inner, place) for place in range(len(inner)))
    if _before(segments, number) in _MARKED:
        # Mirrors of PyPI sort projects by their first letter: `/t/torch/torch-2.1-....whl`.
        plain = re.sub(r"[-_.]+", "-", segment).lower()
        below = segments[number + 1 : number + 1 + _BELOW_PROJECT]
        return not any(re.sub(r"[-_.]+", "-", later).lower().startswith(plain) for later in below)
    return is_random(segment)


def _before(segments: list[str], number: int) -> str:
    """Return the segment before one; empty segments between two slashes are skipped."""
    while number and not segments[number - 1]:
        number -= 1
    return segments[number - 1] if number else ""


def _without_markers(segments: list[tuple[str, bool]]) -> Iterator[tuple[str, bool]]:
    for number, (segment, secret) in enumerate(segments):
        behind = next((later for later in segments[number + 1 : number + 1 + _BELOW_PROJECT] if later[0]), None)
        yield segment, secret or bool(segment in _MARKED and behind and behind[1])


def _pairs(query: str) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each pair of a query as written, its name with the `=`, its value, whether it is harmless."""
    for pair in filter(None, re.split(r"[&;]", query)):
        name, sign, value = pair.partition("=")
        if not sign:
            name, value = "", pair
        rule = HARMLESS.get(_unquoted(name if sign else pair).lower())
        known = bool(rule and rule.fullmatch(_unquoted(value) if sign else ""))
        harmless = not value or value == MASK or _is_variable(value) or (known and not is_random(value))
        yield pair, f"{name}{sign}", value, harmless


def _fragments(fragment: str) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each part of a fragment as `_pairs` does: digests are kept, and a plain word, which names a place."""
    for pair in filter(None, fragment.split("&")):
        name, sign, value = pair.partition("=")
        if not sign:
            yield pair, "", pair, bool(re.fullmatch(r"[a-z][a-z-]{0,30}|\*\*\*", pair)) or _is_variable(pair)
            continue
        digest = name.lower() in HARMLESS and HARMLESS[name.lower()] is _DIGEST and bool(_DIGEST.fullmatch(value))
        about = name in ("egg", "subdirectory") and not is_random(value)
        yield pair, f"{name}{sign}", value, digest or about or value == MASK or _is_variable(value)
