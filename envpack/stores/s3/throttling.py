"""Retry throttled requests: S3 answers SlowDown when a prefix gets more requests than it is scaled for yet.

How long that takes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from envpack.redact.logs import filtered_logger

if TYPE_CHECKING:
    from collections.abc import Callable

logger = filtered_logger(__name__)

LONGEST_PAUSE = 8.0

THROTTLED = frozenset(
    {
        "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "BandwidthLimitExceeded",
        "RequestThrottled", "TooManyRequestsException", "503",
    }
)  # fmt: skip


class Throttling:
    """Retries throttled requests of one client up to a time limit; botocore handles other failures."""

    def __init__(self, patience: float, say: Callable[[str], object]) -> None:
        """Take the time limit in seconds, and where to report once."""
        self._patience = patience
        self._say = say
        self._told = False

    def watch(self, client: Any) -> None:  # noqa: ANN401 - boto3 has no types
        """Handle each answer before botocore's own retries do ("Extensibility guide": `needs-retry`)."""
        client.meta.events.register_first("needs-retry.s3", self._pause)

    def _pause(
        self,
        response: tuple[Any, dict[str, Any]] | None,
        attempts: int,
        request_dict: dict[str, Any],
        **_: object,
    ) -> float | None:
        """Return for how many seconds to wait before the request is sent again; None: botocore decides."""
        context = request_dict.setdefault("context", {})
        began: float = context.setdefault("envpack_began", time.monotonic())
        code = response[1].get("Error", {}).get("Code") if response else None
        if code not in THROTTLED:
            return None
        pause: float = min(LONGEST_PAUSE, 0.1 * 2**attempts) * random.uniform(0.5, 1)  # noqa: S311 - spreads requests
        if time.monotonic() - began + pause > self._patience:
            return None
        if not self._told:
            self._told = True
            self._say(f"S3 asks to slow down; requests are sent again for up to {self._patience:.0f} s")
        logger.debug("S3 answered %s, attempt %d: waiting %.1f s", code, attempts, pause)
        return pause
