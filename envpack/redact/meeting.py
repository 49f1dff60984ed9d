"""Where secrets are met: URLs, the environment, and the files that hold credentials for channels and indexes."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from envpack.redact.address import VARIABLE, is_random, take_apart
from envpack.redact.known import hide, know, know_login
from envpack.redact.patterns import pattern
from envpack.redact.urls import BLANK_IN_PASSWORD, SETTING, addresses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_KEYS = tuple(f"{kind}{mark}KEY" for kind in ("API", "ACCESS", "PRIVATE", "SIGNING") for mark in ("", "_"))
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", *_KEYS, "CREDENTIAL")
_SECRET_ENDS = ("_PAT", "_PSW", "_PWD", "_PASS")
_MAYBE_SECRET_ENDS = ("_SIG", "_KEY")
"""Ends of names that are also used for things that are not secret, such as `CACHE_KEY`."""

_NO_SECRET_ENDS = ("_SOCK", "_FILE", "_PATH", "_DIR", "_NAME", "_TYPE", "_PROVIDER", "_PARALLELISM")
_SECRET_IN_FILE = pattern(r"(?im)^\s*[\"']?(?:password|token|secret|_authtoken)[\"']?\s*[=:]\s*[\"']?([^\"'\s,]+)")
_PLACE_OR_ADDRESS = pattern(r"[.~]{0,2}/|[A-Za-z][A-Za-z0-9+.-]*://")
_SECRET_KEY = pattern(r"(?i)token|password|secret|auth|key")
_LONG = pattern(r"(?=.*\d)(?=.*[A-Za-z])[^\s/]{16,}")
_LARGEST = 1 << 20


def meet(text: str) -> None:
    """Keep the secrets of every URL in a text."""
    if "@" not in text and ":/" not in text and "//" not in text:
        return  # as most words of a command line are
    know(*(match["value"] for match in SETTING.finditer(text)))
    for match in BLANK_IN_PASSWORD.finditer(text):
        know(match[0].removeprefix(match["scheme"]).partition(":")[2][:-1])
    whole = [text] if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) and " " in take_apart(text).userinfo else []
    for url in (*addresses(text), *whole):
        address = take_apart(url)
        know(*address.secrets(), *address.password.split())
        if address.userinfo:
            know_login(address.user, address.password)


def meet_variables(written: str, values: Mapping[str, str]) -> None:
    """Keep the values of variables that hold secrets in the URLs of a text.

    `written` has them as `${NAME}`, `values` are by name. One in a path is kept if its name or its form suggests a
    secret.
    """
    for url in addresses(written):
        address = take_apart(url)
        for place, always in ((address.userinfo, True), (address.query, True), (address.path, False)):
            for name in VARIABLE.findall(place):
                value = values.get(name[2:-1], "")
                if always or is_secret_name(name[2:-1]) or is_random(value):
                    know(value)


def is_secret_name(name: str) -> bool:
    """Return whether a variable of this name is likely to hold a secret."""
    upper = name.upper()
    if "AUTHOR" in upper or upper.endswith(_NO_SECRET_ENDS):
        return False
    return upper.endswith(_SECRET_ENDS) or any(word in upper for word in _SECRET_WORDS)


def _may_name_a_secret(name: str) -> bool:
    upper = name.upper()
    return upper.startswith("AUTH") or "_AUTH" in upper or upper.endswith(_MAYBE_SECRET_ENDS)


def may_be_published(name: str, value: str) -> bool:
    """Return whether a variable may be written where everybody reads it.

    It may not if it holds a known secret, an address with a password or a token, or text that looks like a token
    and has a name that suggests one.
    """
    if hide(value) != value:
        return False
    addresses_in = [take_apart(url) for url in addresses(value)]
    if any(parts.password or "the path" in parts.lost() for parts in addresses_in):
        return False
    mixed = len(value) >= 8 and re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
    return not (mixed and " " not in value and is_secret_name(name) and not _PLACE_OR_ADDRESS.match(value))


def meet_environment(environ: Mapping[str, str]) -> None:
    """Keep the secrets of an environment: values of variables whose names suggest a secret, and secrets in URLs."""
    for name, value in environ.items():
        if _holds_by_name(name, value):
            know(value, *(line for line in value.splitlines() if len(line) > 15))
        if value.startswith("{"):
            know(*_leaves(value))
        if "@" in value or "://" in value:
            meet(value)


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a child that needs no secret: without the variables that hold one."""
    return {name: value for name, value in environ.items() if not _holds_secret(name, value)}


def _holds_by_name(name: str, value: str) -> bool:
    return is_secret_name(name) or bool(_may_name_a_secret(name) and _LONG.fullmatch(value))


def _holds_secret(name: str, value: str) -> bool:
    if _holds_by_name(name, value) or (value.startswith("{") and any(True for _ in _leaves(value))):
        return True
    found = [take_apart(url) for url in addresses(value)] if "@" in value or "://" in value else []
    return any(True for address in found for _ in address.secrets())


def meet_files(environ: Mapping[str, str]) -> None:
    """Keep the secrets of the files from which uv and rattler take credentials.

    Sources: uv's documentation, "HTTP credentials" (netrc files, uv's own store, its configuration); rattler's
    `AuthenticationStorage` (RATTLER_AUTH_FILE, `~/.rattler/credentials.json`, netrc files).
    """
    for path in _files(environ):
        text = _text(path)
        if text is None:
            continue
        if path.suffix == ".json":
            know(*_leaves(text))
        elif path.suffix == ".toml":
            know(*_SECRET_IN_FILE.findall(text))
            meet(text)
        else:
            _meet_netrc(path)


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    from pathlib import Path

    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - a Path has no answer for who has no home
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    yield Path(environ.get("NETRC") or home / ".netrc")
    if named := environ.get("RATTLER_AUTH_FILE"):
        yield Path(named)
    yield from (home / ".rattler" / "credentials.json", data / "rattler" / "credentials.json")
    yield Path(environ.get("UV_CONFIG_FILE") or config / "uv" / "uv.toml")
    shared = [Path(place) for place in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if place]
    yield from (place / "uv" / "uv.toml" for place in (*shared, Path("/etc")))
    yield data / "uv" / "credentials" / "credentials.toml"


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace") if path.stat().st_size <= _LARGEST else None
    except OSError:
        return None


def _meet_netrc(path: Path) -> None:
    import netrc

    try:
        hosts = netrc.netrc(path).hosts.values()
    except (netrc.NetrcParseError, OSError, UnicodeError):
        # uv and rattler may read more of it than Python does.
        words = (_text(path) or "").split()
        know(*(value for word, value in pairwise(words) if word == "password"))
        return
    for user, _, password in hosts:
        know_login(user or "", password or "")


def _leaves(text: str) -> Iterator[str]:
    """Yield the secrets of a JSON document: texts whose keys say so."""
    import json

    try:
        waiting: list[tuple[str, Any]] = [("", json.loads(text))]
    except ValueError:
        return
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
            if isinstance(value.get("username"), str) and isinstance(value.get("password"), str):
                know_login(value["username"], value["password"])
        elif isinstance(value, list):
            waiting += [(key, each) for each in value]
        elif isinstance(value, str) and _SECRET_KEY.search(key):
            yield value
