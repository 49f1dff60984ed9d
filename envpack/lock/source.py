"""Where a package comes from, as it may be published."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from envpack.redact import public as without_secrets

Source = Literal["conda", "pypi"]
"""The kind of its origin."""


def public(url: str) -> str:
    """Return a URL as it may be published: without secrets, a local file by its last two parts.

    `file:///home/me/channel/noarch/six-1.conda` becomes `file:///noarch/six-1.conda`. Of a wheel or a source only
    the last part is kept: its folder may have another name on another builder.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "s3", "oci", "gs", "git+http", "git+https", "git+ssh"):
        return without_secrets(url)
    kept = 1 if parts.path.endswith((".whl", ".tar.gz", ".zip")) else 2
    return "file:///" + "/".join(parts.path.rstrip("/").split("/")[-kept:])
