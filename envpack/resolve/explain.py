"""Say what to do about a request that cannot be fulfilled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack.errors import Unsatisfiable
from envpack.resolve.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.resolve.conda import Channels
    from envpack.resolve.request import Request

_UNKNOWN_TO_UV = re.compile(r"\b([\w.-]+) was not found in the")
_WITHOUT_WHEEL = re.compile(r"Wheels are required for `([\w.-]+)`")
_NO_PYTHON = re.compile(r"No candidates were found for python\b")


def with_hints(error: Unsatisfiable, request: Request, channels: Channels) -> Unsatisfiable:
    """Return the error with what helps: near names, what the channels carry."""
    hints = [error.hint] if error.hint else []
    hints += _hints(error.message, request, channels)
    hints = hints or ["loosen a version in the requirements, or try another Python with --python"]
    return Unsatisfiable(error.message, hint="; ".join(hints))


def _hints(message: str, request: Request, channels: Channels) -> Iterator[str]:
    for name in dict.fromkeys(_UNKNOWN_TO_UV.findall(message)):
        yield f"{name}: {did_you_mean(name, channels.names()) or 'no channel and no index has it'}"
    for name in dict.fromkeys(_WITHOUT_WHEEL.findall(message)):
        pinned = re.search(rf"\b{re.escape(name)}==[\w.]+(?= has no usable wheels)", message)
        yield (
            f"{name} has no wheel that fits: make one with `pip wheel --no-deps --wheel-dir wheels "
            f"{pinned[0] if pinned else name}` on a machine like the nodes, and name the folder with "
            "`--find-links wheels` in the requirements"
        )
    if _NO_PYTHON.search(message):
        carried = channels.carried(["python"])
        versions = ", ".join(carried["python"].versions) if carried else "no Python"
        yield f"for {request.target.platform} the channels carry {versions}; see --python and --channel"
    if "__glibc" in message:
        yield f"packages need a newer glibc than {request.target.glibc}: if the nodes have one, say so with --glibc"
    if "__cuda" in message and request.target.cuda is None:
        yield "packages need a GPU: say what CUDA version the nodes' driver supports with --cuda"
