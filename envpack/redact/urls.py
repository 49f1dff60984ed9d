"""Secrets in a text: those that are known, and what looks like one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.redact.address import MASK, take_apart
from envpack.redact.known import hide
from envpack.redact.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

# Every repetition that another start could repeat has a bound: the cost of a line grows linearly with its length.
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]{0,30}"
_HOST = (
    r"(?:localhost|\[[0-9A-Fa-f:]{1,60}\]|\d{1,3}(?:\.\d{1,3}){3}|[\w-]{1,63}(?:\.[\w-]{1,63}){0,20}\.[A-Za-z]{2,}"
    r"|[\w-]{1,63}(?=:\d{1,5}(?!\w)|/))"
)
# A password may hold what ends an address elsewhere: a quote, a backslash.
_URL = pattern(
    rf"(?:{_SCHEME}:?//|https?:/)(?:[^\s@<>\",/]{{1,100}}:[^\s@<>\",]{{1,200}}@(?={_HOST}))?"
    rf"(?:(?!,{_SCHEME}://)[^\s\"'<>`\\])+"
)
BLANK_IN_PASSWORD = pattern(
    rf"(?P<scheme>{_SCHEME}://)[^\s/:@\"'<>]+:(?!\s|\d{{1,5}}\s)[^\s\"'<>@]{{0,200}}\s[^\n\"'<>]{{0,200}}@"
    rf"(?={_HOST}|[\w-]{{1,63}}(?:['\"\s]|$))"
)
_LOGIN = pattern(
    rf"(?<!\w)(?!mailto:)(?P<scheme>(?:https?:/?)?)"
    rf"[^\s:/@\"'<>`,;()]{{1,100}}:[^\s\"'<>`]{{1,200}}@(?={_HOST})"
)
_WHOLE = r"(?!\*\*\*[^\w=]{0,9}(?:[\s\"'&,;]|$))"
"""Text that is fully masked already: a known secret may be a part of a longer one."""

_HEADER = pattern(
    r"(?i)(?P<name>\b(?:proxy-)?authorization\b\W{1,4}(?:(?:bearer|basic|token|digest)\s+)?"
    r"|\b(?:x-jfrog-art-api|x-api-key|private-token|job-token|x-amz-security-token|(?:set-)?cookie)\b\W{1,4}"
    rf"|\bbearer\s+){_WHOLE}(?:[^\s\"',;]{{6,}}|[^\s\"',;]{{0,5}}\*\*\*[^\s\"',;]*)"
)
SETTING = pattern(
    r"(?i)(?P<name>\b[\w.-]{0,60}(?:password|passwd|secret|token|api_?key|access_?key|credential)s?=)"
    rf"{_WHOLE}(?![$%{{<\[(])(?P<value>(?=[^\s\"'&,;]*\d)[^\s\"'&,;]{{8,}}|[^\s\"'&,;]{{0,200}}\*\*\*[^\s\"'&,;]*)"
)
"""A setting whose name says that its value is a secret."""

_SETTING_WORDS = ("password=", "passwd=", "secret=", "token=", "key=", "credential")
"""As `_HEADER_WORDS`, for `SETTING`."""

_PLAIN = pattern(r"(?:s3[an]?|file)://[^@?#]*|https?://[^@?#]*")
_MAY_HOLD_TOKEN = pattern(r"(?i)/(?:t|priv)(?:/|%2F)|/[\w-]{16,}(?:/|$)|%2F|;")
_HEADER_WORDS = ("authorization", "bearer ", "x-jfrog", "x-api-key", "-token", "cookie")
"""Every match of `_HEADER` contains one of them; searching for them is faster."""

_TOKENS = pattern(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{18,}|pypi-AgE[\w-]{30,}|(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|xox[abeoprs]-[\w-]{10,}|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{30,}|dckr_pat_[\w-]{20,}"
    r"|eyJ[\w-]{8,1000}\.eyJ[\w-]{8,}\.[\w-]{8,})"
)


_TOKEN_PREFIXES = (
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "pypi-",
    "AKIA",
    "ASIA",
    "xox",
    "hf_",
    "npm_",
    "dckr_pat_",
    "eyJ",
)
"""As `_HEADER_WORDS`, for `_TOKENS`."""


def redact(text: str) -> str:
    """Return a text without the secrets in it.

    The secrets that this process knows are masked in every form. URLs lose names and passwords, conda
    tokens (`/t/TOKEN/`) and the values of parameters, except those on a short list of harmless ones. The remaining
    URL still names the same file for anyone who has the credentials. Header lines with credentials, and the tokens
    of well-known services, are masked everywhere.
    """
    tokens = any(prefix in text for prefix in _TOKEN_PREFIXES)
    text = hide(text, (match.span() for match in _TOKENS.finditer(text)) if tokens else ())
    if "@" in text:
        text = BLANK_IN_PASSWORD.sub(lambda match: match["scheme"], text)
    text = "".join(_pieces(text))
    lower = text.lower()
    if any(word in lower for word in _HEADER_WORDS):
        text = _HEADER.sub(lambda match: f"{match['name']}{MASK}", text)
    if any(word in lower for word in _SETTING_WORDS):
        text = SETTING.sub(lambda match: f"{match['name']}{MASK}", text)
    return text


def addresses(text: str) -> Iterator[str]:
    """Yield what is a URL in a text, or was meant to be one."""
    for piece, is_url in _split(text):
        if is_url:
            yield piece
        elif "@" in piece:
            yield from (match[0] for match in _LOGIN.finditer(piece))


def _pieces(text: str) -> Iterator[str]:
    for piece, is_url in _split(text):
        yield (
            _shown(piece) if is_url else _LOGIN.sub(lambda match: match["scheme"], piece) if "@" in piece else piece
        )


def _split(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the URLs of a text and the texts between them, each with whether it is a URL."""
    end = 0
    for match in _URL.finditer(text) if "//" in text or ":/" in text else ():
        yield text[end : match.start()], False
        yield match[0], True
        end = match.end()
    yield text[end:], False


def _shown(url: str) -> str:
    if _PLAIN.fullmatch(url) and not (url.startswith("http") and _MAY_HOLD_TOKEN.search(url)):
        return url  # as most are: parsing them takes ten times longer
    plain = url.rstrip(".,;:!)]}")
    end = url[len(plain) :]
    if end.startswith("}") and plain.rpartition("${")[1]:
        plain, end = f"{plain}}}", end[1:]
    return take_apart(plain).shown() + end
