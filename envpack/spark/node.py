"""Say what of a node's configuration could outrank an archive: a table, a script that looks, one that compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpack.archive.outranking import KEEP, OF_PACKAGES, PYTHON, SAID, Remedy
from envpack.packages.dependencies import named

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from envpack.releases.manifest import Manifest

_PATHS = frozenset({"LD_LIBRARY_PATH", "LD_PRELOAD"})
"""Of others than Python and packages: those whose values name places."""

_STARTED = frozenset({"PYTHONPATH", "PYTHONTZPATH", *(row.name for row in OF_PACKAGES)})
"""What the start-up file changes unless `ENVPACK_KEEP` names it."""

OWN_ZONES = frozenset({"tzdata", "python-tzdata"})
"""Packages that bring time zones which Python's `zoneinfo` reads."""

NEED_ZONES = frozenset({"dask", "dask-core", "django", "pandas", "polars", "pyspark", "tzlocal"})
"""Packages that take time zones by name from `zoneinfo`, those that may come without zones of their own."""

ZONES_OF_THE_NODE = frozenset({"libarrow", "pyarrow", "pyarrow-core"})
"""Packages that read the node's zones alone: Arrow's `discover_tz_dir`."""


def kept(own: Mapping[str, str], root: str) -> dict[str, str]:
    """Return variables of an environment together with what lets those hold that lead out of it.

    `root` is where the environment is unpacked. What an environment's file says itself is no node's configuration.
    """
    out = sorted(name for name in _STARTED & own.keys() if not own[name].startswith(root))
    return {**own, KEEP: ",".join(out)} if out and KEEP not in own else dict(own)


def unguarded(manifest: Manifest) -> tuple[str, ...]:
    """Return what to know of an archive from before archives kept a node's configuration away, if it is one."""
    if manifest.packer is not None:
        return ()
    text = (
        "it was built before archives kept away what a node has configured for its own Python (PYTHONPATH, "
        "PYTHONHOME, packages of its user): jobs may import other packages; build it again"
    )
    return (text,)


def zones_needed(names: Collection[str]) -> tuple[str, ...]:
    """Return those of the packages that need time zones of the node, as none are beside them, sorted."""
    return tuple(sorted(NEED_ZONES & {*names})) if OWN_ZONES.isdisjoint(names) else ()


def table() -> str:
    """Return the table of docs/spark.md as Markdown."""
    rows = [
        *(_row(f"`{each.name}`", each.effect, each.remedy.value) for each in (*PYTHON, *SAID)),
        *(
            _row(
                f"`{row.name}` with {', '.join(row.packages)} from wheels",
                f"{row.effect} ({row.source})",
                Remedy.START.value,
            )
            for row in OF_PACKAGES
        ),
    ]
    return "\n".join(
        ["| variable of the node | what it would do | what keeps it from winning |", "|---|---|---|", *rows]
    )


def script() -> str:
    """Return the script that says which of it a node has."""
    known = {each.name: each.remedy.value for each in (*PYTHON, *SAID)}
    known |= {row.name: Remedy.START.value for row in OF_PACKAGES}
    shown = [each.name for each in PYTHON if each.remedy is not Remedy.NONE]
    paths = sorted({*shown, *_PATHS, *(row.name for row in OF_PACKAGES)} - {"PYTHON_GIL", "PYTHONHASHSEED"})
    return _filled("node_script.py", KNOWN=known, PATHS=tuple(paths))


def check(manifest: Manifest) -> str:
    """Return the script that compares what a session's executors import with a manifest."""
    versions = {package.name: package.version for package in manifest.packages}
    asked = [name for each in manifest.requested if (name := named(manifest.packages, each))]
    expected = {name: versions[name] for name in sorted({*asked}) if name != "python"}
    return _filled("check_script.py", RELEASE=manifest.reference, EXPECTED=expected, PYTHON=manifest.python)


def _filled(name: str, **values: object) -> str:
    """Return a script of this folder with values in place of its empty ones."""
    lines = Path(__file__).with_name(name).read_text("utf-8").splitlines()
    return "\n".join(_line(line, values) for line in lines)


def _line(line: str, values: Mapping[str, object]) -> str:
    variable = line.partition(" = ")[0]
    return f"{variable} = {values[variable]!r}" if variable in values else line


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
