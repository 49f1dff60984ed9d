"""How indexes and their credentials are passed to uv.

By its environment, which only its owner can read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from envpack.redact import know_login, take_apart, without_secrets
from envpack.tools.uv_variables import reaches_uv

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_NAME = "ENVPACK{}"
"""The names of a run's indexes: uv takes credentials by an index's name."""

_ANOTHER_TARGET = frozenset({"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME", "PYTHONPATH"})
"""Variables that would make an active environment uv's target."""

_OF_UV = re.compile(r"UV_|(?i:https?|all|no)_proxy$|SSL_|NETRC$")
"""Variables with secrets that are meant for uv."""

_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")

_PATIENCE = 10
"""Seconds for a keyring to answer."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Indexes and credentials for a run of uv."""

    arguments: tuple[str, ...] = ()
    """Options that hold no secret."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables only for uv's process."""
    lines: tuple[str, ...] = field(default=(), repr=False)
    """Lines at the head of a requirements file that no one else can read: pages of links with secrets."""


NO_ACCESS = Access()


def access(
    *,
    index_url: str | None = None,
    extra_index_urls: Sequence[str] = (),
    find_links: Sequence[str] = (),
    no_index: bool = False,
    strategy: str = "first-index",
) -> Access:
    """Return how uv reaches these indexes and pages; URLs may hold credentials.

    Names and passwords go into `UV_INDEX_NAME_USERNAME` and `UV_INDEX_NAME_PASSWORD` (uv's documentation, "Package
    indexes", "Providing credentials directly"); a token that is part of an address has to stay in it.
    """
    variables: dict[str, str] = {}
    if index_url:
        variables["UV_DEFAULT_INDEX"] = _named(index_url, _NAME.format(""), variables)
    if extra_index_urls:
        named = [_named(url, _NAME.format(n), variables) for n, url in enumerate(extra_index_urls, start=1)]
        variables["UV_INDEX"] = " ".join(named)
    arguments, lines = ["--no-index"] if no_index else [], list[str]()
    if strategy != "first-index":
        arguments += ["--index-strategy", strategy]
    for place in find_links:
        if "://" in place and take_apart(place).public() != place:
            lines.append(f"--find-links {place.replace(' ', '%20')}")
        else:
            arguments += ["--find-links", place]
    return Access(arguments=tuple(arguments), environment=variables, lines=tuple(lines))


def meet_keyring(environ: Mapping[str, str], given: Access) -> None:
    """Pass uv's answers from the `keyring` program to the filter of secrets, where the user lets uv ask it.

    uv asks for each index whose user has no password (uv's documentation, "HTTP credentials").
    """
    if not _asks_keyring(environ):
        return
    told = {**environ, **given.environment}
    urls = [url for name in _INDEX_VARIABLES for url in told.get(name, "").split()]
    for named in urls:
        name, _, url = named.partition("=") if "=" in named.partition("://")[0] else ("", "", named)
        user = take_apart(url).user or told.get(f"UV_INDEX_{name.upper()}_USERNAME", "")
        if user and not take_apart(url).password:
            know_login(user, _from_keyring(take_apart(url).public(), user))


def of_keyring(url: str, user: str) -> str:
    """Return the password that `keyring` has for a user of an address; empty where uv does not ask it either."""
    if not _asks_keyring(os.environ):
        return ""
    found = _from_keyring(take_apart(url).public(), user)
    know_login(user, found)
    return found


def _asks_keyring(environ: Mapping[str, str]) -> bool:
    return environ.get("UV_KEYRING_PROVIDER") == "subprocess" and shutil.which("keyring") is not None


@cache
def _from_keyring(url: str, user: str) -> str:
    for service in (url, take_apart(url).host):
        with suppress(OSError, subprocess.TimeoutExpired):
            command = ["keyring", "get", service, user]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_PATIENCE, check=False, env=os.environ
            )
            if done.returncode == 0 and done.stdout.strip():
                return done.stdout.strip()
    return ""


def write_requirements(path: Path, lines: Iterable[str]) -> None:
    """Write a new requirements file for uv, which no one but its owner can read: its lines may hold secrets."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the user's variables for uv's process: of those with secrets only the ones for uv.

    Of uv's own only what cannot change an answer (see `uv_variables`).

    All of them where uv asks the `keyring` program, whose plugins have their own variables, or signs requests.
    """
    asks_others = environ.get("UV_KEYRING_PROVIDER", "disabled") != "disabled" or "UV_S3_ENDPOINT_URL" in environ
    kept = dict(environ) if asks_others else without_secrets(environ)
    kept |= {name: value for name, value in environ.items() if _OF_UV.match(name)}
    return {name: value for name, value in kept.items() if name not in _ANOTHER_TARGET and reaches_uv(name)}


def _named(url: str, name: str, variables: dict[str, str]) -> str:
    """Return an index as `NAME=URL` without user and password; put these into `variables`."""
    parts = take_apart(url)
    if not parts.userinfo:
        return f"{name}={url}"
    user, _, password = parts.userinfo.partition(":")
    variables[f"UV_INDEX_{name}_USERNAME"] = unquote(user)
    if password:
        variables[f"UV_INDEX_{name}_PASSWORD"] = unquote(password)
    return f"{name}={url.replace(f'{parts.userinfo}@', '', 1)}"
