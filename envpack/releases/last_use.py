"""Note in the store when a release was last used, where that is wanted and allowed; `gc --keep-used` goes by it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from msgspec import Struct

from envpack.codec import Digest, Kind, Moment, Unreadable
from envpack.errors import EnvpackError
from envpack.redact.logs import filtered_logger
from envpack.releases import keys
from envpack.units import now

if TYPE_CHECKING:
    from envpack.releases.manifest import Manifest
    from envpack.stores.base import Store

OFTEN = timedelta(hours=12)
"""A use is noted at most once within this time."""

_logger = filtered_logger(__name__)


class LastUse(Struct, frozen=True, kw_only=True):
    """When a release was last used."""

    digest: Digest
    used: Moment


STORED = Kind(
    what="a record of use",
    type=LastUse,
    limit=64 << 10,
    schema=1,
    hint="the next use writes it again",
)


def note_use(store: Store, manifest: Manifest) -> bool:
    """Note that a release is used now, and return whether it was written.

    A reader's credentials may not allow writing, so refusals of the store are only logged. A record that cannot be
    read is written again.
    """
    key = keys.last_use(manifest)
    try:
        found = store.read(key)
        if found and _is_recent(found.data, key):
            return False
        data = json.dumps({"schema": 1, "digest": manifest.digest, "used": now()}).encode()
        return store.replace(key, data, found.version if found else None)
    except EnvpackError as error:
        _logger.info("the use of %s was not noted: %s", manifest.reference, error.message)
        return False


def _is_recent(data: bytes, key: str) -> bool:
    try:
        used = datetime.fromisoformat(STORED.loads(data, key).used.replace("Z", "+00:00"))
    except (Unreadable, ValueError):
        return False
    return timedelta(0) <= datetime.now(timezone.utc) - used < OFTEN
