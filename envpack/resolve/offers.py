"""What the package index has for one project: versions, Pythons, glibc."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpack.errors import Unsatisfiable
from envpack.resolve import pypi
from envpack.resolve.sources import newest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.requirements import PyRequirement

PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
"""Those that are asked for."""

NEWEST_GLIBC = "2.40"

_NOWHERE = re.compile(r" was not found in |there are no versions of ")
"""uv's messages for a project without a page, and for one whose page names no file."""

_NO_WHEEL = re.compile(r"(?:has|have) no usable wheels")
"""uv's message for a source distribution."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What an index has for a line that it cannot answer as written."""

    known: bool
    """Whether it has the project at all."""
    newest: str | None = None
    """The newest version with a wheel for the target, independent of the line's versions."""
    pythons: tuple[str, ...] = ()
    """The other Pythons for which it has what the line asks for."""
    newer_glibc: bool = False
    """Whether it has what the line asks for where glibc is newer."""
    without_wheel: bool = False
    """Whether it has what the line asks for as a source only."""


def offer(line: PyRequirement, question: pypi.Question, *, cache: Path, scratch: Path) -> Offer | None:
    """Return what the index has for a line; None when it can answer the line."""

    def ask(asked: PyRequirement, **changes: object) -> str | Unsatisfiable:
        alone = replace(
            question,
            requirements=(asked,),
            constraints=(),
            bounds={},
            linked={},
            provided=(),
            with_dependencies=False,
            **changes,  # type: ignore[arg-type] # fields of a question
        )
        try:
            answer = pypi.solve(alone, cache=cache, scratch=Path(tempfile.mkdtemp(prefix="uv-", dir=scratch)))
        except Unsatisfiable as error:
            return error
        return answer.wheels[0].version

    own = ask(line)
    if isinstance(own, str):
        return None
    loose = replace(line, text=line.name, specifier="", extras=(), hashes=())
    any_version = ask(loose)
    if isinstance(any_version, Unsatisfiable) and _NOWHERE.search(any_version.message):
        return Offer(known=False)
    minor = _minor(question.python)
    newer = replace(question.target, glibc=NEWEST_GLIBC)

    def pythons() -> Iterator[str]:
        for python in PYTHONS:
            if python != minor and isinstance(ask(line, python=f"{python}.0"), str):
                yield python

    return Offer(
        known=True,
        newest=any_version if isinstance(any_version, str) else None,
        pythons=tuple(pythons()),
        newer_glibc=isinstance(ask(line, target=newer), str),
        without_wheel=_NO_WHEEL.search(own.message) is not None,
    )


def told(
    line: PyRequirement, offer: Offer, lacking: Sequence[str], question: pypi.Question, near: str | None
) -> tuple[str, str | None]:
    """Return what channels and index have for a project, in words, and a hint where there is one.

    `lacking` are the versions in the channels, none of which fits. `near` suggests similar names.
    """
    wanted = str(SpecifierSet(line.specifier)) or "the request"
    on_channels = f"; the channels carry {newest(lacking)}" if lacking else ""
    if not offer.known and not lacking:
        nowhere = f"no channel and no index has {line.name}"
        return (
            f"{line.origin}: {nowhere}",
            near or f"{line.name} is misspelt, or is in a channel or an index that is not named",
        )
    nothing = f"{line.origin}: no version of {line.name} fits {wanted}"
    if not offer.known:
        return f"{nothing}: no index has the project{on_channels}", None
    minor = _minor(question.python)
    if offer.pythons:
        nearest = min(offer.pythons, key=lambda other: abs(_number(other) - _number(minor)))
        have = f"the index has it for Python {', '.join(offer.pythons)}{on_channels}"
        return f"{line.origin}: {line.text} is not for Python {minor}: {have}", f"try --python {nearest}"
    if offer.newer_glibc:
        reason = f"{line.origin}: {line.text} needs a newer glibc than {question.target.glibc}{on_channels}"
        return reason, "if the nodes have a newer glibc, say so with --glibc"
    if offer.newest is not None and not offer.without_wheel:
        return f"{nothing}: the index has {offer.newest} as its newest wheel{on_channels}", None
    newest_wheel = f"; {offer.newest} is the newest with a wheel" if offer.newest else ""
    reason = f"{line.origin}: the index has {line.text}, but no wheel that fits{newest_wheel}{on_channels}"
    return reason, make_a_wheel(line.name, line.text)


def make_a_wheel(name: str, wanted: str) -> str:
    """Return how to make a wheel of a project that has none; `wanted` is what pip is asked for."""
    return (
        f"{name} has no wheel that fits: build one with `pip wheel --no-deps --wheel-dir wheels {wanted}` on a "
        "machine with the nodes' platform, and add `--find-links wheels` to the requirements"
    )


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])


def _number(minor: str) -> int:
    return int(minor.split(".")[1])
