"""How S3 shows that the bytes of a part are those that were meant: by SHA-256, or by MD5 where it cannot."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from envpack.digest import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A digest that S3 takes of each part of an object."""

    new: Callable[[], Any]
    """Begins one, as `hashlib` does."""
    creating: Mapping[str, str]
    """The parameters of CreateMultipartUpload that ask for it."""
    sending: str
    """The parameter of UploadPart, Base64, by which S3 refuses other bytes."""
    answering: str
    """Where S3's answers have it."""
    text: Callable[[bytes], str]
    """Writes it as the answers do."""

    def of(self, path: Path, offset: int, size: int) -> bytes:
        """Return the digest of a range of a file."""
        taken = self.new()
        with path.open("rb") as file:
            file.seek(offset)
            while size > 0 and (data := file.read(min(size, CHUNK))):
                taken.update(data)
                size -= len(data)
        digest: bytes = taken.digest()
        return digest

    def sent_with(self, digest: bytes) -> dict[str, str]:
        """Return what UploadPart says of a part."""
        return {self.sending: base64_of(digest)}

    def completed_with(self, digest: bytes) -> dict[str, str]:
        """Return what CompleteMultipartUpload says of a part; it must name a checksum that was asked for."""
        return {self.answering: self.text(digest)} if self.creating else {}

    def agrees(self, answer: Mapping[str, Any], digest: bytes) -> bool | None:
        """Say whether S3 has the bytes of a digest; None when its answer does not tell."""
        said, meant = str(answer.get(self.answering, "")).strip('"'), self.text(digest)
        return said == meant if len(said) == len(meant) else None


def base64_of(digest: bytes) -> str:
    """Return a digest as headers of S3 have it."""
    return base64.b64encode(digest).decode()


SHA256 = Proof(
    new=hashlib.sha256,
    creating={"ChecksumAlgorithm": "SHA256"},
    sending="ChecksumSHA256",
    answering="ChecksumSHA256",
    text=base64_of,
)
"""What AWS takes of a copied part too: "CopyPartResult" of the S3 API reference.

MinIO refuses a copy where it is asked for; versitygw 1.8.0 gives that of the source, which the number of parts
behind it tells apart.
"""

MD5 = Proof(
    new=partial(hashlib.md5, usedforsecurity=False),
    creating={},
    sending="ContentMD5",
    answering="ETag",
    text=bytes.hex,
)
"""The ETag of a part that is not encrypted with a key of KMS: "Object" of the S3 API reference."""


def of_parts(path: Path, part_size: int) -> str:
    """Return what S3 says of a file that was uploaded in parts of one size: Base64 of a SHA-256, and their number.

    It is the SHA-256 of the parts' own, one after the other ("Checking object integrity" of the S3 user guide,
    composite checksums).
    """
    size = path.stat().st_size
    starts = range(0, max(size, 1), part_size)
    joined = b"".join(SHA256.of(path, start, part_size) for start in starts)
    return f"{base64_of(hashlib.sha256(joined).digest())}-{len(starts)}"
