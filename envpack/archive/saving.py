"""What `--slim` left out of an archive, counted."""

from __future__ import annotations

from dataclasses import dataclass

from envpack.codec import Count, Line


@dataclass(frozen=True, kw_only=True)
class Saving:
    """What one rule of `--slim` left out of an archive; bytecode that was never made for it does not count."""

    rule: Line
    files: Count
    """Files and links."""
    size: Count
    """Their bytes, unpacked."""
