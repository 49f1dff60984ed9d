"""The packages that each Spark version works with, as data with a source for every row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from envpack.requirements.names import CondaName, ProjectName
from envpack.resolve.names import Names
from envpack.resolve.request import Addition, Limit
from envpack.spark.versions import dotted, line_of, minor, python_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpack.requirements import Requirements
    from envpack.spark.versions import Minor


@dataclass(frozen=True, kw_only=True)
class Row:
    """The versions of one package that some Spark versions work with."""

    first: Minor
    """The oldest Spark it applies to, among those in envpack/spark/versions.py."""
    last: Minor | None
    """The newest Spark it applies to; None when no newer one is known to differ."""
    package: str
    specifier: str
    """The versions that work (PEP 440)."""
    also: Mapping[str, str] = field(default_factory=dict)
    """Needs of these versions for other packages that their own metadata lack."""
    soft: bool = False
    """Whether only a part of PySpark fails with others: a request that needs them is fulfilled with a warning."""
    breaks: str
    """What happens with other versions."""
    source: str
    """The source of the row. `run`: observed with PyPI's pyspark and the named versions in a local Spark."""


def _oldest(first: Minor, last: Minor | None, package: str, version: str) -> Row:
    """Return the row for the oldest version of a package that Spark itself accepts."""
    return Row(
        first=first,
        last=last,
        package=package,
        specifier=f">={version}",
        breaks="Spark refuses an older one wherever it uses pandas or Arrow",
        source="minimum versions in pyspark/sql/pandas/utils.py (2.4: pyspark/sql/utils.py) and setup.py",
    )


_NUMPY_1 = {"numpy": "<2", "pyarrow": "<26"}
"""Companions of packages built for NumPy 1: pyarrow 26.0.0 refuses it when imported (run), not in its metadata."""

ROWS = (
    _oldest((2, 4), (2, 4), "pandas", "0.19.2"),
    _oldest((3, 0), (3, 2), "pandas", "0.23.2"),
    _oldest((3, 3), (3, 5), "pandas", "1.0.5"),
    _oldest((4, 0), (4, 0), "pandas", "2.0.0"),
    _oldest((4, 1), None, "pandas", "2.2.0"),
    _oldest((2, 4), (2, 4), "pyarrow", "0.8.0"),
    _oldest((3, 0), (3, 0), "pyarrow", "0.15.1"),
    _oldest((3, 1), (3, 4), "pyarrow", "1.0.0"),
    _oldest((3, 5), (3, 5), "pyarrow", "4.0.0"),
    _oldest((4, 0), (4, 0), "pyarrow", "11.0.0"),
    _oldest((4, 1), (4, 1), "pyarrow", "15.0.0"),
    _oldest((4, 2), None, "pyarrow", "18.0.0"),
    Row(
        first=(2, 4),
        last=(3, 3),
        package="pandas",
        specifier="<2",
        also=_NUMPY_1,
        breaks="createDataFrame of a pandas DataFrame calls iteritems, which pandas 2 took out",
        source="SPARK-42593; run: pyspark 3.2.4 and 3.3.4 with pandas 1.5.3 and 2.3.3; read in 2.4.8, 3.0.3, 3.1.3",
    ),
    Row(
        first=(2, 4),
        last=(2, 4),
        package="pyarrow",
        specifier="<0.15",
        soft=True,
        breaks="pandas functions fail unless ARROW_PRE_0_15_IPC_FORMAT=1 is set on driver and executors",
        source="Spark 2.4's documentation, 'PySpark Usage Guide for Pandas with Apache Arrow'",
    ),
    Row(
        first=(3, 0),
        last=(3, 3),
        package="numpy",
        specifier="<1.24",
        soft=True,
        breaks="without Arrow, toPandas of a Boolean column uses np.bool, which NumPy 1.24 took out (not in 3.3.4)",
        source="run: pyspark 3.2.4 with NumPy 1.23.5 and 1.26.4, 3.3.4 with 1.26.4; read in 3.0.3, 3.1.3, 3.3.2",
    ),
    Row(
        first=(3, 4),
        last=(3, 4),
        package="pandas",
        specifier="<2",
        also=_NUMPY_1,
        soft=True,
        breaks="without Arrow, toPandas of a timestamp column fails: it casts to a datetime64 without a unit",
        source="SPARK-43194; run: pyspark 3.4.4 with pandas 1.5.3 and 2.3.3",
    ),
    Row(
        first=(3, 2),
        last=(3, 5),
        package="numpy",
        specifier="<2",
        also={"pyarrow": _NUMPY_1["pyarrow"]},
        soft=True,
        breaks="`import pyspark.pandas` fails: it uses np.NaN, which NumPy 2 took out",
        source="SPARK-48710, setup.py of pyspark 3.4.4 and 3.5.6; run: both with NumPy 1.26.4 and 2.4.6",
    ),
    Row(
        first=(3, 4),
        last=None,
        package="pandas",
        specifier="<3",
        soft=True,
        breaks="`import pyspark.pandas` fails: it uses names that pandas 3 took out",
        source="SPARK-55965; run: pyspark 3.4.4, 3.5.6, 4.0.2, 4.1.2, 4.2.1 and 4.3.0 with pandas 2.3.3 and 3.1.1",
    ),
)
"""py4j and cloudpickle are not here: Spark's own come before the environment's on a worker's path."""


def limits(spark: str, python: str | None, asked: Requirements) -> tuple[Limit, ...]:
    """Return the requirements of the cluster's Spark, `3.5` or `3.5.6`, for the solve.

    `python` is the requested Python, if any. Raises UsageError for a Spark that envpack does not know.
    """
    return (*_of_python(spark, python, asked), *_of_packages(minor(spark)))


def additions(spark: str) -> tuple[Addition, ...]:
    """Return what an environment for this Spark needs although no package in it says so.

    Every setuptools that runs on Python 3.12 brings distutils back (run: 80.10.2 and 84.2.1 with pyspark 3.5.6).
    """
    if not line_of(minor(spark)).distutils:
        return ()
    reason = f"Spark {dotted(minor(spark))} imports distutils for pandas and ML, and Python 3.12 took it out"
    beside = frozenset({"numpy", "pandas", "pyarrow"})
    return (Addition(name="setuptools", beside=beside, python=">=3.12", reason=reason),)


def warnings(spark: Minor, python: Minor, packages: Mapping[str, str]) -> Iterator[str]:
    """Yield what may not work with a Spark in an environment of a Python that it loads and of these packages.

    `packages` are names as a manifest has them, with versions.
    """
    yield from python_warnings(spark, python, packages)
    names = Names()
    versions = {names.project(CondaName(name)): version for name, version in packages.items()}
    for row in rows_of(spark):
        version = versions.get(ProjectName(row.package))
        if version and not _fits(version, row.specifier):
            yield f"{row.package} {version} with Spark {dotted(spark)}: {row.breaks}"


def rows_of(spark: Minor) -> Iterator[Row]:
    """Yield the rows that apply to a Spark version."""
    line = line_of(spark).version
    for row in ROWS:
        if row.first <= line and (row.last is None or line <= row.last):
            yield row


def _of_packages(spark: Minor) -> Iterator[Limit]:
    for row in rows_of(spark):
        verb = "works best with" if row.soft else "needs"
        others = " and ".join(f"{name} {specifier}" for name, specifier in row.also.items())
        needs = f"{row.package} {row.specifier}{others and f', and with it {others}'}"
        yield Limit(
            bounds={row.package: row.specifier, **row.also},
            reason=f"Spark {dotted(spark)} {verb} {needs}: {row.breaks}",
            soft=row.soft,
        )


def _of_python(spark: str, python: str | None, asked: Requirements) -> Iterator[Limit]:
    """Yield the bounds on Python: what the Spark loads, and what it declares where no other is requested.

    Without a requested Python, only one that this Spark declares is taken, even if newer ones are needed.
    """
    line = line_of(minor(spark))
    oldest, newest = line.declared
    declared = {"python": f">={dotted(oldest)},<{dotted((newest[0], newest[1] + 1))}"}
    says = f"Spark {spark} declares Python {dotted(oldest)} to {dotted(newest)}"
    own_line = any(each.name == "python" and each.spec.version for each in asked.conda)
    if not python and not own_line:
        yield Limit(bounds=declared, reason=f"{says}; --python asks for another that it loads")
        return
    if not python:
        yield Limit(bounds=declared, reason=says, soft=True)
    upper = f",<{dotted((line.newest[0], line.newest[1] + 1))}" if line.newest else ""
    known = f" to {dotted(line.newest)}" if line.newest else " and newer ones"
    failures = {"an older": line.too_old, "a newer": line.too_new}
    told = [f"on {age} one {failure}" for age, failure in failures.items() if failure]
    because = f": {'; '.join(told)}" if told else ""
    yield Limit(
        bounds={"python": f">={dotted(line.oldest)}{upper}"},
        reason=f"Spark {spark} loads Python {dotted(line.oldest)}{known}{because}",
    )


def _fits(version: str, specifier: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True
