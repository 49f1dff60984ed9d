"""What public repositories hold of conda-forge, where it lies beside the project; it is no part of the project."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).resolve().parents[3] / "shared" / "conda-forge"
"""Records, names and locks: the README there says what."""

needed = pytest.mark.skipif(not HOME.is_dir(), reason=f"needs {HOME.name} data in ../shared, which is not there")


def records(subdir: str) -> dict[str, dict[str, Any]]:
    """Return the records of a subdir by file name."""
    repodata = json.loads(gzip.decompress((HOME / subdir / "repodata.json.gz").read_bytes()))
    return {**repodata["packages"], **repodata["packages.conda"]}


def names() -> dict[str, str | None]:
    """Return each conda name with the project whose distribution the package holds."""
    found: dict[str, str | None] = json.loads(gzip.decompress((HOME / "names.json.gz").read_bytes()))
    return found
