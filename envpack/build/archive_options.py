"""The configuration of packing: how small archives are made, and how many of their pieces are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.archive.formats import LEVELS
from envpack.archive.pieces import Pieces
from envpack.errors import UsageError
from envpack.units import size_of

if TYPE_CHECKING:
    from envpack.config.config import Config
    from envpack.files.cache import Cache


def level_of(config: Config) -> int:
    """Return the level of compression that the configuration asks for. Raises UsageError."""
    if config.compression not in LEVELS:
        raise UsageError(f"unknown compression {config.compression!r}", hint=f"choose one of {', '.join(LEVELS)}")
    return LEVELS[config.compression]


def pieces_of(config: Config, cache: Cache) -> Pieces:
    """Return the kept pieces of archives. Raises UsageError when the limit is not a size."""
    return Pieces(cache.pieces, limit=size_of(config.cache_limit, "cache-limit"))
