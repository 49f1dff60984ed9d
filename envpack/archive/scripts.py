"""Scripts that run the archive's own Python wherever it is unpacked, without conda-unpack."""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import TYPE_CHECKING

from envpack.archive import python_prefix, shell_prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOUND = b'"$(dirname -- "$(realpath -- "$0")")/%b"'
"""A program by its path from the script, in shell syntax."""

_PYTHON_HEAD = b"""#!/bin/sh
'''exec' %b%b%b "$0" "$@"
' '''
"""
"""A shell runs the second line, which starts the environment's Python; for Python the two lines are a string."""

_SHEBANG = re.compile(rb"\A#![ \t]*(?P<program>/[^ \t\r\n]*)(?P<options>[^\r\n]*)\r?\n")

# What pip, uv, conda and rattler write where a path is too long for a shebang or has blanks in it.
_LONG_SHEBANG = re.compile(
    rb"""\A#![ \t]*/bin/sh\n'''exec'[ ](?P<quote>["']?)(?P<program>/[^"'\n]*?)(?P=quote)"""
    rb"""(?P<options>(?:[ ]-[^"'\s]+)*)[ ]"\$0"[ ]"\$@"(?:\n'[ ]'''|[ ]?\#''')\n"""
)

_PYTHON = re.compile(rb"python[0-9.]*t?")

_PYTHON_SHEBANG = re.compile(rb"\A#![^\n]*\n'''exec' |\A#![^\n]*\bpython[0-9.]*\b")


def freed(path: str, data: bytes, prefix: bytes) -> bytes:
    """Return a text without the prefix, as far as it works without it in any place.

    `path` is its path in the environment, `prefix` its text for the environment's directory. Scripts and modules
    that can find the environment themselves do so; other occurrences of the prefix are for `conda-unpack`.
    """
    if path.startswith("bin/") or data.startswith(b"#!"):
        data = relocatable(data, [prefix], path)
    if prefix not in data:
        return data
    if path.endswith(".py") or _PYTHON_SHEBANG.match(data):
        return python_prefix.without_prefix(data, prefix) or data
    if path.endswith(".pc"):
        up = posixpath.relpath(".", posixpath.dirname(path) or ".")
        return data.replace(prefix, b"${pcfiledir}/" + up.encode())  # pkg-config(1), "pcfiledir"
    try:
        text, name = data.decode(), prefix.decode()
    except UnicodeDecodeError:
        return data
    changed = shell_prefix.without_prefix(text, path, name) if shell_prefix.is_shell(text) else None
    return data if changed is None else changed.encode()


def relocatable(script: bytes, prefixes: Sequence[bytes], path: str = "bin/script") -> bytes:
    """Return a script with an interpreter line that does not depend on the prefix's path.

    A Python of one of the `prefixes`, or found on PATH by `env`, becomes the `python` of the environment. Another
    program of a prefix is looked up on PATH, as in conda-pack. Other scripts are unchanged. `path` is the script's
    path in the environment.
    """
    match = _LONG_SHEBANG.match(script) or _SHEBANG.match(script)
    if match is None:
        return script
    before, program, arguments = _understood(match["program"], match["options"].split())
    name = program.rpartition(b"/")[2]
    inside = any(program.startswith(prefix + b"/") for prefix in prefixes)
    body = script[match.end() :]
    words = b"".join(b" " + _quoted(word) for word in arguments)
    env = b"".join([b"/usr/bin/env ", *(_quoted(word) + b" " for word in before)]) if before else b""
    if _PYTHON.fullmatch(name) and (inside or b"/" not in program):
        return _PYTHON_HEAD % (env, _FOUND % _way(path, b"python"), words) + body
    if not inside:
        return script
    rest = b" ".join([*before, name, *arguments])
    return b"#!/usr/bin/env " + (b"-S " if before or arguments else b"") + rest + b"\n" + body


def _understood(program: bytes, words: Sequence[bytes]) -> tuple[list[bytes], bytes, list[bytes]]:
    """Return `env`'s own arguments, the interpreter and its arguments."""
    if program not in (b"/usr/bin/env", b"/bin/env"):
        return [], program, list(words)
    rest = list(words)
    if rest and rest[0] == b"-S":
        rest.pop(0)
    elif rest and rest[0].startswith((b"-S", b"--split-string=")):
        rest[0] = rest[0].removeprefix(b"-S").removeprefix(b"--split-string=")
    before = []
    while rest and (rest[0].startswith(b"-") or b"=" in rest[0]):
        before.append(rest.pop(0))
        if before[-1] in (b"-u", b"-C") and rest:
            before.append(rest.pop(0))
    return (before, rest[0], rest[1:]) if rest else ([], program, list(words))


def _way(path: str, program: bytes) -> bytes:
    """Return the relative path from the directory of a script to a program of the environment."""
    folder = posixpath.dirname(path) or "."
    return program if folder == "bin" else posixpath.relpath("bin", folder).encode() + b"/" + program


def _quoted(word: bytes) -> bytes:
    return shlex.quote(word.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
