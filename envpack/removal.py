"""Remove directories that were made read-only, as a node makes them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def remove(directory: Path) -> None:
    """Remove a directory and all in it, whatever their permissions; it is no error when it is not there."""
    if not directory.exists():
        return
    for parent, _, _ in os.walk(directory):
        Path(parent).chmod(0o700)
    shutil.rmtree(directory)
