"""A store in an S3 bucket; the only user of boto3."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envpack.stores.base import Store
    from envpack.stores.s3.options import S3Options


def open_at(url: str, options: S3Options) -> Store:
    """Return the store at `s3://BUCKET[/PREFIX]`, or at `s3a://`, as Hadoop spells it."""
    from envpack.stores.s3.store import S3Store

    return S3Store(url, options)
