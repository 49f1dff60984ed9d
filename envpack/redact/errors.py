"""Secrets in errors, for programs that show an error with its causes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from envpack.redact.urls import redact

_ATTRIBUTES = ("strerror", "filename", "filename2", "reason", "msg", "text", "cmd", "output", "stdout", "stderr")
"""Attributes in which errors of the standard library keep texts."""


def clean(error: BaseException) -> None:
    """Take the secrets out of an error, its causes and its notes."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
        each.args = tuple(map(_cleaned, each.args))
        for name in {*vars(each), *_ATTRIBUTES}:
            value = getattr(each, name, None)
            if isinstance(value, (str, list, tuple)):
                # Some attributes cannot be written, such as those of a frozen dataclass.
                with suppress(AttributeError, TypeError):
                    object.__setattr__(each, name, _cleaned(value))


def _cleaned(value: Any) -> Any:  # noqa: ANN401 - whatever an error has for an argument
    if isinstance(value, str):
        return redact(value)
    return type(value)(map(_cleaned, value)) if type(value) in (list, tuple) else value
