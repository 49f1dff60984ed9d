"""Cases of which the quick tests try one of each kind, and `make acceptance` all the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _pytest.mark.structures import ParameterSet


def quickly(cases: Iterable[Any], *quick: Any) -> list[ParameterSet]:
    """Return the cases for `parametrize`, with the marker `acceptance` on all but the quick ones."""
    all_of_them = list(cases)
    unknown = [each for each in quick if each not in all_of_them]
    assert not unknown, f"{unknown} are no cases"
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=[] if case in quick else [pytest.mark.acceptance]
        )
        for case in all_of_them
    ]
