"""Ask a server that starts jobs, over HTTP with JSON."""

from __future__ import annotations

import json
import netrc
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError

from envpack.errors import LauncherFailed
from envpack.redact import know_login

_CONNECT, _READ = 10.0, 60.0
_RETRIES = 3
_LONGEST = 64 << 20
_SHOWN = 500


class Server:
    """A server of Livy, Kyuubi or YARN."""

    def __init__(self, address: str, *, name: str) -> None:
        """Take its address; a login may be in it, or in the user's netrc file. Nothing is sent yet."""
        parts = urlsplit(address)
        self._name = name
        host = parts.netloc.rpartition("@")[2]
        self.address = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        headers = {"Accept": "application/json", "X-Requested-By": "envpack"}
        login = _login(parts.hostname or "", unquote(parts.username or ""), unquote(parts.password or ""))
        if login:
            know_login(*login)
            headers |= urllib3.make_headers(basic_auth=":".join(login))
        # A request is never repeated: it could start a second job.
        retries = urllib3.Retry(
            total=None, connect=_RETRIES, read=0, redirect=3, status=0, other=0, backoff_factor=0.1
        )
        self._pool = urllib3.PoolManager(
            headers=headers,
            timeout=urllib3.Timeout(connect=_CONNECT, read=_READ),
            retries=retries,
            ca_certs=certifi.where() if parts.scheme == "https" else None,
        )

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - any JSON
        """Return the answer to a request, or None for an unknown name.

        Raises LauncherFailed when the server does not answer, refuses, or answers invalid JSON.
        """
        url = f"{self.address}{path}"
        try:
            answer = (
                self._pool.request(method, url, json=body) if body is not None else self._pool.request(method, url)
            )
        except HTTPError as error:
            raise LauncherFailed(
                f"{self._name} at {self.address} does not answer: {_reason(error)}", hint="look at `server:`"
            ) from error
        text = answer.data[:_LONGEST].decode("utf-8", "replace")
        if answer.status == 404 and method in ("GET", "DELETE"):
            return None
        if answer.status >= 400:
            told = _message(text)
            hint = {
                401: "give a login in the server's address or in ~/.netrc",
                403: "ask who runs the server for the permission",
            }.get(answer.status, "what the server says is its own; see its log")
            raise LauncherFailed(f"{self._name} refused it ({answer.status}): {told}", hint=hint)
        try:
            return json.loads(text or "{}")
        except ValueError as error:
            raise LauncherFailed(
                f"{self._name} at {self.address} answered what is no JSON", hint="is it the right address?"
            ) from error


def _login(host: str, user: str, password: str) -> tuple[str, str] | None:
    if user:
        return user, password
    try:
        found = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return (found[0], found[2] or "") if found else None


def _reason(error: HTTPError) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split())[:_SHOWN]


def _message(text: str) -> str:
    """Return what an answer says was wrong."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        value = value.get("msg") or value.get("message") or value
    return " ".join(str(value).split())[:_SHOWN]
