"""Real records of conda-forge: all are read, and requests solve to what py-rattler alone gives for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rattler import MatchSpec, Version

from tests.support.replica.records import SUBDIRS, records, repodata

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("subdir", SUBDIRS)
def test_every_record_is_read(subdir: str, conda_forge: Path) -> None:
    found = records({subdir: repodata(subdir)})
    assert len(found) > 1500
    for record in found.values():
        assert str(Version(record.version)) == record.version
        for spec in (*record.json["depends"], *record.json.get("constrains", ())):
            assert str(MatchSpec(spec)).split()[0] == spec.split()[0]
