"""Addresses of a store, a channel or a server as the user writes them, and texts that are only meant as one.

A malformed URL is never treated as a directory: `s3:/bucket/x` would be created here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from envpack.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

STORES = {"s3": "s3", "s3a": "s3", "file": "local"}
"""The schemes of a store, each with the module of `envpack.stores` that opens it; a directory is a `file`."""

CHANNELS = ("https", "http", "file", "s3", "oci", "gcs")
"""The schemes of a channel, in addition to names and directories."""

_SERVERS = ("https", "http")

_LONGEST_NAME, _LONGEST_PATH = 255, 4095
"""Bytes of a file's name, and of a path: NAME_MAX of Linux, and its PATH_MAX without the zero at the end."""

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_NEARLY = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*?)\s*(?:[:;]+\s*|(?=[/\\]{2}))(?P<slashes>[/\\]*)(?P<rest>.*)", re.DOTALL
)
_WINDOWS = re.compile(r"(?P<drive>[A-Za-z]):(?P<path>[\\/].*|)", re.DOTALL)
_SERVER = re.compile(r"[A-Za-z0-9._-]+:[0-9]{1,5}(?:[/\\].*)?", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
_AWS_HOST = re.compile(
    r"(?:https?:/*)?(?:(?P<bucket>[a-z0-9.-]+)\.)?s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com(?:\.cn)?(?:/(?P<path>.*))?"
)
_ARN = re.compile(r"arn:aws[a-z-]*:s3:::(?P<place>.+)")


def store_place(text: str, base: Path) -> str:
    """Return the place of a store: an `s3://` or `file://` URL, or a directory as an absolute, normalised path.

    A directory is relative to `base`. Raises ValueError with the reason, and the nearest right form where one is.
    """
    if aws := _ARN.fullmatch(text) or _AWS_HOST.fullmatch(text):
        parts = aws.groupdict()
        place = parts.get("place") or "/".join(part for part in (parts["bucket"], parts["path"]) if part)
        raise ValueError(_not("a store", text, f"s3://{place}" if place else None))
    place = _place(text, tuple(STORES), "a store")
    scheme, _, rest = place.partition("://")
    if not rest and scheme == place:
        return named_directory(place, base)
    bucket = rest.partition("/")[0]
    if scheme in ("s3", "s3a") and not _BUCKET.fullmatch(bucket):
        raise ValueError(
            f"{_shown(text)} is not a store: {_shown(bucket)} cannot be a bucket, whose name has 3 to 63 letters, "
            "digits, '.' and '-'; write s3://BUCKET/PREFIX"
        )
    return place


def store_module(place: str) -> str:
    """Return the name of the module of `envpack.stores` that opens what `store_place` has returned."""
    scheme, separator, _ = place.partition("://")
    return STORES[scheme if separator else "file"]


def channel_place(text: str, base: Path, *, directory: bool) -> str:
    """Return a channel in usable form: a URL, a name, or a `directory` as an absolute path.

    Raises ValueError as `store_place` does.
    """
    place = _place(text, CHANNELS, "a channel")
    return named_directory(place, base) if directory else place


def server_address(text: str) -> str:
    """Return the URL of a server; raises ValueError as `store_place` does."""
    if _SERVER.fullmatch(text):
        raise ValueError(_not("a server's URL", text, f"http://{text}"))
    place = _place(text, _SERVERS, "a server's URL")
    if "://" not in place:
        raise ValueError(_not("a server's URL", text, f"https://{text.lstrip('/')}"))
    try:
        parts = urlsplit(place)
        known = bool(parts.hostname) and (parts.port or True)
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"{_shown(text)} is not a server's URL: write https://HOST or https://HOST:PORT")
    return place


def _place(text: str, schemes: Sequence[str], what: str) -> str:
    """Return a URL with its scheme in small letters, or what may be a name or a directory. Raises ValueError."""
    if not text.strip():
        raise ValueError(f"{_shown(text)} is not {what}: it is empty")
    if text != text.strip() or visible(text) != text:
        raise ValueError(_not(what, text, "".join(c for c in text if visible(c) == c).strip()))
    if windows := _windows(re.sub(r"\Afile:[/\\]?(?=[A-Za-z]:)", "", text, flags=re.IGNORECASE)):
        raise ValueError(f"{_shown(text)} is not {what}: it is a Windows path; {windows}")
    if url := _URL.fullmatch(text):
        return _url(text, url["scheme"].lower(), url["rest"], schemes, what)
    inner = re.search(rf"(?:{'|'.join(schemes)})://.*", text, re.IGNORECASE | re.DOTALL)
    nearly = _NEARLY.fullmatch(text)
    if nearly and (":" in text.split("/", maxsplit=1)[0] or _scheme_near(nearly["scheme"], schemes)):
        raise ValueError(_nearest(text, nearly, schemes, what))
    if inner or "://" in text or text.startswith("//"):
        first = f"{schemes[0]}:{text}" if text.startswith("//") else None
        raise ValueError(_not(what, text, inner[0] if inner else first))
    return text


def _url(text: str, scheme: str, rest: str, schemes: Sequence[str], what: str) -> str:
    if scheme not in schemes:
        near = _scheme_near(scheme, schemes)
        known = ", ".join(f"{each}://" for each in schemes)
        raise ValueError(_not(what, text, _joined(near, rest) if near else None, f"it must begin with {known}"))
    if scheme == "file":
        host, _, path = rest.partition("/")
        if drive := _WINDOWS.fullmatch(path):
            raise ValueError(f"{_shown(text)} is not {what}: it is a Windows path; {_in_wsl(drive)}")
        if host not in ("", "localhost") or not path:
            raise ValueError(_not(what, text, f"file:///{rest.strip('/')}" if rest.strip("/") else None))
    elif not rest.strip("/") or rest.startswith("/"):
        raise ValueError(_not(what, text, f"{scheme}://{rest.lstrip('/')}" if rest.strip("/") else None))
    return f"{scheme}://{rest}"


def _nearest(text: str, nearly: re.Match[str], schemes: Sequence[str], what: str) -> str:
    scheme, rest = nearly["scheme"].lower(), nearly["rest"].replace("\\", "/").lstrip("/ :")
    near = _scheme_near(scheme, schemes)
    if near and rest:
        return _not(what, text, _joined(near, rest))
    if near:
        return _not(what, text, None)
    return f"{_shown(text)} is not {what}; a directory with a colon in its name is written ./{text}"


def _joined(scheme: str, rest: str) -> str:
    return f"{scheme}://{'/' if scheme == 'file' else ''}{rest.lstrip('/')}"


def _scheme_near(scheme: str, schemes: Sequence[str]) -> str | None:
    scheme = scheme.lower()
    if scheme in schemes:
        return scheme
    if scheme == "s3n" and "s3" in schemes:
        return "s3"
    import difflib

    return next(iter(difflib.get_close_matches(scheme, schemes, n=1, cutoff=0.75)), None)


def _windows(text: str) -> str | None:
    """Return what to write instead of a Windows path, or None for another text."""
    if drive := _WINDOWS.fullmatch(text):
        return _in_wsl(drive)
    if text.startswith("\\\\"):
        return "give a directory that is mounted on this machine"
    if "\\" in text and ":" not in text:
        return f"did you mean {_shown(text.replace(chr(92), '/'))}?"
    return None


def _in_wsl(drive: re.Match[str]) -> str:
    path = drive["path"].replace("\\", "/").rstrip("/")
    return f"in WSL it is {_shown(f'/mnt/{drive[1].lower()}{path}')}"


def named_directory(text: str, base: Path) -> str:
    """Return the absolute path of a directory or file that a setting names, where `~` is a home.

    Raises ValueError for the home of a user that does not exist, and for what is too long for a path.
    """
    try:
        found = directory_at(Path(text).expanduser(), base)
    except RuntimeError as error:
        raise ValueError(f"{_shown(text)} is not a directory: this user does not exist") from error
    path = os.fsencode(found)
    if len(path) > _LONGEST_PATH or any(len(name) > _LONGEST_NAME for name in path.split(b"/")):
        raise ValueError(
            f"a path of {len(text):,} characters is not a directory: a name has at most {_LONGEST_NAME} bytes, "
            f"a path {_LONGEST_PATH:,}"
        )
    return found


def directory_at(path: str | Path, base: Path) -> str:
    """Return a path as an absolute one without `..`: a cage has only the directories that it was given."""
    whole = str(base / path)
    # A lexical `..` is wrong after a symbolic link, so the file system is asked where there is one.
    return os.path.realpath(whole) if ".." in whole.split("/") else os.path.normpath(whole)


def _not(what: str, text: str, nearest: str | None, otherwise: str = "") -> str:
    remedy = f": write {nearest}" if nearest else f": {otherwise}" if otherwise else ""
    return f"{_shown(text)} is not {what}{remedy}"


def _shown(text: str) -> str:
    return repr(text)
