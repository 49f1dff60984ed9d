"""How long Ctrl-C waits for threads, which the network may block for too long."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 0.4
"""Seconds that Ctrl-C waits for the parts under way, and again for the request that aborts them."""


def done_within(seconds: float, job: Callable[..., object], *arguments: object) -> bool:
    """Run a job in a daemon thread; say whether it ended in time."""
    thread = threading.Thread(target=job, args=arguments, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
