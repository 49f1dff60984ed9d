"""The umask of this process, for the time of a block."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

UMASKS = (0o000, 0o022, 0o027, 0o077)


@contextmanager
def umask_of(mask: int) -> Iterator[None]:
    """Set the umask; what is started meanwhile inherits it."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
