"""From a linked prefix to one archive: the same bytes for the same lock."""

from __future__ import annotations

from envpack.archive.bytecode import Compiler, compile_prefix
from envpack.archive.composing import Laid
from envpack.archive.fingerprint import Fingerprint, fingerprint
from envpack.archive.formats import LEVELS
from envpack.archive.packer import PACKER
from envpack.archive.packing import Packed, assemble, pack
from envpack.archive.pieces import Kept, Pieces
from envpack.archive.slim import VERSION as SLIM

__all__ = [
    "LEVELS",
    "PACKER",
    "SLIM",
    "Compiler",
    "Fingerprint",
    "Kept",
    "Laid",
    "Packed",
    "Pieces",
    "assemble",
    "compile_prefix",
    "fingerprint",
    "pack",
]
