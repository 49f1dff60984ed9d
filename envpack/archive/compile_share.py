"""Compile a share of a prefix's modules; the environment's own Python runs this, so it imports nothing of ours.

Arguments: the prefix, a new directory that receives the bytecode, the number of this share, the number of shares
and a descriptor. `without` in the new directory has the modules to pass over, by path from the prefix, with NULs
between them. Tells the descriptor how many modules the share has, then one line for each: 1 if it was compiled,
0 if it is not Python.

Runs on Python 3.8 and newer.
"""

from __future__ import annotations

import marshal
import os
import sys
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path
from types import CodeType
from typing import Any

UNCHECKED_HASH = (1).to_bytes(4, "little")
"""The flags of a pyc that the import system takes as it is (PEP 552)."""

LIBRARY = "lib/python{}.{}{}".format(*sys.version_info[:2], "t" if "t" in sys.abiflags else "")
"""Where this Python keeps its modules, seen from the prefix."""

LINES = "co_linetable" if hasattr(CodeType, "co_linetable") else "co_lnotab"

CODE_FIELDS = [
    name
    for name in ("co_names", "co_filename", "co_name", "co_qualname", LINES, "co_exceptiontable")
    if hasattr(CodeType, name)
]
"""What marshal may write as a reference, besides the constants, and `CodeType.replace` takes."""


class Canon:
    """Makes equal values one object, so that what marshal writes depends on values alone.

    marshal marks an object for later reference when it has several owners, and interned strings are written in
    another way. Both depend on what the process did before (https://github.com/python/cpython/issues/78274), and so
    does which equal constants the compiler shares. Here every string is interned, and every value is shared and has
    a second owner.
    """

    def __init__(self) -> None:
        self.seen: dict[Any, Any] = {}
        self.owned: list[Any] = []

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any constant
        """Return the one object that stands for a constant."""
        if isinstance(value, CodeType):
            return self.code(value)
        key: Any
        if isinstance(value, str):
            value = key = sys.intern(value)
        elif isinstance(value, tuple):
            value = tuple([self.value(item) for item in value])
            key = (tuple, tuple([id(item) for item in value]))
        elif isinstance(value, frozenset):
            items = sorted([self.value(item) for item in value], key=repr)
            value = frozenset(items)
            key = (frozenset, tuple([id(item) for item in items]))
        elif isinstance(value, bytes):
            key = value
        else:
            key = (type(value), repr(value))
        return self.seen.setdefault(key, value)

    def code(self, code: CodeType) -> CodeType:
        """Return an equal code object that is made of such values."""
        fields = {name: self.value(getattr(code, name)) for name in CODE_FIELDS}
        new = code.replace(co_consts=self.value(code.co_consts), **fields)
        self.owned += [new, *new.co_varnames, *new.co_cellvars, *new.co_freevars]
        return new


def modules(prefix: Path, without: set[str]) -> list[str]:
    """Return the modules below the library, by path from the prefix, the largest first."""
    found = []
    for folder, folders, files in os.walk(prefix / LIBRARY):
        folders[:] = [name for name in folders if name != "__pycache__"]
        paths = [Path(folder, name) for name in files if name.endswith(".py")]
        found += [(-path.stat().st_size, str(path.relative_to(prefix))) for path in paths if path.is_file()]
    return [path for _, path in sorted(found) if path not in without]


def compiled(source: bytes, path: str) -> bytes:
    """Return the pyc of a module. `path` is put into it; the import system replaces it by the real one."""
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    canon = Canon()  # owns what it made until marshal has counted the owners
    return b"".join([MAGIC_NUMBER, UNCHECKED_HASH, source_hash(source), marshal.dumps(canon.code(code))])


def write(path: Path, data: bytes) -> None:
    """Write a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def compile_module(prefix: Path, into: Path, path: str) -> bool:
    """Compile one module; return whether it is Python that can be compiled."""
    try:
        data = compiled((prefix / path).read_bytes(), path)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False
    write(into / cache_from_source(path, optimization=""), data)
    return True


def package_of(path: str) -> str:
    """Return what a module belongs to, for the progress: the first folder below site-packages, or `python`."""
    _, site, below = path.partition("site-packages/")
    name = below.partition("/")[0].removesuffix(".py") if site else "python"
    return "".join(c for c in name if c.isalnum() or c in "._-")[:64] if name.isascii() else "python"


def main(prefix: Path, into: Path, share: int, shares: int, descriptor: int) -> None:
    """Compile every `shares`-th module, counted from `share`."""
    without = set(os.fsdecode((into / "without").read_bytes()).split("\0"))
    paths = modules(prefix, without)[share::shares]
    with os.fdopen(descriptor, "w") as report:
        report.write(f"{len(paths)}\n")
        for path in paths:
            report.flush()
            report.write(f"{int(compile_module(prefix, into, path))} {package_of(path)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
