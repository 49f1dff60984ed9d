"""The version part of a match spec as a tree: `>=1,<2|1.9`, `1.4*`, `(>=1,<2)|>3`, `1.*.3`, `^1.*[02]$`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = re.compile(
    r"\s*(?:(?P<sign>[(),|])|(?P<regex>\^[^$\s]*\$)|(?P<operator>[<>=!~]+)?\s*(?P<value>[\w.*+!-]+))", re.ASCII
)
_VALUE = re.compile(r"(?:\d+!)?[a-z0-9_.*-]+(?:\+[a-z0-9_.-]+)?", re.ASCII | re.IGNORECASE)
_OPERATORS = ("==", "!=", "<=", ">=", "<", ">", "=", "~=")
_REMEDIES = {"===": "==", "=>": ">=", "=<": "<=", "<>": "!=", "=!": "!="}
_DEEPEST = 20


@dataclass(frozen=True)
class Clause:
    """One comparison: one of the operators `==`, `!=`, `<=`, `>=`, `<`, `>`, `~=`, or `=` for a prefix."""

    operator: Literal["==", "!=", "<=", ">=", "<", ">", "~=", "=", "!=*", "glob", "regex"]
    """`!=*` is every version without the prefix; `glob` and `regex` are compared with the version's text."""
    value: str

    def __str__(self) -> str:
        match self.operator:
            case "=":
                return f"{self.value}.*"
            case "!=*":
                return f"!={self.value}.*"
            case "glob" | "regex":
                return self.value
            case operator:
                return f"{operator}{self.value}"

    @property
    def is_textual(self) -> bool:
        """Whether it compares texts, which solvers do not: it has to be replaced by the matching versions."""
        return self.operator in ("glob", "regex")


@dataclass(frozen=True)
class Both:
    """Versions that all parts admit."""

    parts: tuple[VersionSpec, ...]

    def __str__(self) -> str:
        return ",".join(f"({part})" if isinstance(part, Either) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Either:
    """Versions that any part admits."""

    parts: tuple[VersionSpec, ...]

    def __str__(self) -> str:
        return "|".join(str(part) for part in self.parts)


VersionSpec = Clause | Both | Either


class NotAVersionSpec(Exception):
    """Why a text is no version spec."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_any(spec: VersionSpec) -> bool:
    """Return whether a spec admits every version."""
    return isinstance(spec, Clause) and spec == Clause("glob", "*")


def clauses(spec: VersionSpec) -> list[Clause]:
    """Return the comparisons of a spec, in their order."""
    return [spec] if isinstance(spec, Clause) else [clause for part in spec.parts for clause in clauses(part)]


def replaced(spec: VersionSpec, replace: Callable[[Clause], VersionSpec]) -> VersionSpec:
    """Return a spec with each comparison replaced."""
    if isinstance(spec, Clause):
        return replace(spec)
    return type(spec)(tuple(replaced(part, replace) for part in spec.parts))


def admits_text(clause: Clause, version: str) -> bool:
    """Return whether a clause that compares texts admits a version as written. Source: conda's VersionSpec."""
    if clause.operator == "regex":
        return re.match(clause.value, version) is not None
    pattern = ".*".join(re.escape(part) for part in clause.value.split("*"))
    return re.fullmatch(pattern, version) is not None


def split(text: str) -> tuple[str, str]:
    """Return the version spec at the beginning of a text, and what follows it.

    An expression goes on as long as `,` and `|` join its parts. Raises NotAVersionSpec where it breaks off.
    """
    position, depth, wants_value = 0, 0, True
    while match := _TOKEN.match(text, position):
        sign = match["sign"]
        if wants_value:
            if sign in (")", ",", "|"):
                raise NotAVersionSpec(f"a version is missing before {sign!r}")
            depth += sign == "("
            wants_value = sign == "("
        elif sign is None or sign == "(" or (sign == ")" and not depth):
            break
        else:
            depth -= sign == ")"
            wants_value = sign != ")"
        position = match.end()
    if depth:
        raise NotAVersionSpec("a bracket is not closed")
    if wants_value:
        rest = text[position:].strip()
        raise NotAVersionSpec(f"{rest!r} is not a version" if rest else "a version is missing at the end")
    return text[:position], text[position:]


def parse(text: str) -> VersionSpec:
    """Return the tree of a whole version spec. Sources: CEP 29, conda's "Package match specifications".

    `,` binds tighter than `|`. `1.0` alone is that version, `=1.0` and `1.0*` are all with that prefix. Raises
    NotAVersionSpec.
    """
    whole, rest = split(text)
    if rest.strip():
        raise NotAVersionSpec(f"{rest.strip()!r} follows the versions")
    return _Parser(whole).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_TOKEN.finditer(text))
        self._next = 0

    def whole(self) -> VersionSpec:
        return self._either(0)

    def _either(self, depth: int) -> VersionSpec:
        if depth > _DEEPEST:
            raise NotAVersionSpec("its brackets are nested too deeply")
        parts = [self._both(depth)]
        while self._takes("|"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, depth: int) -> VersionSpec:
        parts = [self._one(depth)]
        while self._takes(","):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _one(self, depth: int) -> VersionSpec:
        if self._takes("("):
            inner = self._either(depth + 1)
            self._takes(")")
            return inner
        token = self._tokens[self._next]
        self._next += 1
        return _clause(token["regex"], token["operator"] or "", token["value"] or "")

    def _takes(self, sign: str) -> bool:
        found = self._next < len(self._tokens) and self._tokens[self._next]["sign"] == sign
        self._next += found
        return found


def _clause(regex: str | None, operator: str, value: str) -> Clause:
    if regex:
        return _regex(regex)
    if operator and operator not in _OPERATORS:
        near = f"; write {_REMEDIES[operator]!r}" if operator in _REMEDIES else ""
        raise NotAVersionSpec(f"unknown operator {operator!r}{near}")
    if not _VALUE.fullmatch(value):
        raise NotAVersionSpec(f"{value!r} is not a version")
    return _patterned(operator, value) if "*" in value else _compared(operator or "==", value)


def _regex(pattern: str) -> Clause:
    try:
        re.compile(pattern)
    except re.error as error:
        raise NotAVersionSpec(f"{pattern!r} is not a regular expression: {error}") from error
    return Clause("regex", pattern)


def _patterned(operator: str, value: str) -> Clause:
    """Return the clause of an operator and a value with `*`; at the end it means a prefix."""
    stem = re.sub(r"(?:\.\*)+$", "", value).rstrip("*")
    if "*" in stem or not stem.rstrip("."):
        if operator in ("", "=", "=="):
            return Clause("glob", value)
        if operator == ">=" and not stem.rstrip("."):
            return Clause("glob", "*")
        raise NotAVersionSpec(f"{operator!r} compares with a version, not with a pattern such as {value!r}")
    stem = stem.removesuffix(".")
    match operator:
        case "" | "=" | "==":
            return _compared("=", stem)
        case "!=":
            return _compared("!=*", stem)
        case "~=":
            raise NotAVersionSpec(f"'~={value}' says the same twice; write '={stem}' or '~={stem}.0'")
        case _:
            return _compared(operator, stem)


def _compared(operator: str, value: str) -> Clause:
    if operator == "~=" and "." not in value:
        raise NotAVersionSpec(f"'~={value}' needs two numbers; write '>={value}'")
    if problem := _problem_of_version(value):
        raise NotAVersionSpec(f"{value!r} is not a version: {problem}")
    return Clause(operator, value)  # type: ignore[arg-type] # one of the known operators


def _problem_of_version(version: str) -> str | None:
    """Return why conda packages cannot have a version. Source: CEP 33."""
    main = version.partition("!")[2] or version
    main, plus, local = main.partition("+")
    for part in (main, local) if plus else (main,):
        if not part:
            return "a part of it is empty"
        if part.startswith("_") or any(not piece for piece in re.split(r"[._-]", part.rstrip("_-"))):
            return "it has an empty part"
    if not re.match(r"[A-Za-z0-9]", main):
        return "it begins with neither a digit nor a letter"
    return None
