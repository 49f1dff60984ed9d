"""Fetch a file or a page from a web server, with the credentials that a person has for it."""

from __future__ import annotations

import base64
import contextlib
import netrc
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from envpack.redact import take_apart

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TIMEOUT = 60.0


def opened(
    url: str, logins: Iterable[str] = (), *, headers: Mapping[str, str] | None = None, timeout: float = _TIMEOUT
) -> IO[bytes]:
    """Open what is at an `http:` or `https:` URL, which may hold user and password.

    `logins` are addresses whose credentials are good for their hosts; else netrc is asked. Credentials are not sent
    on to where a server redirects. Raises OSError (its HTTPError among it) and HTTPException.
    """
    parts = take_apart(url)
    plain = url.replace(f"{parts.userinfo}@", "", 1) if parts.userinfo else url
    if urlsplit(plain).scheme not in ("http", "https"):
        raise OSError(f"not an address of the web: {parts.public()}")
    request = Request(plain.partition("#")[0], headers=dict(headers or {}))  # noqa: S310 - checked above
    if login := _login(url, logins):
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    answer: IO[bytes] = urlopen(request, timeout=timeout)  # noqa: S310 - as above
    return answer


def _login(url: str, logins: Iterable[str]) -> str | None:
    host = urlsplit(url).hostname or ""
    for address in (url, *logins):
        if urlsplit(address).hostname == host and (userinfo := take_apart(address).userinfo):
            return unquote(userinfo)
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        if found := netrc.netrc().authenticators(host):
            return f"{found[0]}:{found[2]}"
    return None
