"""Formats of archives and their words; it imports nothing heavy, because every command's options need them."""

from __future__ import annotations

from typing import Literal

Format = Literal["tar.gz", "zip"]
FORMATS: tuple[Format, ...] = ("tar.gz", "zip")

ALIAS = "environment"
"""The directory, below a Spark process' working directory, that an archive is unpacked to."""

LEVEL = 5
"""The fastest level of zlib-ng whose archives are smaller than those of zlib's level 4, conda-pack's default."""

LEVELS = {"fast": 2, "default": LEVEL, "best": 9}
"""Words for levels."""
