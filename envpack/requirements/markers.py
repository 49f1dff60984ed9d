"""Whether a line applies: the one place that evaluates the markers of requirements and of constraints.

Channels and indexes get only lines that apply, without their markers. Source: the
packaging specification "Dependency specifiers", with the cluster's values instead of this machine's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from packaging.markers import Marker
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from envpack.requirements.values import PyRequirement

_UNKNOWN = re.compile(r"\b(platform_release|platform_version)\b")
_TOKEN = re.compile(r"""\(|\)|"[^"]*"|'[^']*'|\bnot\s+in\b|[<>=!~]+|[\w.]+""")
_OPPOSITE = {"==": "!=", "<": ">=", ">": "<=", "in": "not in"}
_OPPOSITE |= {other: each for each, other in _OPPOSITE.items()}
_NOTHING = frozenset[str]()


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What applies on some Pythons."""

    pythons: tuple[str, ...]
    """Full versions, in the given order; empty when there was no choice."""
    lines: tuple[PyRequirement, ...]
    """The requirements that apply, without markers."""
    constraints: tuple[PyRequirement, ...]
    """The constraints that apply, without markers."""


class Marked(Protocol):
    """An item that may have a marker."""

    @property
    def marker(self) -> str | None:
        """The condition, or None for always."""


def applies(line: Marked, environment: Mapping[str, str]) -> bool:
    """Return whether a line applies in an environment of PEP 508's marker variables.

    No extra is asked for when a file is installed, so `extra == "x"` does not hold. Variables that the environment
    lacks, such as the node's kernel, are the empty text.
    """
    return line.marker is None or holds(line.marker, environment)


def holds(marker: str, environment: Mapping[str, str]) -> bool:
    """Return whether a marker holds in an environment, as `applies` does for a line's."""
    return Marker(marker).evaluate({**environment, "extra": "", "extras": _NOTHING, "dependency_groups": _NOTHING})


def negated(marker: str) -> str:
    """Return the marker that holds where another does not. Raises ValueError for one without an opposite."""
    try:
        tokens = _TOKEN.findall(str(Marker(marker)))[::-1]
        return _no_alternative(tokens)
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error


def _no_alternative(tokens: list[str]) -> str:
    """Negate what `or` connects; the next token is the last of the list."""
    found = [_not_all(tokens)]
    while tokens and tokens[-1] == "or":
        tokens.pop()
        found.append(_not_all(tokens))
    return " and ".join(found)


def _not_all(tokens: list[str]) -> str:
    found = [_opposite(tokens)]
    while tokens and tokens[-1] == "and":
        tokens.pop()
        found.append(_opposite(tokens))
    return f"({' or '.join(found)})" if len(found) > 1 else found[0]


def _opposite(tokens: list[str]) -> str:
    left = tokens.pop()
    if left == "(":
        inside = _no_alternative(tokens)
        tokens.pop()
        return f"({inside})"
    operator, right = " ".join(tokens.pop().split()), tokens.pop()
    if operator not in _OPPOSITE:
        raise ValueError(f"{operator} has no opposite")
    return f"{left} {_OPPOSITE[operator]} {right}"


def holding(lines: Iterable[PyRequirement], environment: Mapping[str, str]) -> tuple[PyRequirement, ...]:
    """Return the lines that apply in an environment, without their markers."""
    return tuple(without_marker(line) for line in lines if applies(line, environment))


def without_marker(line: PyRequirement) -> PyRequirement:
    """Return a line that always applies."""
    if line.marker is None:
        return line
    requirement = Requirement(line.text)
    requirement.marker = None
    return replace(line, marker=None, text=str(requirement))


def situations(
    lines: Sequence[PyRequirement],
    constraints: Sequence[PyRequirement],
    pythons: Sequence[str],
    environment: Callable[[str], Mapping[str, str]],
) -> tuple[Situation, ...]:
    """Return what applies on each of the Pythons, those with the same answer together, in the Pythons' order.

    `environment` gives the marker variables for a Python. Without any Python there is one answer: the lines without
    a marker.
    """
    if not pythons:
        return (
            Situation(
                pythons=(),
                lines=tuple(line for line in lines if line.marker is None),
                constraints=tuple(line for line in constraints if line.marker is None),
            ),
        )
    found: dict[tuple[bool, ...], list[str]] = {}
    for python in pythons:
        values = environment(python)
        found.setdefault(tuple(applies(line, values) for line in (*lines, *constraints)), []).append(python)
    return tuple(
        Situation(
            pythons=tuple(alike),
            lines=holding(lines, environment(alike[0])),
            constraints=holding(constraints, environment(alike[0])),
        )
        for alike in found.values()
    )


def about_the_kernel(lines: Iterable[PyRequirement]) -> tuple[PyRequirement, ...]:
    """Return the lines whose markers ask for the release or version of the nodes' kernel, which is not known."""
    return tuple(line for line in lines if line.marker and _UNKNOWN.search(line.marker))
