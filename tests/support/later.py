"""Modules that read much when they are imported, and of which most tests need nothing."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def wait(name: str, function: str) -> None:
    """Let a module be imported when a function of it is called that others take from it.

    jsonschema takes one from the grammar of IRIs, which is read for a second when it is imported.
    """
    if name in sys.modules:
        return
    stand_in = ModuleType(name)

    def call(*arguments: Any) -> Any:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), function)(*arguments)

    setattr(stand_in, function, call)
    sys.modules[name] = stand_in
