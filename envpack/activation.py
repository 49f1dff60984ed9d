"""Work out the environment variables that a packed environment wants; nothing activates it on a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.manifest import ALIAS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CERTIFICATES = "ssl/cacert.pem"
"""Where conda's `ca-certificates` package puts them, below the prefix."""


def variables(prefix: Path, own: Mapping[str, str]) -> dict[str, str]:
    """Return variables with values that hold where the archive is unpacked as `./environment`.

    `own` are an environment file's `variables:`; they win. OpenSSL looks for certificates below the directory
    that it was built for, which no node has, so an environment that carries some says where they are.
    """
    found = {}
    if (prefix / CERTIFICATES).is_file():
        found["SSL_CERT_FILE"] = f"./{ALIAS}/{CERTIFICATES}"
    return {**found, **own}
