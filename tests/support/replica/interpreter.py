"""The files of `python`, from the starter channel's code, and the libraries that other packages hold."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.channel import interpreter, tree
from envpack.errors import EnvpackError
from tests.support.missing import missing
from tests.support.replica.package_file import BUILT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.channel.interpreter import Interpreter
    from tests.support.replica.records import Record

OWNERS = {
    "libbz2": ("bzip2",),
    "libcrypt": ("libxcrypt",),
    "libcrypto": ("openssl",),
    "libexpat": ("libexpat", "expat"),
    "libffi": ("libffi",),
    "liblzma": ("liblzma", "xz"),
    "libncurses": ("ncurses",),
    "libncursesw": ("ncurses",),
    "libpanelw": ("ncurses",),
    "libreadline": ("readline",),
    "libsqlite3": ("libsqlite", "sqlite"),
    "libssl": ("openssl",),
    "libtinfo": ("ncurses",),
    "libuuid": ("libuuid",),
    "libz": ("libzlib", "zlib"),
    "libzstd": ("zstd",),
}
"""Which package of conda-forge holds a library that Python needs; the first that `python` depends on."""


_ONLY_FOR_NIS = frozenset(
    (
        "libcom_err",
        "libgssapi_krb5",
        "libk5crypto",
        "libkeyutils",
        "libkrb5",
        "libkrb5support",
        "libnsl",
        "libtirpc",
    )
)


@dataclass(frozen=True, kw_only=True)
class Python:
    """A Python of this machine that stands for conda-forge's of the same minor version."""

    minor: str
    """Such as `3.12`."""
    program: Path
    home: Path
    """A prefix that can be moved, laid out as a starter channel's, with bytecode and with all its libraries."""

    def lay_out(self, record: Record, root: Path) -> None:
        """Put into `root` what the `python` package of a record holds."""
        shutil.copytree(self.home, root, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(root / "ssl")  # ca-certificates holds it
        for name in self._libraries():
            if _owner(name, record.depends):
                (root / "lib" / name).unlink()

    def lay_out_libraries(self, record: Record, root: Path) -> tuple[str, ...]:
        """Put into `root` the libraries of this Python that the package of a record holds; return their names."""
        own = tuple(
            name for name in self._libraries() if _owner(name, (*record.depends, record.name)) == record.name
        )
        for name in own:
            (root / "lib").mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.home / "lib" / name, root / "lib" / name)
        return own

    def _libraries(self) -> list[str]:
        return sorted(path.name for path in (self.home / "lib").glob("*.so*"))


@cache
def found(minor: str) -> Interpreter:
    """Return a Python of this machine with this minor version, on PATH or pyenv's; skip where there is none."""
    asked = next((asked for asked in _offered(minor) if asked.short_version == minor), None)
    return asked or missing(f"there is no Python {minor}, on PATH or pyenv's, that a starter channel can carry")


def _offered(minor: str) -> Iterator[Interpreter]:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    on_path = shutil.which(f"python{minor}")
    for candidate in (
        sys.executable,
        *((on_path,) if on_path else ()),
        *sorted(pyenv.glob(f"{minor}.*/bin/python")),
    ):
        with suppress(EnvpackError):
            yield interpreter.ask(Path(candidate))


def lay_out(asked: Interpreter, home: Path) -> None:
    """Lay out a Python in `home`, which must be new, and compile its library.

    Left out is the module `nis`, gone in Python 3.13, whose libraries bring Kerberos: conda-forge has it in `krb5`.
    """
    tree.lay_out(asked, home)
    library = home / "lib" / f"python{asked.short_version}"
    for path in (*library.glob("lib-dynload/nis.*.so"), *(home / "lib").glob("*.so*")):
        if path.parent != home / "lib" or path.name.split(".")[0] in _ONLY_FOR_NIS:
            path.unlink()
    program = home / "bin" / library.name
    for module in library.rglob("*.py"):
        os.utime(module, (BUILT, BUILT))
    # a few files of the library are there to be wrong
    command = [str(program), "-I", "-m", "compileall", "-q", "-s", str(home), str(library)]
    subprocess.run(command, check=False, capture_output=True)


def _owner(library: str, depends: tuple[str, ...]) -> str | None:
    return next((name for name in OWNERS.get(library.split(".", maxsplit=1)[0], ()) if name in depends), None)
