"""Note in the store when a release was last used, where that is wanted and allowed; `gc --keep-used` goes by it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from envpack.errors import EnvpackError
from envpack.redact import filtered_logger
from envpack.units import now

if TYPE_CHECKING:
    from envpack.releases.manifest import Manifest
    from envpack.stores.base import Store

USED = "used"
"""The part of a key, `NAME/used/DIGEST.json`, under which records of use lie."""

OFTEN = timedelta(hours=12)
"""A use is not noted again within this time."""

_logger = filtered_logger(__name__)


def note_use(store: Store, manifest: Manifest) -> bool:
    """Note that a release is used now, and return whether it was written.

    A reader's credentials may not write, and that is no reason to fail: what the store refuses is only logged.
    """
    key = f"{manifest.name}/{USED}/{manifest.short_digest}.json"
    try:
        found = store.read(key)
        if found and _age(json.loads(found.data)["used"]) < OFTEN:
            return False
        data = json.dumps({"schema": 1, "digest": manifest.digest, "used": now()}).encode()
        return store.replace(key, data, found.version if found else None)
    except EnvpackError as error:
        _logger.info("the use of %s was not noted: %s", manifest.reference, error.message)
        return False


def _age(when: str) -> timedelta:
    return datetime.now(timezone.utc) - datetime.fromisoformat(when.replace("Z", "+00:00"))
