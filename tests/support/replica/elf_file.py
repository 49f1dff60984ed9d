"""Write small ELF files for x86-64 that the loader takes: shared libraries with a SONAME, and programs.

Source: System V ABI, Object Files and Program Loading; its AMD64 supplement.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE = 0x1000
_HEADER, _SEGMENT, _SECTION, _SYMBOL, _DYNAMIC = 64, 56, 64, 24, 16
_LIBRARY_TYPE, _X86_64 = 3, 62
_READ, _WRITE, _EXECUTE = 4, 2, 1

_EXIT = b"\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05"
"""xor edi, edi; mov eax, 60; syscall: exit(0). Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl."""

_TAGS = {"NEEDED": 1, "HASH": 4, "STRTAB": 5, "SYMTAB": 6, "STRSZ": 10, "SYMENT": 11, "SONAME": 14, "RPATH": 15}
_SECTION_TYPES = {".hash": 5, ".dynsym": 11, ".dynstr": 3, ".dynamic": 6, ".text": 1, ".rodata": 1, ".shstrtab": 3}


def library(
    soname: str, *, needed: Sequence[str] = (), data: dict[str, bytes] | None = None, filling: bytes = b""
) -> bytes:
    """Return a shared library that exports an object for each entry of `data` and looks for others beside it."""
    return _file(soname, needed, data or {}, filling)


def program(*, data: bytes = b"", filling: bytes = b"") -> bytes:
    """Return a program that ends with 0 and does nothing else."""
    return _file(None, (), {"data": data}, filling)


def _file(soname: str | None, needed: Sequence[str], data: dict[str, bytes], filling: bytes) -> bytes:
    strings = _Strings()
    dynamic = [("NEEDED", strings.add(name)) for name in needed]
    if soname:
        dynamic += [("SONAME", strings.add(soname)), ("RPATH", strings.add("$ORIGIN"))]
    names = {name: strings.add(name) for name in data}
    count = len(data) + 1
    # One bucket holds every symbol: a chain from 1 upward.
    chain = [0, *range(2, count), 0][:count]
    tables = {
        ".hash": struct.pack(f"<{3 + count}I", 1, count, 1 if data else 0, *chain),
        ".dynsym": bytes(_SYMBOL * count),
        ".dynstr": bytes(strings),
        ".dynamic": bytes(_DYNAMIC * (len(dynamic) + 6)),
        ".text": _EXIT,
        ".rodata": b"".join(data.values()) + filling,
    }
    place, offset = {}, _HEADER + 3 * _SEGMENT
    for name, content in tables.items():
        offset = -(-offset // 16) * 16
        place[name] = offset
        offset += len(content)
    tables[".dynsym"] = _symbols(data, names, place[".rodata"], section=list(tables).index(".rodata") + 1)
    dynamic += [("HASH", place[".hash"]), ("STRTAB", place[".dynstr"]), ("SYMTAB", place[".dynsym"])]
    dynamic += [("STRSZ", len(tables[".dynstr"])), ("SYMENT", _SYMBOL)]
    tables[".dynamic"] = b"".join(struct.pack("<QQ", _TAGS[tag], value) for tag, value in dynamic) + bytes(_DYNAMIC)
    return _assembled(tables, place, offset, runs=soname is None)


def _symbols(data: dict[str, bytes], names: dict[str, int], start: int, *, section: int) -> bytes:
    symbols = [bytes(_SYMBOL)]
    for name, content in data.items():
        symbols.append(struct.pack("<IBBHQQ", names[name], 0x11, 0, section, start, len(content)))
        start += len(content)
    return b"".join(symbols)


def _assembled(tables: dict[str, bytes], place: dict[str, int], loaded: int, *, runs: bool) -> bytes:
    names = _Strings()
    at = {name: names.add(name) for name in (*tables, ".shstrtab")}
    out = bytearray(loaded)
    for name, content in tables.items():
        out[place[name] : place[name] + len(content)] = content
    place = {**place, ".shstrtab": len(out)}
    tables = {**tables, ".shstrtab": bytes(names)}
    out += tables[".shstrtab"]
    out += bytes(-len(out) % 16)
    order = list(tables)
    sections = [bytes(_SECTION)]
    for name in order:
        in_memory = name != ".shstrtab"
        links = {".hash": ".dynsym", ".dynsym": ".dynstr", ".dynamic": ".dynstr"}
        sizes = {".hash": 4, ".dynsym": _SYMBOL, ".dynamic": _DYNAMIC}
        flags = (2 if in_memory else 0) | (4 if name == ".text" else 0) | (1 if name == ".dynamic" else 0)
        link = order.index(links[name]) + 1 if name in links else 0
        size = len(tables[name])
        sections.append(
            struct.pack(
                "<IIQQQQIIQQ",
                *(at[name], _SECTION_TYPES[name], flags, place[name] if in_memory else 0, place[name], size),
                *(link, 1 if name == ".dynsym" else 0, 16, sizes.get(name, 0)),
            )
        )
    # The loader writes into the dynamic section of a library.
    whole = struct.pack("<IIQQQQQQ", 1, _READ | (_EXECUTE if runs else _WRITE), 0, 0, 0, loaded, loaded, _PAGE)
    size = len(tables[".dynamic"])
    where = place[".dynamic"]
    dynamic = struct.pack("<IIQQQQQQ", 2, _READ | _WRITE, where, where, where, size, size, 8)
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, _READ | _WRITE, 0, 0, 0, 0, 0, 16)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01\x01", _LIBRARY_TYPE, _X86_64, 1, place[".text"] if runs else 0),
        *(_HEADER, len(out), 0, _HEADER, _SEGMENT, 3, _SECTION, len(sections), len(sections) - 1),
    )
    out[: _HEADER + 3 * _SEGMENT] = header + whole + dynamic + stack
    return bytes(out) + b"".join(sections)


class _Strings:
    """A string table: names that end with NUL, found by their offset."""

    def __init__(self) -> None:
        self._bytes = bytearray(1)

    def add(self, name: str) -> int:
        offset = len(self._bytes)
        self._bytes += name.encode() + b"\0"
        return offset

    def __bytes__(self) -> bytes:
        return bytes(self._bytes)
