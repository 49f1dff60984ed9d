"""Ask a server that starts jobs, over HTTP with JSON."""

from __future__ import annotations

import json
import netrc
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError

from envpack.errors import LauncherFailed
from envpack.jobs.answers import parsed
from envpack.redact import know_login

_CONNECT, _READ = 10.0, 60.0
_RETRIES = 3
_LONGEST = 64 << 20
_SHOWN = 500

T = TypeVar("T")


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

    def ask(self, method: str, path: str, kind: type[T], body: dict[str, Any] | None = None) -> T | None:
        """Return the answer to a request as its type, or None for an unknown name.

        Raises LauncherFailed when the server does not answer, refuses, or answers with something else.
        """
        status, data = self._answer(method, f"{self.address}{path}", body)
        if status == 404 and method in ("GET", "DELETE"):
            return None
        if status >= 400:
            hint = {
                401: "put user and password into the server's URL or into ~/.netrc",
                403: "ask the operator of the server for the permission",
            }.get(status, "see the server's log")
            raise LauncherFailed(f"{self._name} refused the request (HTTP {status}): {_message(data)}", hint=hint)
        return parsed(data, kind, f"{self._name} at {self.address}")

    def _answer(self, method: str, url: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        """Return the status and the content of an answer, which is never read further than its limit."""
        given = {"json": body} if body is not None else {}
        try:
            answer = self._pool.request(method, url, preload_content=False, **given)
            try:
                data = answer.read(_LONGEST + 1)
            finally:
                answer.close()
        except HTTPError as error:
            raise LauncherFailed(
                f"{self._name} at {self.address} does not answer: {_reason(error)}",
                hint="check `server:` in the job file, or --server",
            ) from error
        if len(data) > _LONGEST:
            raise LauncherFailed(
                f"the reply of {self._name} at {self.address} is larger than 64 MiB", hint="see the server's log"
            )
        return answer.status, data


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


def _message(data: bytes) -> str:
    """Return what an answer says was wrong."""
    text = data.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, dict):
        value = value.get("msg") or value.get("message") or value
    return " ".join(str(value).split())[:_SHOWN]
