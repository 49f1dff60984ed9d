"""What a Spark that fetches archives by itself needs to read S3, set up as an administrator and a person do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.spark import installed
from tests.support.yarn import HADOOPS, s3a_site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.s3 import S3Server


def jars_of_nodes(directory: Path, version: str) -> Path:
    """Make a directory with the jars with which a Spark of a version reads S3, less those that it has itself."""
    directory.mkdir()
    (own,) = installed(version).glob("lib/python*/site-packages/pyspark/jars")
    there = {_artifact(jar) for jar in own.glob("*.jar")}
    for jar in HADOOPS[".".join(version.split(".")[:2])].s3a().glob("*.jar"):
        if _artifact(jar) not in there:
            (directory / jar.name).symlink_to(jar)
    return directory


def reading(s3: S3Server) -> str:
    """Return the properties by which a job finds the server."""
    return " ".join(f"--conf spark.hadoop.{name}={value}" for name, value in s3a_site(s3).items())


def _artifact(jar: Path) -> str:
    """Return the name of a jar without its version."""
    return re.split(r"-\d", jar.name)[0]
