"""Fetch what the slow tests download, before they ask for it; what fails here they will tell by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import airflow, connect, flink, jenkins, jupyter, livy, operator_crd, sparkmagic
from tests.support.job import SPARK_3, SPARK_4
from tests.support.s3 import minio, versitygw
from tests.support.spark import installed
from tests.support.yarn import HADOOPS

if TYPE_CHECKING:
    from collections.abc import Callable

FETCHED: tuple[Callable[[], object], ...] = (
    jenkins.class_path,
    lambda: installed(SPARK_3),
    lambda: installed(SPARK_4),
    connect.connect_jars,
    versitygw,
    minio,
    jenkins.linter,
    *(jars for hadoop in HADOOPS.values() for jars in (hadoop.cluster, hadoop.s3a)),
    livy.server_jars,
    sparkmagic.installed,
    jupyter.installed,
    airflow.installed,
    operator_crd.schema,
    flink.installed,
)

if __name__ == "__main__":
    for fetch in FETCHED:
        try:
            fetch()
        except (pytest.fail.Exception, pytest.skip.Exception) as lacking:
            sys.stderr.write(f"{lacking}\n")
