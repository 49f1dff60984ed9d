"""How rattler reaches channels that need credentials: by headers and mirrors, never by a channel's address."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rattler.networking import (
    AddHeadersMiddleware,
    AuthenticationMiddleware,
    Client,
    GCSMiddleware,
    MirrorMiddleware,
    OciMiddleware,
    RetryMiddleware,
    S3Middleware,
)

from envpack.errors import UsageError
from envpack.redact import public, take_apart

if TYPE_CHECKING:
    from collections.abc import Sequence

_RETRIES = 3
"""As in rattler's own default client."""


@dataclass(frozen=True)
class ChannelAddress:
    """A channel's address in its two forms."""

    url: str
    """As the user gives it, with credentials, without a slash at its end."""
    locked: str
    """As in a lock: without secrets, `${VARIABLE}` as written."""

    def __repr__(self) -> str:
        return f"ChannelAddress({self.locked!r})"

    @cached_property
    def plain(self) -> str:
        """The address that rattler uses for the channel, and writes into its caches and into prefixes."""
        parts = take_apart(self.locked)
        return self.locked.replace(f"{parts.userinfo}@", "", 1) if parts.userinfo else self.locked

    @cached_property
    def _with_tokens(self) -> str:
        """The address for requests: without user and password, with tokens."""
        parts = take_apart(self.url)
        return self.url.replace(f"{parts.userinfo}@", "", 1) if parts.userinfo else self.url


def public_address(url: str) -> ChannelAddress:
    """Return the address of a channel that the user gave as a URL."""
    return ChannelAddress(url, public(url))


def client_of(channels: Sequence[ChannelAddress]) -> Client | None:
    """Return a client that sends each channel's credentials with its requests; None where there are none.

    Users and passwords go into a header; a token in a path is put there by a mirror of the plain address. Both are
    only in memory, and neither is in rattler's caches. Channels without credentials are asked with those of
    rattler's own storage: netrc file, RATTLER_AUTH_FILE, keyring. Raises UsageError for two channels with different
    passwords that rattler cannot tell apart.
    """
    logins = _logins(channels)
    # rattler joins paths to a mirror as browsers do, so both need the slash.
    mirrors = {f"{c.plain}/": [f"{c._with_tokens}/"] for c in channels if c._with_tokens != c.plain}  # noqa: SLF001
    if not (logins or mirrors):
        return None

    def header(host: str, path: str) -> dict[str, str] | None:
        asked = f"{unquote(path)}/"
        fit = [place for place in logins if place[0] == host.lower() and asked.startswith(place[1])]
        return {"Authorization": logins[max(fit, key=lambda place: len(place[1]))]} if fit else None

    # Headers are for the plain address; a retry has to go through the mirror again.
    return Client(
        [
            AddHeadersMiddleware(header),
            RetryMiddleware(_RETRIES),
            MirrorMiddleware(mirrors),
            AuthenticationMiddleware(),
            OciMiddleware(),
            GCSMiddleware(),
            S3Middleware(),
        ]
    )


def _logins(channels: Sequence[ChannelAddress]) -> dict[tuple[str, str], str]:
    """Return the header of each channel with a password, by host and path."""
    found: dict[tuple[str, str], str] = {}
    for channel in channels:
        parts = take_apart(channel.url)
        if not parts.userinfo or channel.url.startswith("file:"):
            continue
        pair = base64.b64encode(f"{parts.user}:{parts.password}".encode()).decode()
        plain = take_apart(channel.plain)
        place = (_without_port(plain.host).lower(), f"{unquote(plain.path).rstrip('/')}/")
        if found.setdefault(place, f"Basic {pair}") != f"Basic {pair}":
            raise UsageError(
                f"two channels have the URL {channel.plain}, but different passwords",
                hint="remove one of the channels, or put the password into a netrc file",
            )
    return found


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
