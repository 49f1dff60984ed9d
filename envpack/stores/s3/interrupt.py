"""How long Ctrl-C waits for threads, which the network may hold for longer than a person waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 0.4
"""Seconds that Ctrl-C gives to the parts under way, and again to the request that aborts them."""


def done_within(seconds: float, job: Callable[..., object], *arguments: object) -> bool:
    """Run a job, in a thread that keeps nobody from leaving; say whether it ended in time."""
    thread = threading.Thread(target=job, args=arguments, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
