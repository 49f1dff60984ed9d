"""Storage for archives and manifests, a local directory or S3, behind one protocol.

Another kind of store is a module here with an `open_at`, and its scheme in `envpack.config.addresses.STORES`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from envpack.config.addresses import store_module, store_place
from envpack.errors import UsageError
from envpack.stores.s3.options import S3Options
from envpack.units import span

if TYPE_CHECKING:
    from envpack.config.config import Config
    from envpack.stores.base import Store
    from envpack.stores.s3.options import Addressing, Encryption

_DEFAULTS = S3Options()


def open_store(url: str, options: S3Options = _DEFAULTS) -> Store:
    """Return the store at a URL; nothing is read, written or requested yet.

    `url` is `s3://BUCKET[/PREFIX]` (or `s3a://`, as Hadoop spells it), `file:///DIRECTORY` or a directory.
    `options` are for S3 only. Raises UsageError for anything else.
    """
    try:
        place = store_place(url, Path.cwd())
    except ValueError as error:
        raise UsageError(str(error), hint="give s3://BUCKET/PREFIX, file:///DIRECTORY or a directory") from error
    # Only the requested kind is imported: boto3 takes 0.4 s, and a local store does not need it.
    opened: Store = import_module(f"envpack.stores.{store_module(place)}").open_at(place, options)
    return opened


def store_of(config: Config, url: str | None = None) -> Store:
    """Return the configured store, or the one at `url` with the configured S3 options.

    Raises UsageError when none is named.
    """
    where = url or config.store
    if where is None:
        raise UsageError(
            "no store is configured",
            hint="give --store s3://BUCKET/PREFIX or --store DIRECTORY, set ENVPACK_STORE, or `store:` in "
            "envpack.yaml",
        )
    options = S3Options(
        endpoint=config.s3_endpoint_url,
        region=config.s3_region,
        profile=config.s3_profile,
        sse=cast("Encryption | None", config.s3_sse),
        kms_key=config.s3_kms_key,
        expected_bucket_owner=config.s3_bucket_owner,
        addressing=cast("Addressing", config.s3_addressing),
        patience=_patience(config),
    )
    return open_store(where, options)


def _patience(config: Config) -> float:
    try:
        return span(config.s3_patience)
    except ValueError:
        origin = config.origins.get("s3_patience", "default")
        raise UsageError(f"{origin}: must be a time such as 60s or 5m, not {config.s3_patience!r}") from None
