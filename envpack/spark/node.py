"""A node's configuration that could override an archive: a table, a script that checks, one that compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpack.archive.outranking import KEEP, OF_PACKAGES, PYTHON, SAID, Remedy
from envpack.packages.dependencies import named

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from envpack.releases.manifest import Manifest

_PATHS = frozenset({"LD_LIBRARY_PATH", "LD_PRELOAD"})
"""Variables of other software than Python and packages, whose values are paths."""

_STARTED = frozenset({"PYTHONPATH", "PYTHONTZPATH", *(row.name for row in OF_PACKAGES)})
"""Variables that the start-up file changes unless `ENVPACK_KEEP` names them."""

OWN_ZONES = frozenset({"tzdata", "python-tzdata"})
"""Packages with time zones for Python's `zoneinfo`."""

NEED_ZONES = frozenset({"dask", "dask-core", "django", "pandas", "polars", "pyspark", "tzlocal"})
"""Packages that take time zones by name from `zoneinfo`, those that may come without zones of their own."""

ZONES_OF_THE_NODE = frozenset({"libarrow", "pyarrow", "pyarrow-core"})
"""Packages that read only the node's zones: Arrow's `discover_tz_dir`."""


def kept(own: Mapping[str, str], root: str) -> dict[str, str]:
    """Return variables of an environment, and the variable that keeps those with paths outside it.

    `root` is where the environment is unpacked. Variables in an environment's file are no node's configuration.
    """
    out = sorted(name for name in _STARTED & own.keys() if not own[name].startswith(root))
    return {**own, KEEP: ",".join(out)} if out and KEEP not in own else dict(own)


def unguarded(manifest: Manifest) -> tuple[str, ...]:
    """Return a note on an old archive, which a node's configuration can override."""
    if manifest.packer is not None:
        return ()
    text = (
        "it was built before archives kept away what a node has configured for its own Python (PYTHONPATH, "
        "PYTHONHOME, packages of its user): jobs may import other packages; build it again"
    )
    return (text,)


def zones_needed(names: Collection[str]) -> tuple[str, ...]:
    """Return those of the packages that need the node's time zones, because the archive has none, sorted."""
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
    return "\n".join(["| variable of the node | effect without protection | protection |", "|---|---|---|", *rows])


def script() -> str:
    """Return the script that says which of these a node has."""
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
