"""Standard output and standard error, filtered."""

from __future__ import annotations

import codecs
import io
import sys
from typing import TYPE_CHECKING

from envpack.redact.urls import redact

if TYPE_CHECKING:
    from typing import TextIO


class Filtered(io.TextIOWrapper):
    """A text stream that removes the secrets from everything written to it; each text is filtered as a whole."""

    def write(self, text: str) -> int:
        """Write a text without its secrets; return its length."""
        super().write(redact(text))
        return len(text)


def guard_output() -> None:
    """Filter what this process writes to standard output and standard error from now on, tracebacks included."""
    sys.stdout, sys.stderr = _filtered(sys.stdout), _filtered(sys.stderr)


def _filtered(stream: TextIO) -> TextIO:
    if isinstance(stream, Filtered) or not hasattr(stream, "buffer"):
        return stream
    stream.flush()
    # click replaces a stream that cannot write other letters, and the filter with it.
    narrow = codecs.lookup(stream.encoding).name == "ascii"
    return Filtered(
        stream.buffer,
        encoding="utf-8" if narrow else stream.encoding,
        errors=stream.errors,
        newline="\n",
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )
