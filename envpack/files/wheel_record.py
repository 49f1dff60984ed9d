"""A wheel's `RECORD`: the list of its files, one row for each with its path, digest and size.

Source: https://packaging.python.org/en/latest/specifications/recording-installed-packages/.
"""

from __future__ import annotations

import csv
import io


def rows_of(text: str) -> list[list[str]]:
    """Return the rows of a `RECORD` unchanged, without empty ones. Raises ValueError for an invalid list."""
    if "\0" in text:  # no path has one; csv takes it since Python 3.11
        raise ValueError("line contains NUL")
    try:
        return [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except csv.Error as error:
        raise ValueError(str(error)) from error
