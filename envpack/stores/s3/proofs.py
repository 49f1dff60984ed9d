"""How S3 proves that the bytes of a part are correct: by SHA-256, or by MD5 where it cannot."""

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
    """A digest that S3 computes for each part of an object."""

    new: Callable[[], Any]
    """Begins one, as `hashlib` does."""
    creating: Mapping[str, str]
    """The parameters of CreateMultipartUpload that request it."""
    sending: str
    """The parameter of UploadPart, Base64, with which S3 refuses other bytes."""
    answering: str
    """Its field in S3's answers."""
    text: Callable[[bytes], str]
    """Writes it in the form of the answers."""

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
        """Return the parameters of UploadPart for a part."""
        return {self.sending: base64_of(digest)}

    def completed_with(self, digest: bytes) -> dict[str, str]:
        """Return the entry of CompleteMultipartUpload for a part; it must name a requested checksum."""
        return {self.answering: self.text(digest)} if self.creating else {}

    def agrees(self, answer: Mapping[str, Any], digest: bytes) -> bool | None:
        """Say whether S3 has the bytes of a digest; None when its answer does not say."""
        said, meant = str(answer.get(self.answering, "")).strip('"'), self.text(digest)
        return said == meant if len(said) == len(meant) else None


def base64_of(digest: bytes) -> str:
    """Return a digest in the form of S3's headers."""
    return base64.b64encode(digest).decode()


SHA256 = Proof(
    new=hashlib.sha256,
    creating={"ChecksumAlgorithm": "SHA256"},
    sending="ChecksumSHA256",
    answering="ChecksumSHA256",
    text=base64_of,
)
"""AWS also computes it for a copied part: "CopyPartResult" of the S3 API reference.

MinIO refuses a copy where it is requested; versitygw 1.8.0 gives that of the source, which the appended number of
parts shows.
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
    """Return S3's checksum of a file that was uploaded in parts of one size: Base64 of a SHA-256, and their number.

    It is the SHA-256 of the parts' own, one after the other ("Checking object integrity" of the S3 user guide,
    composite checksums).
    """
    size = path.stat().st_size
    starts = range(0, max(size, 1), part_size)
    joined = b"".join(SHA256.of(path, start, part_size) for start in starts)
    return f"{base64_of(hashlib.sha256(joined).digest())}-{len(starts)}"
