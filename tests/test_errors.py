"""Errors are plain exceptions: they can be raised, caught, annotated, copied and sent to another process."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

import envpack
from envpack.cli import report
from envpack.errors import BadRequirements, EnvpackError, Problem

T = TypeVar("T", bound=BaseException)
E = TypeVar("E", bound=EnvpackError)


def _modules() -> Iterator[str]:
    foreign = {"envpack.__main__"}
    for module in pkgutil.walk_packages(envpack.__path__, "envpack."):
        if module.name not in foreign and not module.name.endswith(("probe", "compile_share", "confine")):
            yield module.name


def _classes(root: type[T]) -> set[type[T]]:
    for name in _modules():
        importlib.import_module(name)
    found: set[type[T]] = set()
    waiting = [root]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("envpack"):
            found.add(kind)
    return found


def _example(kind: type[EnvpackError]) -> EnvpackError:
    if issubclass(kind, BadRequirements):
        return kind([Problem("b.txt", 2, "second"), Problem("a.txt", 1, "first")], hint="mend both")
    return kind("what failed", hint="what to do")


def _sent(error: E) -> E:
    twin: E = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    return twin


@pytest.mark.parametrize("kind", sorted(_classes(EnvpackError), key=str))
def test_each_of_several_things_that_are_wrong_is_shown_as_an_error(
    kind: type[EnvpackError], capsys: pytest.CaptureFixture[str]
) -> None:
    error = _example(kind) if issubclass(kind, BadRequirements) else kind(["a is wrong", "b is wrong"], hint="mend")
    report(error)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "error", "hint"]
    assert error.message == "\n".join(error.texts)


def test_no_exception_is_a_dataclass() -> None:
    # A frozen dataclass cannot be given its traceback: whatever it tells is lost in a FrozenInstanceError.
    assert [kind for kind in _classes(Exception) if hasattr(kind, "__dataclass_fields__")] == []


def test_every_error_survives_all_that_python_does_with_exceptions() -> None:
    @contextmanager
    def room() -> Iterator[None]:
        try:
            yield
        finally:
            pass

    kinds = sorted(_classes(EnvpackError), key=str)
    assert len(kinds) > 10
    for kind in kinds:
        error = _example(kind)
        with pytest.raises(kind) as caught, room():
            raise error from ValueError("a cause")
        assert caught.value is error
        vars(error)["__notes__"] = ["a note"]  # what add_note does, on every Python
        error.with_traceback(None)
        for twin in (_sent(error), copy.copy(error)):
            assert type(twin) is kind
            assert (str(twin), twin.message, twin.hint, twin.exit_code) == (
                str(error),
                error.message,
                error.hint,
                error.exit_code,
            )
            assert vars(twin)["__notes__"] == ["a note"]
        if isinstance(error, BadRequirements):
            again = _sent(error)
            assert again.problems == error.problems
