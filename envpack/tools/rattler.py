"""Run rattler's coroutines from ordinary code."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")

_SETTLING = 0.005
"""Seconds in which rattler's own threads let go of the interpreter."""


def run(question: Awaitable[T]) -> T:
    """Wait for the answer of a coroutine that rattler made.

    A process that ends within milliseconds of the answer can crash, because rattler's thread still holds the
    interpreter (https://github.com/PyO3/pyo3-async-runtimes/issues/40; 6 of 25 runs with py-rattler 0.28). The
    pause outlasts it.
    """

    async def answer() -> T:
        return await question

    try:
        return asyncio.run(answer())
    finally:
        time.sleep(_SETTLING)
