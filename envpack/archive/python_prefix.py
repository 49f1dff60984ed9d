"""Python modules and scripts that contain the prefix: they ask their interpreter for it instead."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ASKED = '__import__("sys").prefix'
_ASKED_BYTES = '__import__("os").fsencode(__import__("sys").prefix)'


def without_prefix(source: bytes, prefix: bytes) -> bytes | None:
    """Return a source whose constants use `sys.prefix` in place of a path; None when that is not possible.

    `prefix` is its text for the environment's directory. Comments and docstrings get `$PREFIX` instead.
    """
    try:
        tree = ast.parse(source)
        lines = source.splitlines(keepends=True)
        for node in sorted(_constants(tree, prefix.decode()), key=lambda node: (-node.lineno, -node.col_offset)):
            _replace(lines, node, _asking(node.value, prefix))
        changed = b"".join(lines).replace(prefix, b"$PREFIX")
        return changed if _docstrings_only(ast.parse(changed)) else None
    except (SyntaxError, ValueError, RecursionError, UnicodeDecodeError):
        return None


def _constants(tree: ast.AST, prefix: str) -> Iterator[ast.Constant]:
    """Yield the constants with the prefix that are used. Raises ValueError for one in an f-string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            if any(_holds(value, prefix) for value in ast.walk(node)):
                raise ValueError("in an f-string")
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield from (
                child
                for child in ast.iter_child_nodes(node)
                if isinstance(child, ast.Constant) and _holds(child, prefix)
            )


def _holds(node: ast.AST, prefix: str) -> bool:
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bytes):
        return prefix.encode() in value
    return isinstance(value, str) and prefix in value


def _docstrings_only(tree: ast.AST) -> bool:
    """Say whether `$PREFIX` is in no constant that is used."""
    return not any(True for _ in _constants(tree, "$PREFIX"))


def _asking(value: object, prefix: bytes) -> bytes:
    if isinstance(value, bytes):
        parts, asked = [repr(part) for part in value.split(prefix)], _ASKED_BYTES
    else:
        parts, asked = [repr(part) for part in str(value).split(prefix.decode())], _ASKED
    joined = f" + {asked} + ".join(parts)
    return f"({joined})".encode()


def _replace(lines: list[bytes], node: ast.Constant, text: bytes) -> None:
    """Replace a node by a text; nodes are replaced from the end to the beginning."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    lines[first : last + 1] = [before + text + after]
