"""Fetch a file or a page from a web server, with the user's credentials for it."""

from __future__ import annotations

import base64
import contextlib
import netrc
import os
import ssl
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from envpack.redact import take_apart
from envpack.tools.uv_access import of_keyring

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TIMEOUT = 60.0


def opened(
    url: str, logins: Iterable[str] = (), *, headers: Mapping[str, str] | None = None, timeout: float = _TIMEOUT
) -> IO[bytes]:
    """Open an `http:` or `https:` URL, which may hold user and password.

    `logins` are addresses whose credentials apply to their hosts; for a user without a password the keyring is
    asked, without a user, netrc. Credentials are not sent to redirect targets. Raises OSError (including HTTPError)
    and HTTPException.
    """
    parts = take_apart(url)
    plain = url.replace(f"{parts.userinfo}@", "", 1) if parts.userinfo else url
    if urlsplit(plain).scheme not in ("http", "https"):
        raise OSError(f"not an address of the web: {parts.public()}")
    request = Request(plain.partition("#")[0], headers=dict(headers or {}))  # noqa: S310 - checked above
    if login := _login(url, logins):
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    answer: IO[bytes] = urlopen(request, timeout=timeout, context=_certified(plain))  # noqa: S310 - as above
    return answer


def _certified(url: str) -> ssl.SSLContext | None:
    """Return the TLS context for servers that need a client certificate; None where the user has none.

    Source: uv's documentation, "TLS certificates": SSL_CLIENT_CERT is one file with the certificate and its key.
    """
    own = os.environ.get("SSL_CLIENT_CERT")
    if not own or not url.startswith("https:"):
        return None
    context = ssl.create_default_context()
    context.load_cert_chain(own)
    return context


def _login(url: str, logins: Iterable[str]) -> str | None:
    host = urlsplit(url).hostname or ""
    for address in (url, *logins):
        if urlsplit(address).hostname == host and (userinfo := take_apart(address).userinfo):
            user, _, password = unquote(userinfo).partition(":")
            return f"{user}:{password or of_keyring(address, user)}"
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        if found := netrc.netrc(os.environ.get("NETRC")).authenticators(host):
            return f"{found[0]}:{found[2]}"
    return None
