"""The word among a few known ones that a person may have meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEAR = 0.65
"""How similar two words must be, from 0 to 1, by `difflib`."""

_MOST = 3


def nearest(word: str, known: Sequence[str]) -> list[str]:
    """Return up to three known words: those that begin with a word and those near it, else those of its kind.

    `livi` gives `livy-session` and `livy-batch`: their first part is near it.
    """
    import difflib

    begin = [each for each in known if word and each.startswith(word)]
    near = difflib.get_close_matches(word, known, n=2, cutoff=_NEAR)
    if begin or near:
        return list(dict.fromkeys([*begin, *near]))[:_MOST]
    parts = difflib.get_close_matches(word, [each.partition("-")[0] for each in known], n=1, cutoff=_NEAR)
    return [each for each in known if each.partition("-")[0] in parts][:_MOST]
