"""The Pythons that each Spark version runs, as data with a source for every row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Container

Minor = tuple[int, int]
"""The first two numbers of a version of Spark or Python: what decides whether they fit."""


@dataclass(frozen=True, kw_only=True)
class SparkLine:
    """The patch releases of one Spark version, and the Pythons that load them."""

    version: Minor
    declared: tuple[Minor, Minor]
    """The oldest and the newest Python that its packages declare."""
    oldest: Minor
    """The oldest Python that was observed to load it."""
    newest: Minor | None = None
    """The newest Python that was observed to load it; None when no newer one is known to fail."""
    too_old: str = ""
    """How a Python before `oldest` fails; empty when none was tried."""
    too_new: str = ""
    """How a Python after `newest` fails."""
    distutils: bool = True
    """Whether its pandas code imports `distutils`: gone from Python 3.12, brought back by setuptools."""
    source: str
    """Where the row comes from."""


_CODE = "cloudpickle fails with 'TypeError: code() argument 13 must be str, not int'"
_TYPING_IO = "its import fails with 'No module named typing.io'"
_RESOURCES = "its import fails: importlib.resources has no 'files'"
_UNION = "its import fails with 'unsupported operand type(s) for |'"
_RUN = "PyPI's metadata of pyspark {}; import and a cloudpickle round trip run with CPython 3.6 to 3.13"

LINES = (
    SparkLine(
        version=(2, 4),
        declared=((3, 4), (3, 7)),
        oldest=(3, 4),
        newest=(3, 7),
        too_new="its import fails with 'TypeError: an integer is required (got type bytes)'",
        source="github.com/hail-is/hail/issues/10197 and github.com/intel/ipex-llm/issues/8056",
    ),
    SparkLine(
        version=(3, 0),
        declared=((3, 4), (3, 9)),
        oldest=(3, 4),
        newest=(3, 10),
        too_new=_CODE,
        source=_RUN.format("3.0.3"),
    ),
    SparkLine(
        version=(3, 1),
        declared=((3, 6), (3, 9)),
        oldest=(3, 6),
        newest=(3, 10),
        too_new=_CODE,
        source=_RUN.format("3.1.3"),
    ),
    SparkLine(
        version=(3, 2),
        declared=((3, 6), (3, 9)),
        oldest=(3, 6),
        newest=(3, 10),
        too_new=_CODE,
        source=_RUN.format("3.2.4"),
    ),
    SparkLine(
        version=(3, 3),
        declared=((3, 7), (3, 10)),
        oldest=(3, 6),
        newest=(3, 10),
        too_new=_CODE,
        source=_RUN.format("3.3.4"),
    ),
    SparkLine(
        version=(3, 4),
        declared=((3, 7), (3, 11)),
        oldest=(3, 6),
        newest=(3, 12),
        too_new=_TYPING_IO,
        source=_RUN.format("3.4.4"),
    ),
    SparkLine(version=(3, 5), declared=((3, 8), (3, 11)), oldest=(3, 6), source=_RUN.format("3.5.6")),
    SparkLine(
        version=(4, 0),
        declared=((3, 9), (3, 13)),
        oldest=(3, 9),
        too_old=_RESOURCES,
        distutils=False,
        source=_RUN.format("4.0.2"),
    ),
    SparkLine(
        version=(4, 1),
        declared=((3, 10), (3, 14)),
        oldest=(3, 10),
        too_old=_UNION,
        distutils=False,
        source=_RUN.format("4.1.2"),
    ),
    SparkLine(
        version=(4, 2),
        declared=((3, 10), (3, 14)),
        oldest=(3, 10),
        too_old=_UNION,
        distutils=False,
        source=_RUN.format("4.2.1"),
    ),
    SparkLine(
        version=(4, 3),
        declared=((3, 11), (3, 14)),
        oldest=(3, 10),
        too_old=_UNION,
        distutils=False,
        source=_RUN.format("4.3.0"),
    ),
)
"""Oldest first. A Spark between or after these is treated as the newest that is not newer than it."""


def minor(version: str) -> Minor:
    """Return the first two numbers of a version such as `3.5` or `3.5.6`.

    Raises UsageError when the text is not a version.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)?", version)
    if not found:
        raise UsageError(f"{version!r} is not a version", hint="write it as 3.5 or 3.5.6")
    return int(found[1]), int(found[2])


def dotted(version: Minor) -> str:
    """Return a version as people write it: `3.5`."""
    return f"{version[0]}.{version[1]}"


def check_known(version: str) -> None:
    """Raise UsageError for a text that is no version of Spark.

    A minor version that is not in the table is accepted only if it follows the newest: 3.5 ended Spark 3.
    """
    spark = minor(version)
    if spark < LINES[0].version:
        raise _too_old(spark)
    known = [line.version for line in LINES]
    newest = known[-1]
    if spark not in known and not (newest < spark <= (newest[0] + 1, 9)):
        near = [each for each in known if each[0] == spark[0]] or [newest]
        raise UsageError(
            f"unknown Spark version {dotted(spark)}",
            hint=f"the newest Spark {near[-1][0]} that envpack knows is {dotted(near[-1])}: give it with --spark",
        )


def _too_old(spark: Minor) -> UsageError:
    oldest = dotted(LINES[0].version)
    return UsageError(
        f"envpack does not support Spark {dotted(spark)}: the oldest is {oldest}",
        hint=f"give the version of the cluster with --spark, {oldest} or newer",
    )


def line_of(spark: Minor) -> SparkLine:
    """Return what is known about a Spark version; raises UsageError when it is older than every row."""
    fitting = [line for line in LINES if line.version <= spark]
    if not fitting:
        raise _too_old(spark)
    return fitting[-1]


def refuse_python(spark: Minor, python: Minor) -> None:
    """Raise UsageError when this Spark cannot load this Python."""
    line = line_of(spark)
    if python < line.oldest:
        reason = line.too_old
        hint = f"build with --python {dotted(line.oldest)} or newer"
    elif line.newest and python > line.newest:
        reason = line.too_new
        hint = f"build with --python {dotted(line.newest)} or older"
    else:
        return
    because = f": {reason}" if reason else ""
    raise UsageError(f"Spark {dotted(spark)} does not run with Python {dotted(python)}{because}", hint=hint)


def python_warnings(spark: Minor, python: Minor, packages: Container[str]) -> tuple[str, ...]:
    """Return what may go wrong with a Python that this Spark loads; `packages` are the names in the archive."""
    line = line_of(spark)
    oldest, newest = line.declared
    warnings = []
    if not oldest <= python <= newest:
        warnings.append(
            f"Spark {dotted(spark)} declares Python {dotted(oldest)} to {dotted(newest)}; "
            f"the environment has {dotted(python)}"
        )
    uses_pandas = any(name in packages for name in ("numpy", "pandas", "pyarrow", "pyarrow-core"))
    if line.distutils and python >= (3, 12) and uses_pandas and "setuptools" not in packages:
        warnings.append(
            f"pandas functions of Spark {dotted(spark)} (toPandas, pandas_udf) import distutils, which Python "
            f"{dotted(python)} does not have: add setuptools to the requirements"
        )
    return tuple(warnings)
