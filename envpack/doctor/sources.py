"""Where packages come from: the channels and the package index, asked as a build would."""

from __future__ import annotations

import base64
import os
import sys
import tempfile
import time
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from envpack.doctor.finding import Finding
from envpack.errors import EnvpackError, Unsatisfiable
from envpack.redact import redact
from envpack.requirements import Indexes
from envpack.requirements.indexes import with_environment, with_mirrors
from envpack.resolve.channel_addresses import channel_addresses
from envpack.resolve.pypi import access_of
from envpack.tools import uv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.config.config import Config
    from envpack.tools.channel_access import ChannelAddress

_TIMEOUT = 10.0
"""Seconds for one answer."""

_INDEXES = ("noarch/repodata_shards.msgpack.zst", "noarch/repodata.json.zst", "noarch/repodata.json")
"""Index files that a channel may have; one of them is enough."""

_ASKED_FOR = "pip"
"""A project that every mirror of PyPI has."""


def channel(name: str) -> Iterator[Finding]:
    """Ask one channel for its index."""
    try:
        addresses = channel_addresses([name], Path.cwd())
    except EnvpackError as error:
        yield Finding(check="channel", level="problem", text=error.message, hint=error.hint)
        return
    for address in addresses:
        yield from _channel_at(address)


def _channel_at(address: ChannelAddress) -> Iterator[Finding]:
    url, shown = address.url, address.locked
    scheme = urlsplit(url).scheme
    if scheme == "file":
        yield from _directory(Path(unquote(urlsplit(url).path)), shown)
    elif scheme in ("http", "https"):
        yield from _address(url, shown)
    else:
        text = f"{shown} was not asked: doctor knows http, https and directories"
        yield Finding(check="channel", level="note", text=text, hint="try it with `envpack lock FILE --upgrade`")


def index(config: Config) -> Iterator[Finding]:
    """Let uv ask its index, or those that its variables name, for a project."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "asked.txt")
        asked.write_text(f"{_ASKED_FOR}\n", "utf-8")
        arguments = ["pip", "compile", str(asked), "--no-deps", "--only-binary", ":all:"]
        arguments += ["--python", sys.executable, "--python-version", config.python or "3.11"]
        default = partial(uv.default_index, cache=Path(folder, "cache"), workdir=Path(folder))
        named = with_environment(Indexes(), os.environ)
        try:
            reach = access_of(with_mirrors(named, config.index_mirrors, default=default))
            uv.run(arguments, cache=Path(folder, "cache"), workdir=Path(folder), access=reach)
        except Unsatisfiable as error:
            first = error.message.splitlines()[-1]
            text = f"uv's package index has no {_ASKED_FOR}: {first}"
            hint = "that is fine if it is a site's own; else check UV_DEFAULT_INDEX"
            yield Finding(check="index", level="warning", text=text, hint=hint)
            return
        except EnvpackError as error:
            yield Finding(check="index", level="problem", text=error.message, hint=error.hint)
            return
    yield Finding(check="index", level="ok", text=f"uv's package index answered in {_since(start)}")


def _directory(path: Path, shown: str) -> Iterator[Finding]:
    if any((path / place).is_file() for place in _INDEXES):
        yield Finding(check="channel", level="ok", text=f"{shown} is there")
    else:
        text = f"{shown} has no index: noarch/repodata.json is missing"
        yield Finding(check="channel", level="problem", text=text, hint="index it, or correct `channels`")


def _address(url: str, shown: str) -> Iterator[Finding]:
    start = time.monotonic()
    for place in _INDEXES:
        try:
            with urlopen(_request(f"{url}/{place}"), timeout=_TIMEOUT):  # noqa: S310 - http and https only
                yield Finding(check="channel", level="ok", text=f"{shown} answered in {_since(start)}")
                return
        except HTTPError as error:
            error.close()
            if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                text = f"{shown} answered {error.code}: its credentials are missing or wrong"
                hint = "put them into the channel's address, or into rattler's keychain"
                yield Finding(check="channel", level="problem", text=text, hint=hint)
                return
        except (URLError, OSError) as error:
            reason = redact(str(getattr(error, "reason", error)))
            hint = "check the network, HTTPS_PROXY and SSL_CERT_FILE, or give a mirror with `channels:`"
            text = f"{shown} did not answer: {reason}"
            yield Finding(check="channel", level="problem", text=text, hint=hint)
            return
    text = f"{shown} answered, but has no index"
    yield Finding(check="channel", level="problem", text=text, hint="correct `channels`: is that a conda channel?")


def _request(url: str) -> Request:
    """Return a request for an address, its credentials where HTTP wants them."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    request = Request(urlunsplit(parts._replace(netloc=host)), method="HEAD")  # noqa: S310 - as above
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    return request


def _since(start: float) -> str:
    return f"{(time.monotonic() - start) * 1000:.0f} ms"
