"""The meaning of a channel's name from the user: a directory, a URL, or a name that conda defines.

Source: conda's `Channel` (conda/models/channel.py) and its constants (conda/base/constants.py).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = ("pkgs/main", "pkgs/r")
"""The meaning of `defaults` on Linux and macOS, highest priority first."""

_PKGS = "https://repo.anaconda.com"
"""Where conda has the channels `pkgs/...`; all other names are below one address, which py-rattler knows."""

_SUBDIR = re.compile(r"(?:linux|osx|win|freebsd|netbsd|openbsd|zos|emscripten|wasi|aix|android|ios)-\w+|noarch")


def is_subdir(word: str) -> bool:
    """Return whether a word is the name of a channel's subdirectory: `noarch` or SYSTEM-PROCESSOR (CEP 26)."""
    return _SUBDIR.fullmatch(word) is not None


def without_subdir(channel: str) -> tuple[str, str]:
    """Return a channel and the subdirectory that its name ends with, empty if it does not: `conda-forge/noarch`."""
    head, _, last = channel.rstrip("/").rpartition("/")
    return (head, last) if head and is_subdir(last) else (channel.rstrip("/"), "")


def is_directory(channel: str, base: Path) -> bool:
    """Return whether a channel is a directory, relative to `base`, and not a name.

    It is one when it is written as a path, as in conda, or when there is a channel in a directory of that name.
    `pkgs/main` and `conda-forge/label/rc` are names.
    """
    if "://" in channel:
        return False
    return channel.startswith((".", "~", "/")) or os.path.isdir(base / channel / "noarch")  # noqa: PTH112 - a Path ends with an error where a name is too long


def expanded(channel: str) -> tuple[str, ...]:
    """Return the names and addresses that a channel's name or address means; most mean themselves."""
    if channel == "defaults":
        return tuple(f"{_PKGS}/{name}" for name in DEFAULTS)
    return (f"{_PKGS}/{channel}",) if channel.startswith("pkgs/") else (channel,)


def name_of(url: str) -> str:
    """Return the common name of the channel at an address: its path, without a token."""
    path = re.sub(r"^/t/[^/]+", "", urlsplit(url).path).strip("/")
    return path if urlsplit(url).scheme != "file" else path.rpartition("/")[2]
