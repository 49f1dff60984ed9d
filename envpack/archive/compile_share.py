"""Compile a share of a prefix's modules; the environment's own Python runs this, so it imports nothing of envpack.

Arguments: the prefix, a new directory that receives the bytecode, the number of this share, the number of shares
and a descriptor. `without` in the new directory has the modules to skip, by path from the prefix, with NULs between
them. `vouched` has three entries for each module whose package has its bytecode: the path, the SHA-256 of the
source, that of the bytecode. A directory `also` there has modules that are compiled besides, or instead of those
of the prefix with the same path. With `own` as the last argument, all bytecode is used that this Python would
accept for its source in the prefix. Writes to the descriptor how many modules the share has, then one line for
each: 1 if it has bytecode now, 0 if it is not Python.

Runs on Python 3.8 and newer.
"""

from __future__ import annotations

import gc
import marshal
import os
import sys
import time
from importlib.util import MAGIC_NUMBER, cache_from_source, find_spec, source_hash
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

UNCHECKED_HASH = (1).to_bytes(4, "little")
"""The flags of a pyc that the import system accepts without a check (PEP 552)."""

HEADER = 16
"""Bytes of a pyc before its code: magic number, flags, and the source's time and size or its hash (PEP 552)."""

EVERY = 0.05
"""Seconds between two reports."""

LIBRARY = "lib/python{}.{}{}".format(*sys.version_info[:2], "t" if "t" in sys.abiflags else "")
"""Where this Python keeps its modules, seen from the prefix."""

LINES = "co_linetable" if hasattr(CodeType, "co_linetable") else "co_lnotab"

NAMES = ("co_names", *(("co_varnames", "co_freevars", "co_cellvars") if sys.version_info < (3, 11) else ()))
"""Attributes that are tuples of names. Since 3.11 some are made at each access; 3.10 shares equal ones between
functions."""

STRINGS = [name for name in ("co_name", "co_qualname") if hasattr(CodeType, name)]
"""Attributes that are strings."""

BYTES = [
    name
    for name in (LINES, "co_exceptiontable", *(("co_code",) if sys.version_info < (3, 11) else ()))
    if hasattr(CodeType, name)
]
"""Attributes that are bytes and that marshal may write as a reference."""


class Canon:
    """Makes equal values one object, so that marshal's output depends only on values.

    marshal marks an object for later reference when it has several owners, and interned strings are written in
    another way. Both depend on what the process did before (https://github.com/python/cpython/issues/78274), and so
    does the compiler's sharing of equal constants. Here every string is interned, and every value is shared and has
    a second owner. So code that was read from a pyc gives the same bytes as compiled code.

    Since 3.11 the names of variables have no tuple of their own. The code objects that are given here are their
    second owners: these must be there when marshal writes.
    """

    def __init__(self, path: str) -> None:
        self.path = sys.intern(path)
        """The file name of all code objects."""
        self.seen: dict[Any, Any] = {}
        self.integers: dict[int, int] = {}
        self.names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.tuples: dict[tuple[int, ...], tuple[Any, ...]] = {}
        self.owned: list[CodeType] = []

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any constant
        """Return the one object that represents a constant."""
        kind = type(value)
        key: Any
        if kind is str:
            value = key = sys.intern(value)
        elif kind is CodeType:
            return self.code(value)
        elif kind is tuple:
            return self.row(value)
        elif kind is int:
            return self.integers.setdefault(value, value)
        elif value is None or kind is bool or value is ...:
            return value
        elif kind is bytes:
            key = value
        elif kind is frozenset:
            items = sorted(map(self.value, value), key=repr)
            value = frozenset(items)
            key = (frozenset, tuple(map(id, items)))
        elif kind is slice:  # a constant since Python 3.14
            value = slice(*map(self.value, (value.start, value.stop, value.step)))
            key = (slice, id(value.start), id(value.stop), id(value.step))
        else:
            key = (kind, repr(value))
        return self.seen.setdefault(key, value)

    def row(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the one tuple that represents a tuple of constants."""
        row = tuple(map(self.value, values))
        return self.tuples.setdefault(tuple(map(id, row)), row)

    def row_of_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the one tuple that represents a tuple of names, which Python has interned."""
        known = self.names.get(names)
        if known is None:
            known = self.names[names] = names
            for name in names:
                self.seen.setdefault(name, name)
        return known

    def code(self, code: CodeType) -> CodeType:
        """Return an equal code object made of such values."""
        fields: dict[str, Any] = {name: self.seen.setdefault(v := getattr(code, name), v) for name in BYTES}
        for name in STRINGS:
            fields[name] = self.value(getattr(code, name))
        for name in NAMES:
            fields[name] = self.row_of_names(getattr(code, name))
        new = code.replace(co_consts=self.row(code.co_consts), co_filename=self.path, **fields)
        self.owned.append(new)
        return new


def modules(prefix: Path, without: set[str]) -> list[str]:
    """Return the modules below the library, by path from the prefix, the largest first."""
    found = []
    start = len(str(prefix)) + 1
    waiting = [str(prefix / LIBRARY)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.name.endswith(".py") and entry.is_file():
                found.append((-entry.stat().st_size, entry.path[start:]))
            elif entry.name != "__pycache__" and entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
    return [path for _, path in sorted(found) if path not in without]


def vouched_for(listed: bytes) -> dict[str, tuple[str, str]]:
    """Return by path the required SHA-256 of source and bytecode, from the file `vouched`."""
    entries = list(map(os.fsdecode, listed.split(b"\0")))
    return {entries[n]: (entries[n + 1], entries[n + 2]) for n in range(0, len(entries) - 2, 3)}


def belongs(pyc: bytes, source: bytes, time: int) -> bool:
    """Return whether this Python would accept a pyc for this source, changed at `time`, in seconds (PEP 552)."""
    if len(pyc) < HEADER or pyc[:4] != MAGIC_NUMBER:
        return False
    flags = int.from_bytes(pyc[4:8], "little")
    if flags == 0:
        return pyc[8:HEADER] == b"".join([(n & 0xFFFFFFFF).to_bytes(4, "little") for n in (time, len(source))])
    return flags in (1, 3) and pyc[8:HEADER] == source_hash(source)


def brought(prefix: Path, path: str, source: bytes, digests: tuple[str, str] | None) -> CodeType | None:
    """Return the code of the existing bytecode.

    None if it does not belong to the source, or if one of them is not the package's, by its `digests`.
    """
    try:
        pyc = (prefix / cache_from_source(path, optimization="")).read_bytes()
        time = int((prefix / path).stat().st_mtime)
    except OSError:
        return None
    if not belongs(pyc, source, time) or (digests and digests_of(source, pyc) != digests):
        return None
    try:
        code = marshal.loads(pyc[HEADER:])  # noqa: S302 - a package's own code, in a cage
    except (EOFError, ValueError, TypeError):
        return None
    return code if isinstance(code, CodeType) else None


def digests_of(source: bytes, pyc: bytes) -> tuple[str, str]:
    """Return the SHA-256 of both."""
    from hashlib import sha256  # noqa: PLC0415 - not every Python has it

    return sha256(source).hexdigest(), sha256(pyc).hexdigest()


def bytecode(source: bytes, path: str, code: CodeType | None) -> bytes:
    """Return the pyc of a module from its code, which is compiled if there is none.

    `path` is put into it; the import system replaces it by the real one.
    """
    code = code or compile(source, path, "exec", dont_inherit=True, optimize=0)
    canon = Canon(path)  # keeps its values, as does the code, until marshal has counted the owners
    return b"".join([MAGIC_NUMBER, UNCHECKED_HASH, source_hash(source), marshal.dumps(canon.code(code))])


def write(path: Path, data: bytes) -> None:
    """Write a new file."""
    try:
        path.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def make(prefix: Path, into: Path, path: str, vouched: Mapping[str, tuple[str, str]], *, own: bool) -> bool:
    """Write the bytecode of one module; return whether it is valid Python."""
    try:
        source = (prefix / path).read_bytes()
        digests = None if own else vouched.get(path)
        code = brought(prefix, path, source, digests) if own or digests else None
        data = bytecode(source, path, code)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False
    write(into / cache_from_source(path, optimization=""), data)
    return True


def package_of(path: str) -> str:
    """Return what a module belongs to, for the progress: the first folder below site-packages, or `python`."""
    _, site, below = path.partition("site-packages/")
    name = below.partition("/")[0] if site else "python"
    name = name[:-3] if name.endswith(".py") else name
    return "".join(c for c in name if c.isalnum() or c in "._-")[:64] if name.isascii() else "python"


def main(prefix: Path, into: Path, share: int, shares: int, descriptor: int, *, own: bool) -> None:
    """Make the bytecode of every `shares`-th module, counted from `share`."""
    vouched = vouched_for((into / "vouched").read_bytes()) if find_spec("hashlib") else {}
    without = set(os.fsdecode((into / "without").read_bytes()).split("\0"))
    also = into / "also"
    besides = modules(also, set())
    paths = [*besides, *(path for path in modules(prefix, without) if path not in besides)][share::shares]
    gc.disable()  # it would look at all constants again and again, none of which is garbage
    told = 0.0
    with os.fdopen(descriptor, "w") as report:
        report.write(f"{len(paths)}\n")
        for path in paths:
            if (now := time.monotonic()) - told > EVERY:
                report.flush()
                told = now
            root = also if path in besides else prefix
            report.write(f"{int(make(root, into, path, vouched, own=own))} {package_of(path)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:6]), own="own" in sys.argv[6:])
