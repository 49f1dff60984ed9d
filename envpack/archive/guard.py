"""The files that envpack adds to an archive, so that every node imports the archive's own packages.

`docs/spark.md` says what each is for; `envpack/archive/outranking.py` has the table.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.archive import prefixes
from envpack.archive.members import Member
from envpack.archive.members import file as member_of
from envpack.archive.outranking import LIBRARIES, UNSET, of_wheels

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

LAUNCHERS = frozenset({"bin/python", "bin/python3"})
"""Names that become a script where they are links to the program: settings and scripts name the first."""

PYVENV = "pyvenv.cfg"
MODULE = "_envpack_start"
FIRST, LAST = "00-envpack.pth", "zzzz-envpack.pth"
"""`site` reads `.pth` files in the order of their names: these are before and after all of the packages'."""

_USER_SITE_OFF = b"include-system-site-packages = false\n"
"""Without `home` it makes no virtual environment: `sys.prefix` is unchanged (getpath, `site.venv`)."""

_LAUNCHER = """\
#!/bin/sh
# Starts the environment's Python. What this machine says for its own Python would end it or lead it elsewhere.
unset {unset}
case $0 in */*) here=${{0%/*}} ;; *) here=. ;; esac
[ ! -L "$0" ] || here=$(dirname -- "$(readlink -f -- "$0")")
# Another Python's standard library in PYTHONPATH would be read before any file of this one could keep it out.
if [ -n "${{PYTHONPATH-}}" ]; then
    kept= rest=$PYTHONPATH:
    while [ -n "$rest" ]; do
        entry=${{rest%%:*}} rest=${{rest#*:}}
        case $entry in /*) [ ! -e "$entry/encodings" ] && [ ! -e "$entry/os.py" ] || continue ;; esac
        kept=$kept:$entry
    done
    PYTHONPATH=${{kept#:}}
fi
exec "$here/{program}" "$@"
"""

_PROGRAM = re.compile(r"python3\.[0-9]+t?")
_ELF = b"\x7fELF"

_STARTED = re.compile(rb'\A#!/bin/sh\n.*\nexec "\$here/(?P<program>python3\.[0-9]+t?)" "\$@"\n\Z', re.DOTALL)
_MOST = 4096
"""The largest size of such a script, in bytes."""


def launcher(here: str, path: str) -> Member | None:
    """Return the script that replaces a link in the prefix to a Python beside it, for Linux.

    None where it is not such a link: `here` is its path on this machine, `path` that in the environment.
    """
    if path not in LAUNCHERS:
        return None
    program = Path(os.path.realpath(here))
    if program.parent != Path(os.path.realpath(Path(here).parent)) or not _PROGRAM.fullmatch(program.name):
        return None
    if not prefixes.starts_with(str(program), _ELF):
        return None
    unset = [name for name in UNSET if not (name == "PYTHON_GIL" and program.name.endswith("t"))]
    return member_of(path, _LAUNCHER.format(unset=" ".join(unset), program=program.name).encode(), executable=True)


def program(environment: Path) -> str:
    """Return the path, from an unpacked archive, of the program that its `bin/python` is or starts."""
    with (environment / "bin/python").open("rb") as file:
        started = _STARTED.search(file.read(_MOST))
    return f"bin/{started['program'].decode()}" if started else "bin/python"


def is_in(environment: Path) -> bool:
    """Return whether an unpacked archive has start-up files of envpack."""
    return any(environment.glob(f"lib/python3*/site-packages/{FIRST}"))


def members(prefix: Path, wheels: Collection[str]) -> Iterator[Member]:
    """Yield the files that belong to no package: for each Python in the prefix its start-up files.

    `wheels` are the normalised names of the projects that came as wheels.
    """
    libraries = [path.parent for path in prefix.glob("lib/python3*/os.py") if not path.parent.is_symlink()]
    if not libraries:
        return
    yield member_of(PYVENV, _USER_SITE_OFF)
    for library in sorted(libraries):
        packages = f"lib/{library.name}/site-packages"
        zones = next(filter(lambda place: (prefix / place / "UTC").is_file(), _zones(packages)), "")
        yield member_of(f"{packages}/{MODULE}.py", _start(of_wheels(wheels), zones).encode())
        yield member_of(f"{packages}/{FIRST}", _FIRST.encode())
        yield member_of(f"{packages}/{LAST}", _LAST.encode())


_FIRST = (
    'import sys; sys.path.insert(0, "%s/lib/python%d.%d%s/site-packages" % (sys.prefix, *sys.version_info[:2], '
    f'"t" if "t" in sys.abiflags else "")); import {MODULE}; del sys.path[0]; {MODULE}.begin()\n'
)
"""This must be the archive's own module, even if PYTHONPATH has one of its name."""

_LAST = f"import {MODULE}; {MODULE}.end()\n"


def _zones(packages: str) -> Sequence[str]:
    """Return the paths of the time zones of conda's tzdata and of the wheel."""
    return ("share/zoneinfo", f"{packages}/tzdata/zoneinfo")


def _start(variables: Sequence[str], zones: str) -> str:
    text = Path(__file__).with_name("start.py").read_text("utf-8")
    for name, kind, value in (
        ("VARIABLES", "tuple[str, ...] = ()", tuple(variables)),
        ("LIBRARIES", "tuple[str, ...] = ()", LIBRARIES),
        ("ZONES", 'str = ""', zones),
    ):
        text = text.replace(f"\n{name}: {kind}\n", f"\n{name} = {value!r}\n")
    return text
