"""Scripts that run the archive's own Python wherever it is unpacked, without conda-unpack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_RELOCATABLE = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")/python"%b "$0" "$@"
' '''
"""
"""A shell runs the second line, which starts the Python beside the script; to Python the two lines are a string."""

_SHEBANG = re.compile(rb"\A#![ \t]*(?P<program>/[^ \t\r\n]*)(?P<options>[^\r\n]*)\r?\n")

# What pip, uv, conda and rattler write where a path is too long for a shebang or has blanks in it.
_LONG_SHEBANG = re.compile(
    rb"""\A#![ \t]*/bin/sh\n'''exec'[ ](?P<quote>["']?)(?P<program>/[^"'\n]*?)(?P=quote)"""
    rb"""(?P<options>(?:[ ]-[^"'\s]+)*)[ ]"\$0"[ ]"\$@"(?:\n'[ ]'''|[ ]?\#''')\n"""
)

_PYTHON = re.compile(rb"python[0-9.]*t?")


def relocatable(script: bytes, prefixes: Sequence[bytes]) -> bytes:
    """Return a script of `bin/` with an interpreter line that does not depend on where the prefix is.

    A Python of one of the `prefixes`, or found on PATH by `env`, becomes the `python` beside the script. Another
    program of a prefix is looked up on PATH, as conda-pack has it. Other scripts stay as they are.
    """
    match = _LONG_SHEBANG.match(script) or _SHEBANG.match(script)
    if match is None:
        return script
    program, options = match["program"], match["options"].strip()
    if program == b"/usr/bin/env" and options:
        name, _, options = options.partition(b" ")
        inside = False
    else:
        name = program.rpartition(b"/")[2]
        inside = any(program.startswith(prefix + b"/") for prefix in prefixes)
    body = script[match.end() :]
    arguments = b" " + options.strip() if options.strip() else b""
    if _PYTHON.fullmatch(name) and (inside or program == b"/usr/bin/env"):
        return _RELOCATABLE % arguments + body
    if inside:
        return b"#!/usr/bin/env " + (b"-S " if arguments else b"") + name + arguments + b"\n" + body
    return script
