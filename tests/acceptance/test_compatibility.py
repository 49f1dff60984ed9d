"""Rows of the matrix in envpack/spark/compatibility.py, tried with real Sparks and real packages on both sides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.support import pypi
from tests.support.job import SPARK_3, SPARK_4
from tests.support.spark import installed

pytestmark = pytest.mark.acceptance

PANDAS_API = "import pyspark.pandas"
CHECKS = (
    "from pyspark.sql.pandas import utils; "
    "utils.require_minimum_pandas_version(); utils.require_minimum_pyarrow_version()"
)
OLD_PANDAS = pytest.mark.skipif(sys.version_info >= (3, 12), reason="pandas 1 has no wheels for this Python")


@pytest.mark.parametrize(
    ("spark", "packages", "program", "failure"),
    [
        (SPARK_3, ("pandas <3", "numpy <2", "pyarrow <26"), PANDAS_API, None),
        (
            SPARK_3,
            ("pandas <3", "numpy >=2", "pyarrow"),
            PANDAS_API,
            "`np.NaN` was removed in the NumPy 2.0 release",
        ),
        (SPARK_3, ("pandas >=3", "numpy <2", "pyarrow <26"), PANDAS_API, "ImportError: cannot import name"),
        (SPARK_3, ("pandas <3", "numpy <2", "pyarrow >=26"), CHECKS, "PyArrow >= 4.0.0 must be installed"),
        (SPARK_3, ("pandas >=3", "numpy >=2", "pyarrow"), CHECKS, None),
        (SPARK_4, ("pandas <3", "numpy", "pyarrow"), PANDAS_API, None),
        (SPARK_4, ("pandas >=3", "numpy", "pyarrow"), PANDAS_API, "ImportError: cannot import name"),
        (SPARK_4, ("pandas >=3", "numpy", "pyarrow"), CHECKS, None),
        pytest.param(
            SPARK_4,
            ("pandas <2", "numpy <2", "pyarrow <26"),
            CHECKS,
            "Pandas >= 2.0.0 must be installed",
            marks=OLD_PANDAS,
        ),
    ],
)
def test_a_row_holds_on_both_sides_of_its_bound(
    spark: str, packages: tuple[str, ...], program: str, failure: str | None, tmp_path: Path
) -> None:
    python = installed(spark) / "bin/python"
    subprocess.run(
        [find_uv_bin(), "pip", "install", "--quiet", "--python", python, "--target", tmp_path / "own", *packages],
        env={**os.environ, **pypi.VARIABLES},
        check=True,
    )
    done = subprocess.run(
        [python, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "own")},
        capture_output=True,
        text=True,
        check=False,
    )
    if failure is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1
        assert failure in done.stderr
