"""Apply a request's limits: soft ones give way, the others are named when they are the reason that it fails."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from envpack.errors import Unsatisfiable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envpack.resolve.request import Limit, Request

T = TypeVar("T")


def within_limits(request: Request, solve: Callable[[Request], T]) -> T:
    """Return the answer of `solve` to a request with as many of its limits as possible.

    Soft limits give way where necessary: one if that is enough, otherwise those that cannot be kept together with
    the ones before them. Raises Unsatisfiable with the solver's message; its hint names the reasons of the limits
    that took part, if any did.
    """

    def answer(limits: Sequence[Limit]) -> T:
        return solve(replace(request, limits=tuple(limits)))

    try:
        return answer(request.limits)
    except Unsatisfiable as error:
        message = error.message
    for limit in request.limits:
        if limit.soft and _is_named(limit, message):
            try:
                return answer([other for other in request.limits if other is not limit])
            except Unsatisfiable:
                continue
    free = answer([])
    hard = [limit for limit in request.limits if not limit.soft]
    try:
        best = answer(hard) if hard else free
    except Unsatisfiable as error:
        reasons = [limit.reason for limit in _guilty(hard, error.message, answer)]
        hints = reasons if error.hint is None else [*reasons, error.hint]
        raise type(error)(error.texts, hint="; ".join(hints)) from error
    kept = hard
    for limit in (limit for limit in request.limits if limit.soft):
        try:
            best, kept = answer([*kept, limit]), [*kept, limit]
        except Unsatisfiable:
            continue
    return best


def _guilty(limits: list[Limit], message: str, answer: Callable[[Sequence[Limit]], object]) -> list[Limit]:
    """Return limits that cannot be kept together; without any one of them, the others can."""

    def fails(kept: Sequence[Limit]) -> bool:
        try:
            answer(kept)
        except Unsatisfiable:
            return True
        return False

    named = [limit for limit in limits if _is_named(limit, message)]
    kept = named if fails(named) else limits
    for limit in tuple(kept):
        rest = [other for other in kept if other is not limit]
        if rest and fails(rest):
            kept = rest
    return kept


def _is_named(limit: Limit, message: str) -> bool:
    return any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", message) for name in limit.bounds)
