"""From a linked prefix to one archive: the same bytes for the same lock."""

from __future__ import annotations

from envpack.archive.bytecode import compile_prefix
from envpack.archive.packing import PACKER, Packed, pack

__all__ = ["PACKER", "Packed", "compile_prefix", "pack"]
