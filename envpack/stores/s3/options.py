"""Options for S3 that boto3's own chain of variables and files does not set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from envpack.errors import UsageError

Encryption = Literal["AES256", "aws:kms"]
Addressing = Literal["auto", "path", "virtual"]

MIB = 1 << 20

SMALLEST_PART = 5 * MIB
"""S3 takes smaller parts only as the last: docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html."""


@dataclass(frozen=True, kw_only=True)
class S3Options:
    """What the user may set for S3; None leaves it to boto3 (environment, `~/.aws`, the machine's role).

    Raises UsageError for values that S3 would refuse.
    """

    endpoint: str | None = None
    """URL of an S3 server that is not AWS's; None: `AWS_ENDPOINT_URL_S3`, then AWS."""
    region: str | None = None
    """The bucket's region; None: `AWS_DEFAULT_REGION`, then the profile's."""
    profile: str | None = None
    """A profile of `~/.aws/config`; None: `AWS_PROFILE`, then `default`."""
    sse: Encryption | None = None
    """Server-side encryption to ask for; None: the bucket's default."""
    kms_key: str | None = None
    """The key's id or ARN for `aws:kms`; None: the account's own S3 key."""
    expected_bucket_owner: str | None = None
    """Account id that must own the bucket; S3 refuses every request when another one does."""
    addressing: Addressing = "auto"
    """`path` puts the bucket into the URL's path, which many servers that are not AWS's need."""
    part_size: int = 16 * MIB
    """Bytes per part of an upload; a file of one part is sent in one request."""
    patience: float = 60.0
    """Seconds for which a request is retried while S3 answers SlowDown."""
    concurrency: int = 8
    """How many parts are transferred in parallel."""

    def __post_init__(self) -> None:
        if self.part_size < SMALLEST_PART:
            raise UsageError(
                f"part_size: S3 does not accept parts of {self.part_size} bytes",
                hint=f"use {SMALLEST_PART} or more",
            )
        if self.concurrency < 1:
            raise UsageError(f"concurrency: must be 1 or more, not {self.concurrency}", hint="use 1 or more")
        if self.kms_key and self.sse != "aws:kms":
            raise UsageError(
                f"--s3-kms-key is {self.kms_key}, but --s3-sse is not aws:kms", hint="add --s3-sse aws:kms"
            )
