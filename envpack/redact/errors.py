"""Secrets in errors, for programs that show an error with its causes."""

from __future__ import annotations

from envpack.redact.urls import redact


def clean(error: BaseException) -> None:
    """Take the secrets out of an error, its causes and its notes, for programs that show them."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
        each.args = tuple(redact(value) if isinstance(value, str) else value for value in each.args)
        for name, value in vars(each).items():
            if isinstance(value, str):
                _set(each, name, redact(value))
            elif name == "__notes__":
                value[:] = map(redact, value)


def _set(error: BaseException, name: str, value: str) -> None:
    try:
        setattr(error, name, value)
    except AttributeError:  # a frozen dataclass
        object.__setattr__(error, name, value)
