"""Find the certificates that an environment's OpenSSL does not find by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OF_CONDA = "ssl/cacert.pem"
"""Where conda's `ca-certificates` package puts them, below the prefix."""

_OF_CERTIFI = "lib/python*/site-packages/certifi/cacert.pem"
_OPENSSL = "lib/libcrypto.so*"


def bundle(prefix: Path) -> str | None:
    """Return the path, below the prefix, of the certificates that SSL_CERT_FILE must name, or None.

    conda's OpenSSL looks below the directory that it was built for, which no node has. Without `ca-certificates`,
    those of `certifi` are used. A prefix without an OpenSSL uses the node's, with the node's certificates.
    """
    if (prefix / OF_CONDA).is_file():
        return OF_CONDA
    if not has_openssl(prefix):
        return None
    found = sorted(path for path in prefix.glob(_OF_CERTIFI) if path.is_file())
    return found[0].relative_to(prefix).as_posix() if found else None


def has_openssl(prefix: Path) -> bool:
    """Return whether the prefix has its own OpenSSL."""
    return any(prefix.glob(_OPENSSL))
