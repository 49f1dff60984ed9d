"""Amounts as people write them."""

from __future__ import annotations

import re

from envpack.errors import UsageError

_SIZE = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kMGT]?)B?\s*", re.IGNORECASE)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def size_of(text: str, setting: str) -> int:
    """Return the bytes that a text such as `20 GB` or `500M` means; `setting` names it in an error.

    Raises UsageError.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"{setting} must be a size, not {text!r}", hint="write 20 GB or 500 MB")
    return int(float(match["number"]) * _UNITS[match["unit"].upper()])
