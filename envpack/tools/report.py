"""Read the reports of packaged code; nothing in them is trusted before it was checked."""

from __future__ import annotations

import select
import time
from typing import IO

LONGEST_LINE = 1 << 16
LARGEST = 16 << 20
"""The most bytes of a whole report."""

_PIECE = 1 << 16


class BrokenReport(Exception):
    """An invalid report; the message says what is wrong with it."""


class ReportPipe:
    """The lines from a pipe whose other end packaged code has."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lines: list[bytes] = []
        self._rest = b""
        self._size = 0

    def line(self, timeout: float) -> bytes | None:
        """Return the next line without its end; None when no more can come.

        Raises TimeoutError when none comes within `timeout` seconds, and BrokenReport when it has no end.
        """
        end = time.monotonic() + timeout
        while not self._lines:
            if not self._hear(max(0.0, end - time.monotonic())):
                if self._rest:
                    raise BrokenReport("it ends in the middle of a line")
                return None
        return self._lines.pop(0)

    def is_ahead(self) -> bool:
        """Return whether there is already unrequested output."""
        return bool(self._lines or self._rest) or self._readable(0)

    def _hear(self, timeout: float) -> bool:
        if not self._readable(timeout):
            raise TimeoutError
        piece = self._pipe.read(_PIECE)
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._lines += lines
        self._size += len(piece)
        if self._size > LARGEST:
            raise BrokenReport(f"it is larger than {LARGEST >> 20} MB")
        if max(map(len, [*lines, self._rest])) > LONGEST_LINE:
            raise BrokenReport("a line of it has no end")
        return bool(piece)

    def _readable(self, timeout: float) -> bool:
        return bool(select.select([self._pipe], [], [], timeout)[0])
