"""The secrets that this process has seen, in every form in which they may leave it."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from envpack.redact.address import MASK, VARIABLE, is_random
from envpack.redact.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SHORTEST = 4
_ALONE = 8
"""Shorter secrets are found only where no letter or digit touches them."""

_COMMON = (
    "true false none null main master latest release stable prod production staging develop public private "
    "user username password passwd secret token apikey admin root guest anonymous default test example python "
    "python3 conda pypi pip spark pyspark environment environments envpack archive linux noarch wheel package "
    "packages channel channels simple index files bearer basic digest sha256 version localhost https http aws "
    "us-east-1 requirements settings manifest"
)
"""Words that are in many outputs and are never kept as secrets."""

_UNQUOTED = ("", "/", "!$&'()*+,", "!$&'()*+,;=:@", "!$&'()*+,;=:@/?")
"""Characters that libraries do not quote: Python's, and the URL Standard's for logins, paths, queries."""

_GZIP = b"\x1f\x8b"
_VERSION = pattern(r"v?\d+(?:\.\w+)+")
_PLACE = pattern(r"(?:\.{0,2}|~)/\S*")

_words = frozenset(_COMMON.split())
_lock = threading.Lock()
_secrets: dict[str, None] = {}
_forms: dict[str, re.Pattern[str] | None] = {}
"""Each form of a secret, longest first, with the pattern that finds it as a whole word."""


def know(*secrets: str | None) -> None:
    """Keep secrets, so that `hide` finds them; words too common to be one are ignored."""
    for secret in secrets:
        if secret and secret not in _secrets and not VARIABLE.search(secret) and _is_distinct(secret):
            with _lock:
                _secrets[secret] = None
                alone = len(secret) < _ALONE or secret.isdigit() or (secret.isalpha() and secret.islower())
                _remember(_written(secret), alone=alone)
                _remember(_encoded(secret), alone=False)


def know_login(user: str, password: str) -> None:
    """Keep a password, and name and password together as HTTP sends them (RFC 7617)."""
    know(password)
    if not password or VARIABLE.search(password):
        return
    import base64
    from urllib.parse import quote

    with _lock:
        for pair in {f"{user}:{password}", f"{quote(user, safe='')}:{quote(password, safe='')}"}:
            both = base64.b64encode(pair.encode()).decode()
            _remember(iter((both, both.rstrip("="), base64.urlsafe_b64encode(pair.encode()).decode())), alone=False)


def hide(text: str, also: Iterable[tuple[int, int]] = ()) -> str:
    """Return a text with every known secret masked, in any form.

    `also` are places of other secrets, each as its start and end. Places that overlap are masked as one, so that no
    part of either remains.
    """
    places = [*also]
    for form, alone in _forms.items():
        if form in text:
            places += (match.span() for match in (alone or pattern(re.escape(form))).finditer(text))
    if not places:
        return text
    parts: list[str] = []
    end = 0
    for first, last in sorted(places):
        if first >= end:
            parts += (text[end:first], MASK)
        end = max(end, last)
    return "".join((*parts, text[end:]))


def stored(data: bytes) -> bytes:
    """Return what is written for others to read, with every secret that is known masked; gzip is looked into."""
    if not _forms:
        return data
    import gzip
    import zlib

    try:
        text = gzip.decompress(data) if data.startswith(_GZIP) else data
    except (OSError, EOFError, zlib.error):
        return data
    plain = text.decode("utf-8", "surrogateescape")
    hidden = hide(plain)
    if hidden == plain:
        return data
    masked = hidden.encode("utf-8", "surrogateescape")
    return gzip.compress(masked, mtime=0) if data.startswith(_GZIP) else masked


def _is_distinct(secret: str) -> bool:
    if len(secret) < _SHORTEST or secret.lower() in _words or _VERSION.fullmatch(secret):
        return False
    if _PLACE.fullmatch(secret) and not is_random(secret.strip("/")):
        return False
    if len(set(secret)) < 3:  # `****`
        return False
    return not (secret.isdigit() and len(secret) < _ALONE) and not (len(secret) < 6 and secret.isalpha())


def _remember(forms: Iterator[str], *, alone: bool) -> None:
    global _forms  # noqa: PLW0603 - replaced as a whole, as other threads read it meanwhile
    found = dict(_forms)
    for form in forms:
        around = rf"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{{2}})){re.escape(form)}(?![A-Za-z0-9])"
        found.setdefault(form, pattern(around) if alone else None)
    _forms = dict(sorted(found.items(), key=lambda item: -len(item[0])))


def _written(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as URLs, JSON, HTML, YAML, Python and shells write it."""
    import html
    import json
    from urllib.parse import quote, quote_plus

    yield secret
    for percent in (*(quote(secret, safe=safe) for safe in _UNQUOTED), quote_plus(secret)):
        yield from (percent, re.sub("%..", lambda found: found[0].lower(), percent), quote(percent, safe=""))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (
        html.escape(secret),
        html.escape(secret, quote=False),
        html.escape(secret).replace("&#x27;", "&#39;"),
    )
    yield from (repr(secret)[1:-1], repr(f"{secret}'\"")[1:-4], secret.replace("'", "''"))
    yield from (secret.replace("'", "'\"'\"'"), secret.replace("'", r"'\''"), secret.replace("\\", "\\\\"))


def _encoded(secret: str) -> Iterator[str]:
    """Yield the base64 forms of a secret at any position in a longer text (RFC 4648)."""
    import base64

    data = secret.encode()
    if len(data) < _ALONE:
        whole = base64.b64encode(data).decode()
        if len(data) >= 6:
            yield from (whole, base64.urlsafe_b64encode(data).decode())
        return
    for before in range(3):
        padded = bytes(before) + data
        # The characters at both ends also hold bits of the neighbouring bytes.
        first, last = (0, 2, 3)[before], (0, 3, 2)[len(padded) % 3]
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(padded).decode()
            yield text[first : len(text) - last]
