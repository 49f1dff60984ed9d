"""Pack a linked and compiled prefix as a build does when it has come so far.

Usage: python -m bench.pack_locked PREFIX LOCK PIECES OUT LEVEL [slim]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from envpack.archive.formats import LEVELS, format_of
from envpack.archive.packing import pack
from envpack.archive.pieces import Kept, Pieces
from envpack.lock.file import parse


def main(prefix: Path, lock: Path, pieces: Path, out: Path, *manner: str) -> None:
    """Pack, with the pieces of earlier archives where they are kept."""
    locked = parse(lock.read_text("utf-8"), str(lock))
    kept = Kept(pieces=Pieces(pieces, limit=1 << 40), identify=lambda _: locked.package_identities())
    format = format_of(out.name)
    assert format
    pack(prefix, out, format=format.name, level=LEVELS[manner[0]], slim="slim" in manner, kept=kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), *sys.argv[5:])
    os._exit(0)  # as the command line does: to take the process apart first takes 30 ms
