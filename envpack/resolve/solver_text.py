"""The explanations of rattler and uv, without repetitions and parts that mean nothing to the reader."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_BRANCH = re.compile(r"^(?P<trunk>[│\s]*)(?:├─|└─)\s*(?P<text>.*)$")
_LEAD = re.compile(r"^\s*(?:error|cause): ")
_OF_VERSION = re.compile(r"(?P<name>\S+) (?P<versions>\d[^ ,]*)(?P<said>,? which .*)$")
_VERSIONS = 4
"""The most versions of one package that are named."""
_WIDEST = 8
"""The most branches of one knot that are shown."""


@dataclass
class _Knot:
    text: str
    below: list[_Knot] = field(default_factory=list)

    def lines(self, depth: int = 0) -> list[str]:
        found = [f"{'  ' * depth}{self.text}"]
        distinct: dict[tuple[str, ...], _Knot] = {}
        for knot in _joined(self.below):
            distinct.setdefault(tuple(knot.lines()), knot)
        shown = list(distinct.values())[:_WIDEST]
        for knot in shown:
            found += knot.lines(depth + 1)
        if more := len(distinct) - len(shown):
            found.append(f"{'  ' * (depth + 1)}... and {more} more like these")
        return found


def _joined(knots: list[_Knot]) -> list[_Knot]:
    """Return the knots; those that say the same of several versions of a package are joined."""
    versions: dict[tuple[str, str], list[str]] = {}
    found: list[_Knot | tuple[str, str]] = []
    for knot in knots:
        match = None if knot.below else _OF_VERSION.match(knot.text)
        if match is None:
            found.append(knot)
            continue
        key = (match["name"], match["said"])
        if key not in versions:
            found.append(key)
        versions.setdefault(key, []).append(match["versions"])
    return [
        each if isinstance(each, _Knot) else _Knot(f"{each[0]} {_some(versions[each])}{each[1]}") for each in found
    ]


def _some(versions: list[str]) -> str:
    distinct = list(dict.fromkeys(versions))
    shown = distinct if len(distinct) <= _VERSIONS else [*distinct[:2], "...", distinct[-1]]
    return " | ".join(shown)


def of_rattler(text: str) -> str:
    """Return rattler's explanation as an indented list without repetitions under the same heading."""
    text = text.strip().removeprefix("Cannot solve the request because of:").strip()
    root = _Knot("")
    trail = [(-1, root)]
    for line in text.splitlines():
        match = _BRANCH.match(line)
        depth = len(match["trunk"]) + 1 if match else 0
        knot = _Knot(match["text"] if match else line.strip())
        while trail[-1][0] >= depth:
            trail.pop()
        # The solver puts constraints beside the heading they belong to.
        trail[-1][1].below.append(knot)
        trail.append((depth, knot))
    return "\n".join(line.removeprefix("  ") for line in root.lines()[1:])


def of_uv(text: str) -> str:
    """Return uv's explanation without its headings, its warnings, and hints about options that are uv's own."""
    said, _, hints = text.partition("\n\nhint: ")
    lines = [_LEAD.sub("", line).strip() for line in said.splitlines() if not line.startswith("warning: ")]
    kept = [line for line in lines if line and "No solution found when resolving" not in line]
    more = (" ".join(hint.split()) for hint in hints.split("\n\nhint: ") if hint and "`--" not in hint)
    told = "\n".join(dict.fromkeys([*kept, *more]))
    return f"{told}\n(+conda marks what conda packages bring)" if "+conda" in told else told


def cleaned(text: str) -> str:
    """Return a solver's explanation in readable form."""
    return of_uv(text) if "No solution found when resolving" in text else of_rattler(text)


def names(text: str) -> set[str]:
    """Return every word of an explanation that may be a package's name."""
    return {word.lower().rstrip(".") for word in re.findall(r"[A-Za-z0-9_][\w.-]*", text)}
